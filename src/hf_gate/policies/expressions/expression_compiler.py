"""Compiles a checked tree to Python functions that compute in three values, with the set of unknown facts.

A function returns the value, or a TruthValue if it is unknown: with the missing facts, or the error. `&&` and `||` are
decided by one part, whatever the others are. Anything else that uses an unknown value is unknown.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, TypeAlias

import re2  # type: ignore[import-untyped]  # it has neither stubs nor py.typed
from msgspec import Struct

from hf_gate.core.policy_model import TruthValue, combine_unknowns

from .expression_parser import ExpressionNode, NodeKind

Function: TypeAlias = Callable[[Mapping[str, Any], Any], Any]
"""Takes the known values by name, and the item of the loop that it is in."""

MAX_PATTERN: Final = 256  # the most code points of a regular expression
_MAX_CLASSES: Final = 4  # Unicode classes of one pattern: each takes half a millisecond to compile
_PATTERN_MEMORY: Final = 1 << 17  # bytes of a compiled pattern, which takes at most 5 ms
_INT_LIMIT: Final = 1 << 63
_MAX_DURATION: Final = timedelta(microseconds=(1 << 63) // 1000)  # of a result
_MAX_DURATION_LITERAL: Final = 315_576_000_000  # seconds


def compile_node(node: ExpressionNode) -> Function:
    """Return the function of a node. A node without names is computed once."""
    made = _COMPILERS[node.kind](node)
    if not node.is_constant or node.kind is NodeKind.CONST:
        return made
    value = made({}, None)
    return lambda _values, _item: value


# ---- unknown values --------------------------------------------------------------------------------------------------


def make_error(message: str) -> TruthValue:
    """Return an unknown value that no fact can make known."""
    return TruthValue(None, error=message)


def to_unknown(value: object) -> TruthValue:
    """Return an unknown value as it is; another value has the wrong type."""
    return value if isinstance(value, TruthValue) else make_error("the result is neither true nor false")


def _combine_strictly(values: Iterable[object]) -> TruthValue:
    """Return what a value lacks that needs all of these; facts come before errors."""
    whole: TruthValue | None = None
    for value in values:
        if isinstance(value, TruthValue):
            whole = _add_unknown(whole, value)
    if whole is None:
        return combine_unknowns(())
    return TruthValue(None, whole.missing) if whole.missing and whole.error else whole


def _add_unknown(known: TruthValue | None, value: TruthValue) -> TruthValue:
    """Return both together. Most operands, and most items of a loop, lack the same facts: then nothing is added."""
    if known is None or value is known:
        return value
    is_new = bool(value.error and not known.error) or not value.missing <= known.missing
    return combine_unknowns((known, value)) if is_new else known


# ---- operands --------------------------------------------------------------------------------------------------------


def _compile_const(node: ExpressionNode) -> Function:
    value = node.value
    return lambda _values, _item: value


def _compile_name(node: ExpressionNode) -> Function:
    name = node.name
    return lambda values, _item: values[name]


def _compile_item(_node: ExpressionNode) -> Function:
    return lambda _values, item: item


def _compile_field(node: ExpressionNode) -> Function:
    key = node.name
    return _apply_one(lambda entries: _look_up(entries, key), compile_node(node.children[0]))


def _compile_list(node: ExpressionNode) -> Function:
    parts = [compile_node(child) for child in node.children]

    def build(values: Mapping[str, Any], item: object) -> object:
        found = [part(values, item) for part in parts]
        is_unknown = any(each.__class__ is TruthValue for each in found)
        return _combine_strictly(found) if is_unknown else found

    return build


def _apply_one(apply: Callable[[Any], Any], operand: Function) -> Function:
    def compute(values: Mapping[str, Any], item: object) -> object:
        value = operand(values, item)
        return _combine_strictly((value,)) if value.__class__ is TruthValue else apply(value)

    return compute


def _apply_two(apply: Callable[[Any, Any], Any], children: Sequence[ExpressionNode]) -> Function:
    left, right = (compile_node(child) for child in children)
    if children[1].is_constant:
        constant = right({}, None)
        return _apply_one(lambda value: apply(value, constant), left)

    def compute(values: Mapping[str, Any], item: object) -> object:
        one = left(values, item)
        other = right(values, item)
        if one.__class__ is TruthValue or other.__class__ is TruthValue:
            return _combine_strictly((one, other))
        return apply(one, other)

    return compute


# ---- operators -------------------------------------------------------------------------------------------------------


def _compile_operator(node: ExpressionNode) -> Function:
    match node.name:
        case "&&" | "||":
            return _compile_joined([compile_node(child) for child in node.children], decisive=node.name == "||")
        case "!":
            return _compile_negation(compile_node(node.children[0]))
        case "?:":
            return _compile_choice(*(compile_node(child) for child in node.children))
        case "-" if len(node.children) == 1:
            return _apply_one(lambda value: _limit(-value), compile_node(node.children[0]))
        case sign:
            return _apply_two(_BINARY[sign], node.children)


def _compile_negation(operand: Function) -> Function:
    def negate(values: Mapping[str, Any], item: object) -> object:
        value = operand(values, item)
        return not value if isinstance(value, bool) else to_unknown(value)

    return negate


def _compile_joined(parts: Sequence[Function], *, decisive: bool) -> Function:
    """Compile `&&` or `||`: one decisive part is enough."""
    rest = not decisive

    def decide(values: Mapping[str, Any], item: object) -> object:
        unknown: list[TruthValue] = []
        for part in parts:
            value = part(values, item)
            if value is decisive:
                return value
            if value is not rest:
                unknown.append(to_unknown(value))
        if not unknown:
            return rest
        return unknown[0] if len(unknown) == 1 else combine_unknowns(unknown)

    return decide


def _compile_choice(condition: Function, yes: Function, no: Function) -> Function:
    def choose(values: Mapping[str, Any], item: object) -> object:
        chosen = condition(values, item)
        if chosen is True:
            return yes(values, item)
        if chosen is False:
            return no(values, item)
        others = (value for value in (yes(values, item), no(values, item)) if isinstance(value, TruthValue))
        return combine_unknowns((to_unknown(chosen), *others))

    return choose


def _limit(value: object) -> object:
    """Return a number, a duration or another value, or the error of one that is too large."""
    if isinstance(value, int) and not -_INT_LIMIT <= value < _INT_LIMIT:
        return make_error("integer overflow")
    if isinstance(value, timedelta) and abs(value) > _MAX_DURATION:
        return make_error("the duration is too long")
    return value


def _compute(apply: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def compute(left: object, right: object) -> object:
        try:
            return _limit(apply(left, right))
        except OverflowError:
            return make_error("the timestamp is out of range")

    return compute


def _remainder(left: int, right: int) -> int | TruthValue:
    """Return the remainder with the sign of the first number."""
    if right == 0:
        return make_error("modulus by zero")
    return abs(left) % abs(right) * (1 if left >= 0 else -1)


def _look_up(entries: dict[object, object] | Sequence[object], key: object) -> object:
    """Return the entry of a map or a list."""
    if isinstance(entries, dict):
        found = entries.get(key)
        return make_error(f'Key not found in map : "{str(key)[:80]}"') if found is None else found
    if isinstance(key, int) and 0 <= key < len(entries):
        return entries[key]
    return make_error(f"index out of range: {key}")


_BINARY: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "+": _compute(operator.add), "-": _compute(operator.sub), "*": _compute(operator.mul), "%": _remainder,
    "in": lambda value, many: value in many, "[]": _look_up,
    "contains": operator.contains, "startsWith": str.startswith, "endsWith": str.endswith,
}  # fmt: skip


# ---- functions -------------------------------------------------------------------------------------------------------


def _compile_call(node: ExpressionNode) -> Function:
    match node.name:
        case "exists" | "all":
            return _compile_loop(node)
        case "has":
            key = node.children[0].name
            return _apply_one(lambda entries: key in entries, compile_node(node.children[0].children[0]))
        case "matches":
            return _apply_one(compile_pattern(str(node.children[1].value)).is_in, compile_node(node.children[0]))
        case "size" | "duration" | "timestamp":
            return _apply_one(_UNARY[node.name], compile_node(node.children[0]))
        case method:
            return _apply_two(_BINARY[method], node.children)


def _compile_loop(node: ExpressionNode) -> Function:
    many, body = (compile_node(child) for child in node.children)
    names = [compile_node(each) for each in node.children[1].walk() if each.kind is NodeKind.NAME]
    decisive = node.name == "exists"
    rest = not decisive

    def decide(values: Mapping[str, Any], _item: object) -> object:
        items = many(values, None)
        if items.__class__ is TruthValue:
            return _combine_strictly([items, *(name(values, None) for name in names)])
        unknown: TruthValue | None = None
        for item in items:
            value = body(values, item)
            if value is decisive:
                return value
            if value is not rest:
                unknown = _add_unknown(unknown, to_unknown(value))
        return rest if unknown is None else unknown

    return decide


class PatternError(ValueError):
    """A regular expression that cannot be used."""


class CompiledPattern(Struct, frozen=True):
    """A regular expression: whether a text has a match, and the number of its steps."""

    is_in: Callable[[str], bool]
    size: int


@lru_cache(maxsize=64)  # each may take the memory below
def compile_pattern(pattern: str) -> CompiledPattern:
    """Return a compiled regular expression. Raises PatternError, within 10 ms."""
    if len(pattern) > MAX_PATTERN:
        raise PatternError(f"a pattern has at most {MAX_PATTERN} characters")
    if re.search(r"\{\d*,?\d{3,}", pattern) or len(re.findall(r"\{\d", pattern)) > 8:
        raise PatternError("a pattern may repeat at most 99 times, in at most 8 places")
    if len(re.findall(r"\\[pP]", pattern)) > _MAX_CLASSES:
        raise PatternError(f"a pattern has at most {_MAX_CLASSES} classes of letters, such as `\\pL`")
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = _PATTERN_MEMORY
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        why = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else str(error)
        raise PatternError(f"this is not a regular expression: {why[:80]}") from None
    options.max_mem = 8 << 20  # to match, which needs more memory
    regexp = re2.compile(pattern, options)
    re2.purge()  # it keeps another 128

    def search(text: str) -> bool:
        # A search in bytes does not convert the place of a match to code points, which takes as long as the search.
        return regexp.search(text.encode()) is not None

    remember = lru_cache(maxsize=1024)(search)  # domains and short answers repeat
    return CompiledPattern(lambda text: (remember if len(text) <= 64 else search)(text), regexp.programsize)


_DURATION: Final = re.compile(r"([-+]?)((?:\d+(?:\.\d*)?|\.\d+)(?:h|ms|us|ns|m|s))+|0", re.ASCII)
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|us|ns|m|s)", re.ASCII)
_SECONDS: Final = {
    "h": Decimal(3600), "m": Decimal(60), "s": Decimal(1),
    "ms": Decimal("1e-3"), "us": Decimal("1e-6"), "ns": Decimal("1e-9"),
}  # fmt: skip
_TIMESTAMP: Final = re.compile(
    r"\s*+(\d{1,4})-(\d\d?)-(\d\d?)[Tt](\d\d?):(\d\d?):(\d\d?)(?:\.(\d++))?(?:[Zz]|([+-])(\d\d):(\d\d))\s*+", re.ASCII
)


def _parse_duration(text: str) -> timedelta | TruthValue:
    """Parse `1h30m`, to the microsecond."""
    if len(text) > 100 or not _DURATION.fullmatch(text):
        return make_error("not a duration")
    total = sum((Decimal(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(text)), Decimal())
    if total > _MAX_DURATION_LITERAL:
        return make_error("the duration is too long")
    return timedelta(microseconds=int(total * 1_000_000)) * (-1 if text[0] == "-" else 1)


def parse_timestamp(text: str) -> datetime | TruthValue:
    """Parse a timestamp as RFC 3339 writes it, to the microsecond."""
    found = _TIMESTAMP.fullmatch(text)
    if found is None:
        return make_error("not a timestamp")
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    fraction = int((found[7] or "0")[:6].ljust(6, "0"))
    shift = timedelta(hours=int(found[9] or 0), minutes=int(found[10] or 0))
    try:
        local = datetime(year, month, day, hour, minute, min(second, 59), fraction, UTC)
        leap = timedelta(seconds=second - min(second, 59))  # the second after 59 is the next minute
        return (local + shift if found[8] == "-" else local - shift) + leap
    except (ValueError, OverflowError):
        return make_error("not a timestamp")


_UNARY: Final[Mapping[str, Callable[[Any], Any]]] = {
    "size": len,
    "duration": _parse_duration,
    "timestamp": parse_timestamp,
}
_COMPILERS: Final[Mapping[NodeKind, Callable[[ExpressionNode], Function]]] = {
    NodeKind.CONST: _compile_const, NodeKind.NAME: _compile_name, NodeKind.ITEM: _compile_item,
    NodeKind.FIELD: _compile_field, NodeKind.LIST: _compile_list, NodeKind.OPERATOR: _compile_operator,
    NodeKind.CALL: _compile_call,
}  # fmt: skip
