"""Which request an address means, if it is one that this person sees."""

from __future__ import annotations

from ..domain.ids import is_id
from ..domain.rows import RequestRow
from .request_context import NotFound, RequestContext


def request_of(context: RequestContext, key: str) -> RequestRow:
    """By the Hub's id, or by our own number (`n17`); whatever is not theirs is not there."""
    row = _found(context, key)
    if row is None or not context.sees(row.repo):
        raise NotFound
    return row


def _found(context: RequestContext, key: str) -> RequestRow | None:
    store = context.workspace.store
    if is_id(key):
        return store.of_hub(key)
    number = key.removeprefix("n")
    return store.request(int(number)) if key.startswith("n") and number.isdecimal() and len(number) < 16 else None
