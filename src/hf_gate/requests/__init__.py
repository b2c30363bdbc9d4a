"""Requests as they are known here: synced from the Hub, searched, classified, and shown as lines.

Who may decide, and what a policy says, is not known here: that is `members` and `verdicts`.
"""
