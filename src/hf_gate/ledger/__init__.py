"""What happened, provably: entries of the audit log, verification, checkpoints, and who had access on a day.

Events are written by the rooms where they happen. Nothing here changes a request.
"""
