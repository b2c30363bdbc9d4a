"""Text made safe, names, times, locks and private files.

Every other room builds on it. It knows nothing of requests, gates or policies: what does belongs in `core`.
"""
