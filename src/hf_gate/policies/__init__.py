"""The policy language: parsing, checks, facts, tables, sentences, and the evaluation of rules.

It computes from given facts. What is evaluated when, and with which facts, is decided in `verdicts`.
"""
