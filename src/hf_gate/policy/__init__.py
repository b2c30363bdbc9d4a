"""Policies as code: from the text of a file to a verdict with its reasons. It uses no Hub, store or clock."""
