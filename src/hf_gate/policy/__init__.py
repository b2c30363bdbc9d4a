"""Policies as code: from the text of a file to a verdict with reasons.

Nothing here uses the Hub, a store or a clock.
"""
