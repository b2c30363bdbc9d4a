"""Rules, conditions and verdicts as sentences."""
