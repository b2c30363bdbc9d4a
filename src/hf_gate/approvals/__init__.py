"""Two people: how many must approve, who has, and which acceptances happened without it.

One mechanism for single requests, bulks, plans and ends. Who the people are is known in `members`.
"""
