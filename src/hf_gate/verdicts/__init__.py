"""Verdicts on requests: evaluation, explanations, and the values of a plan.

Nothing here decides about a request. `decisions` makes plans of verdicts and sends them.
"""
