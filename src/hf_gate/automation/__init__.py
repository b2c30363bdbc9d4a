"""Unattended work: turns of `hf-gate run`, what they may do, their health, and the stop.

A turn calls the other rooms in order. It decides nothing that a plan does not say.
"""
