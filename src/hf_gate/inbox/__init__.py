"""What a reviewer works through: the queue, requests one by one, and people; and output records of all kinds.

It shows and selects. A decision that is made there is carried out by `decisions`.
"""
