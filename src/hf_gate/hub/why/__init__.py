"""Finds out why an account cannot download from a repo, and what to do about it.

    token_search   what this process would send: the token, where it is from, and what hides it       (reads, no calls)
    observations   what the Hub answers: at most five calls, eight with related repos                  (calls)
    failures       what an error or a pasted log says: repo, status, words of the Hub                  (pure)
    decision       the decision table: the first row that matches gives the code and the next step     (pure)
    diagnosis      the result, and how terminals, notebooks and programs show it                       (pure)
    questions      `why`, `explain`, `explaining` and `wait_for_access`

Nothing here writes: no file, no cache, no setting, no request for access. So it never calls `huggingface_hub.get_token`,
which refreshes OAuth tokens and saves them. Tokens go to the endpoint only, and no text that leaves contains one.
"""
