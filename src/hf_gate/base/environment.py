"""What holds for the whole program: what variables of the environment say, and whether a change may have been sent."""

from __future__ import annotations

import os
from threading import Event
from typing import Final

from hf_gate.errors import UsageError

READ_ONLY: Final = "HF_GATE_READ_ONLY"
_IS_SENT: Final = Event()


def is_true(text: str | None) -> bool:
    """Return whether the value of an environment variable means yes, by `huggingface_hub`'s rule."""
    return (text or "").strip().upper() in {"1", "ON", "YES", "TRUE"}


def is_read_only() -> bool:
    """Return whether nothing may be changed: on the Hub, in a store, or in a file.

    A value that is not understood forbids changes, because somebody set it for that.
    """
    return (os.environ.get(READ_ONLY) or "").strip().upper() not in {"", "0", "OFF", "NO", "FALSE"}


def require_writes(what: str, act: str = "changed") -> None:
    """Raise UsageError if nothing may be changed. `what` is the subject of the message, such as `the store`."""
    if is_read_only():
        raise UsageError(
            f"{READ_ONLY} is set, so {what} is not {act}.",
            hint="Commands that only read still work, and so does `plan` without --out. A person can run this command "
            "without the variable.",
        )


def note_change() -> None:
    """Remember that a change is about to be sent to the Hub."""
    _IS_SENT.set()


def has_sent_changes() -> bool:
    """Return whether this process may have sent a change to the Hub."""
    return _IS_SENT.is_set()
