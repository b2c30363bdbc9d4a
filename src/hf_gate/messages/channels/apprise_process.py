"""Sends one message through a chat service, in a process that ends in time: a service may answer without an end.

It reads the address and the text as JSON from its input, and writes the result.
"""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import suppress
from threading import Timer
from typing import Final

from hf_gate.base.decoding import decode_json
from hf_gate.core.letters.messages import DeliveryKind

from .apprise_channel import DEADLINE_S, ChatMessage, open_service
from .private_calls import hide_address

_MAX_MEMORY: Final = 1 << 30  # bytes


def main() -> None:
    """Send the message, and write the kind of the delivery, or of the error."""
    sent = decode_json(sys.stdin.buffer.read(), ChatMessage)
    # only the result goes there
    out = sys.stdout
    sys.stdout = sys.stderr
    timer = Timer(DEADLINE_S, os._exit, [1])  # also if the process that started this one is gone
    timer.daemon = True
    timer.start()
    _limit_memory()
    try:
        with hide_address():
            is_delivered = open_service(sent.name, sent.address).notify(
                body=sent.body, title=sent.title, body_format="text"
            )
        result = str(DeliveryKind.DELIVERED if is_delivered else DeliveryKind.UNKNOWN)
    except Exception as problem:  # noqa: BLE001 - 190 services, each with its own errors
        result = type(problem).__name__
    out.write(result)
    out.flush()
    os._exit(0)  # a service may have left threads


def _limit_memory() -> None:
    with suppress(ImportError, OSError, ValueError):  # not on every system
        resource = importlib.import_module("resource")
        resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY, _MAX_MEMORY))


if __name__ == "__main__":
    main()
