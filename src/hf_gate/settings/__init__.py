"""The workspace: hf-gate.yaml as values, the folder, and the handle that commands and pages share.

It holds no policy and no request. `workspace` creates and opens one.
"""
