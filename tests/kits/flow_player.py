"""Runs a flow with answers from a function: without network, clock or event loop."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from hf_gate.hub.protocol.messages import (
    Answer,
    AwaitCall,
    AwaitSlot,
    EmitValue,
    HubCall,
    Pause,
    Reply,
    StartCall,
    TakeItems,
)

Hub = Callable[[HubCall], Answer]


@dataclass
class FlowResult:
    """What a flow sent, emitted and returned."""

    result: Any = None
    error: Exception | None = None
    emitted: list[Any] = field(default_factory=list)
    sent: list[HubCall] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)


def run_flow(flow: Any, hub: Hub, items: Iterable[Any] = (), clock: Callable[[], float] = lambda: 1.0) -> FlowResult:
    """Run a flow to its end against a function from calls to answers."""
    played, source = FlowResult(), iter(items)
    answer: Any = None
    while True:
        try:
            step = flow.send(answer)
        except StopIteration as end:
            played.result = end.value
            return played
        except Exception as error:  # noqa: BLE001 - the test looks at it
            played.error = error
            return played
        answer = _answer(step, played, hub, source, clock)


def _answer(step: Any, played: FlowResult, hub: Hub, source: Iterator[Any], clock: Callable[[], float]) -> Any:
    match step:
        case EmitValue(value):
            played.emitted.append(value)
        case HubCall() | StartCall():
            send = step.call if isinstance(step, StartCall) else step
            played.sent.append(send)
            return hub(send)  # the ticket of a Start is the answer itself
        case AwaitCall(ticket):
            return ticket
        case Pause(seconds):
            played.waited.append(seconds)
        case AwaitSlot():
            return clock()
        case TakeItems(limit):
            return tuple(item for _, item in zip(range(limit), source, strict=False))
        case _:
            raise TypeError(step)
    return None


def reply(body: Any = None, status: int = 200, **headers: str) -> Reply:
    """Build an answer with a JSON body."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, named, json.dumps({} if body is None else body).encode(), received_at=1.0)


def row(n: int, status: str = "pending", **more: Any) -> dict[str, Any]:
    """Build a record of a list; a higher number means an older request."""
    return {
        "requestId": f"{n:024x}",
        "user": {
            "_id": f"{n + 0xA0000000:024x}",
            "user": f"user{n}",
            "fullname": f"User {n}",
            "email": f"u{n}@example.org",
        },
        "timestamp": f"2026-10-{28 - n // 1000 % 28:02d}T{23 - n // 60 % 24:02d}:{59 - n % 60:02d}:00.000Z",
        "status": status,
        **more,
    }
