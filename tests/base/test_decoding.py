"""Typed decoding in several threads: msgspec's description of a type is complete before a second thread uses it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from hf_gate.base.decoding import convert_value, decode_json, make_json_decoder, make_msgpack_decoder

SECOND_THREAD = """
import sys, threading
from dataclasses import dataclass
import msgspec
from hf_gate.base.decoding import convert_value, prepare_type

VALUE = {"number": 1, "inner": {"text": "a"}}

def decode_in_a_second_thread() -> type:
    # msgspec calls this in the middle of its description of Outer.
    if not started:
        second = threading.Thread(target=lambda: values.append(convert_value(VALUE, Outer)))
        started.append(second)
        second.start()
        while second.is_alive() and not is_waiting(second):
            second.join(0.01)
    return str

def is_waiting(thread) -> bool:
    frame = sys._current_frames().get(thread.ident)
    return frame is not None and frame.f_code is prepare_type.__code__

started, values = [], []

KIND
class Inner(BASE):
    text: "decode_in_a_second_thread()"

KIND
class Outer(BASE):
    inner: Inner
    number: int

values.append(convert_value(VALUE, Outer))
started[0].join()
for value in values:
    print(value)
"""


@pytest.mark.parametrize(
    ("kind", "base"), [("@dataclass", "object"), ("", "msgspec.Struct")], ids=["dataclass", "struct"]
)
def test_a_thread_that_decodes_while_another_describes_the_type_gets_the_value(kind: str, base: str) -> None:
    code = SECOND_THREAD.replace("KIND", kind).replace("BASE", base)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    first, second = done.stdout.splitlines()
    assert first == second == "Outer(inner=Inner(text='a'), number=1)"


def test_documents_and_values_are_decoded_as_their_type() -> None:
    assert decode_json(b'{"a": [1, "b"]}', dict[str, tuple[int, str]]) == {"a": (1, "b")}
    assert make_json_decoder(list[int]).decode(b"[1]") == [1]
    assert make_msgpack_decoder(list[int]).decode(b"\x91\x01") == [1]
    assert convert_value([1], tuple[int, ...]) == (1,)
