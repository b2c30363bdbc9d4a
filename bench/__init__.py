"""Side by side with huggingface_hub, on a local Hub in a process of its own: `python -m bench`, or `make bench`."""
