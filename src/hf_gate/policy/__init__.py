"""Policies as code: from the text of a file to a verdict with its reasons; knows no Hub, no store and no clock."""
