"""Policy files, hf-gate.yaml and table files as values, and changes of single values that keep the rest of a file."""
