"""Policy files and hf-gate.yaml as values, and changes of single values that keep the rest of a file."""
