"""Requests as they are known here: synced from the Hub, searched, classified, and shown, in lists and alone.

Who may decide, and what a policy says, only its pages and commands know, from `members` and `verdicts`.
"""
