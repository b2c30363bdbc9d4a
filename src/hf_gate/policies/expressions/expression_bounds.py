"""The limits of expressions: of values before they are evaluated, and of the work of a whole policy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Final

from hf_gate.base.display_text import SURROGATE
from hf_gate.core.policy_model import FactValue

from .expression_parser import ExpressionNode

MAX_TEXT: Final = 8_192  # code points of a text
MAX_LIST: Final = 1_000  # items of a list
MAX_ITEM: Final = 512  # code points of a text in a list: the name of an organisation
MAX_MAP: Final = 200  # entries of a map: the questions of a form, the columns of a table
MAX_LETS: Final = 1 << 20  # code points of all `let` values of one request
MAX_JOINED_TEXT: Final = 65_536  # code points of a text joined with `+`
MAX_JOINED_LIST: Final = 10_000  # items of a list made by an expression
MAX_COST: Final = 1_000_000  # steps of one expression, about 100 ns each
MAX_POLICY_COST: Final = 4_000_000  # steps of all expressions of a policy, for one request
MAX_TESTS_COST: Final = 100_000_000  # steps of all tests of a policy
MAX_POLICY_UNFOLDED: Final = 20_000  # nodes of all conditions of a policy
MAX_UNFOLDED: Final = 5_000  # nodes of one expression with its `let` names expanded


def policy_cost(roots: Iterable[ExpressionNode]) -> int:
    """Return the steps of evaluating one request with all expressions of a policy."""
    return sum(root.cost for root in roots)


def policy_cost_problem(lets: Iterable[ExpressionNode], conditions: Iterable[ExpressionNode], tests: int) -> str:
    """Return why a policy as a whole is too costly to evaluate; empty if it is not."""
    several = tuple(conditions)
    cost = policy_cost((*lets, *several))
    unfolded = sum(each.unfolded for each in several)
    if cost > MAX_POLICY_COST:
        share = f"{cost / MAX_POLICY_COST:.1f} times"
        return f"all conditions together search lists and texts too often: {share} the limit of a policy."
    if cost * tests > MAX_TESTS_COST:
        return f"{tests} tests of conditions that search lists take too long; remove some tests."
    if unfolded > MAX_POLICY_UNFOLDED:
        parts = f"{unfolded:,} parts; at most {MAX_POLICY_UNFOLDED:,} are allowed"
        return f"with their `let` names expanded, all conditions together have {parts}."
    return ""


# ---- values ----------------------------------------------------------------------------------------------------------


def truncate_fact(value: FactValue) -> object:
    """Return a fact as expressions use it, truncated to the limits, with half letters replaced.

    Raises TypeError for a list or a map of anything but texts.
    """
    if isinstance(value, str):
        return _truncate_text(value)
    if isinstance(value, list | tuple):
        return [_truncate_text(each, MAX_ITEM) for each in value[:MAX_LIST]]
    if isinstance(value, Mapping):
        return {_truncate_text(key): _truncate_text(each) for key, each in islice(value.items(), MAX_MAP)}
    return value


def _truncate_text(value: str, most: int = MAX_TEXT) -> str:
    if not isinstance(value, str):
        raise TypeError(type(value))
    short = value if len(value) <= most else value[:most]
    return short if short.isascii() else SURROGATE.sub("\ufffd", short)


def text_length(value: object) -> int:
    """Return the number of code points of all texts in a value."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(text_length(key) + text_length(each) for key, each in value.items())
    return sum(map(text_length, value)) if isinstance(value, list) else 0


def let_value_problem(value: object, left: int) -> str:
    """Return why the value of a `let` cannot be used; empty if it can. (Truncating the value would make it wrong.)"""
    if isinstance(value, str) and len(value) > MAX_TEXT:
        return f"has {len(value):,} characters; at most {MAX_TEXT:,} are allowed"
    if isinstance(value, list | Mapping) and len(value) > MAX_LIST:
        return f"has {len(value):,} items; at most {MAX_LIST:,} are allowed"
    return "" if left >= 0 else f"is too large: all `let` values together have at most {MAX_LETS:,} characters"
