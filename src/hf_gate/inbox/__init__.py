"""What a reviewer looks at: the queue, one request, one person, and their records.

It shows and selects. A decision that is made there is carried out by `decisions`.
"""
