"""Finds out why an account cannot download from a repo, and what to do about it.

    token_search   what this process would send: the token, where it is from, and what hides it       (reads, no calls)
    observations   what the Hub answers: at most five calls, eight with related repos                  (calls)
    diagnosing     the table: the first row that matches what was observed gives the situation         (pure)
    failures       what an error or a pasted log says: repo, status, words of the Hub                  (pure)
    explanations   what a failure means by itself, and beside the answers of now                       (pure)
    texts          the words of each situation: code, sentence, next steps                             (pure)
    diagnosis      the result, and how terminals, notebooks and programs show it                       (pure)
    questions      `why`, `explain`, `explaining` and `wait_for_access`

Nothing here writes: no file, no cache, no setting, no request for access. So it never calls
`huggingface_hub.get_token`, which refreshes OAuth tokens and saves them. Tokens go to the endpoint only, and no text
that leaves contains one.
"""
