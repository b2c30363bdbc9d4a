"""Compares hf-gate with huggingface_hub on a local Hub in its own process: `python -m bench`, or `make bench`."""
