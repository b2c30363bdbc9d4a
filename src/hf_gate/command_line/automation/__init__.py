"""Commands about unattended work: run, stop, messages."""
