"""Makes the plan of a workspace from verdicts and ends."""
