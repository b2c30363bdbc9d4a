"""Collects the names in a checked expression, and rejects constructs that are correctly typed but not allowed."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from typing import Final, Protocol

from msgspec import Struct

from ..domain.display_text import make_visible
from .cel_tree import Constant, ExpressionNode, NodeKind
from .expression_problems import FUNCTIONS, MACROS, ExpressionProblem, describe_type, null_problem
from .expression_tokens import MIRRORED, TEXT_METHODS, TokenizedSource


class Comparison(Struct, frozen=True):
    """A fact compared with literals, normalised to `fact op value`; `op` may be `in` or a method."""

    fact: str
    op: str  # == != < <= > >= in, startsWith endsWith contains matches
    values: tuple[Constant, ...]
    offset: int
    length: int


class NamesUsed(Struct, frozen=True):
    """The names used in a branch. `lets` are in the order of their first use."""

    facts: frozenset[str]
    lets: tuple[str, ...]
    labels: frozenset[str]
    comparisons: tuple[Comparison, ...]


def collect_names(
    root: ExpressionNode, words: TokenizedSource, declared: Container[str], lets: Container[str]
) -> NamesUsed:
    """Return the facts, `let` names, labels and comparisons of a branch."""
    facts, used, labels, comparisons = set(), dict[str, None](), set(), []
    for node in root.walk():
        if node.kind is NodeKind.NAME and node.name in declared:
            facts.add(node.name)
        elif node.kind is NodeKind.NAME and node.name in lets:
            used[node.name] = None
        label = _label_of(node)
        if label is not None:
            labels.add(label)
        found = _comparison_of(node, words, declared)
        if found is not None:
            comparisons.append(found)
    return NamesUsed(frozenset(facts), tuple(used), frozenset(labels), tuple(comparisons))


def _is_form_map(node: ExpressionNode) -> bool:
    return node.kind is NodeKind.NAME and node.name == "form"


def _label_of(node: ExpressionNode) -> str | None:
    """Return the form label that a node uses: `form["x"]`, `form.x` or `"x" in form`."""
    if node.kind is NodeKind.SELECT and _is_form_map(node.children[0]):
        return node.name
    if node.kind is NodeKind.CALL and len(node.children) == 2:
        left, right = node.children
        if node.name == "_[_]" and _is_form_map(left) and isinstance(right.value, str):
            return right.value
        if node.name == "@in" and _is_form_map(right) and isinstance(left.value, str):
            return left.value
    return None


_OPS = {"_==_": "==", "_!=_": "!=", "_<_": "<", "_<=_": "<=", "_>_": ">", "_>=_": ">=", "@in": "in"}


def _comparison_of(node: ExpressionNode, words: TokenizedSource, declared: Container[str]) -> Comparison | None:
    if node.kind is not NodeKind.CALL or len(node.children) != 2:
        return None
    op = _OPS.get(node.name, node.name if node.name in TEXT_METHODS else "")
    left, right = node.children
    if op in MIRRORED and left.kind is NodeKind.CONST:
        left, right, op = right, left, MIRRORED[op]
    if not op or left.kind is not NodeKind.NAME or left.name not in declared:
        return None
    literals = right.children if op == "in" and right.kind is NodeKind.LIST else (right,)
    if any(each.kind is not NodeKind.CONST for each in literals):
        return None
    offset, length = words.span([each.at for each in node.walk()])
    return Comparison(left.name, op, tuple(each.value for each in literals), offset, length)


# ---- constructs that are not allowed -------------------------------------------------------------------------------------

MAX_LOOPS = 2  # nested
MAX_PATTERN = 256  # the most code points of a regular expression


class BranchEvaluator(Protocol):
    """Evaluates branches that use no fact."""

    def evaluation_error(self, node: ExpressionNode) -> str | None: ...

    def pattern_error(self, pattern: str) -> str | None: ...


def check_tree(
    root: ExpressionNode, words: TokenizedSource, declared: Container[str], lets: Container[str], trial: BranchEvaluator
) -> None:
    """Raise ExpressionProblem for unsafe functions, literals that always fail, bad patterns and deeply nested loops."""
    _check_nodes(root, frozenset(), words, declared, lets)
    for node in root.walk():
        if node.kind is NodeKind.CALL and node.name == "matches":
            _check_pattern(node, words, trial)
    _check_loops(root, 0, words, declared, lets)
    _check_literals(root, words, trial)


_ALLOWED_FUNCTIONS = frozenset(
    (
        *("_&&_", "_||_", "!_", "_?_:_", "_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "@in", "_[_]"),
        *("-_", "_+_", "_-_", "_*_", "_/_", "_%_"),
        *(name for name in FUNCTIONS if name not in MACROS),
    )
)
"""All functions that may be called. The engine has other functions, some of which are true for unknown values."""


def _check_nodes(
    node: ExpressionNode,
    variables: frozenset[str],
    words: TokenizedSource,
    declared: Container[str],
    lets: Container[str],
) -> None:
    """Raise ExpressionProblem for constructs that the engine accepts but the policy language does not."""
    refused = ""
    if node.kind is NodeKind.CALL and node.name not in _ALLOWED_FUNCTIONS:
        refused = f"unknown function `{node.name}`"
    elif node.kind is NodeKind.MAP and node.name:
        refused = "messages cannot be constructed here"
    elif (
        node.kind is NodeKind.NAME
        and node.name not in variables
        and node.name not in declared
        and node.name not in lets
    ):
        refused = f"`{node.name}` is a type, not a fact"
    elif node.kind is NodeKind.CONST and node.value is None:
        raise null_problem(*_span_of(node, words))
    if refused:
        raise ExpressionProblem("not-here", make_visible(refused, one_line=True), *_span_of(node, words))
    if node.kind is NodeKind.LOOP:
        # Children: range, start, condition, step, result. Only the condition is generated by the engine.
        inside = variables | {node.variable, node.name}
        for index, child in enumerate(node.children):
            if index != 2:
                _check_nodes(child, inside if index else variables, words, declared, lets)
        return
    for child in node.children:
        _check_nodes(child, variables, words, declared, lets)


def _span_of(node: ExpressionNode, words: TokenizedSource) -> tuple[int, int]:
    return words.span([each.at for each in node.walk()])


def _check_pattern(node: ExpressionNode, words: TokenizedSource, trial: BranchEvaluator) -> None:
    pattern = node.children[-1]
    span = _span_of(pattern, words)
    if not isinstance(pattern.value, str):
        raise ExpressionProblem("pattern", "the pattern of `matches` must be a quoted literal, not a fact", *span)
    if len(pattern.value) > MAX_PATTERN:
        raise ExpressionProblem("pattern", f"a pattern has at most {MAX_PATTERN} characters", *span)
    if re.search(r"\{\d*,?\d{3,}", pattern.value) or len(re.findall(r"\{\d", pattern.value)) > 8:
        raise ExpressionProblem("pattern", "a pattern may repeat at most 99 times, in at most 8 places", *span)
    failed = trial.pattern_error(pattern.value)
    if failed is not None:
        why = failed.partition("invalid regular expression: ")[2] or failed
        raise ExpressionProblem(
            "pattern", f"this is not a regular expression: {make_visible(why, one_line=True)[:80]}", *span
        )


def _check_loops(
    node: ExpressionNode, depth: int, words: TokenizedSource, declared: Container[str], lets: Container[str]
) -> None:
    if node.kind is NodeKind.LOOP:
        if depth == MAX_LOOPS:
            raise ExpressionProblem("too-costly", "at most two loops over lists can be nested", *_span_of(node, words))
        _check_variable(node, words, declared, lets)
    for index, child in enumerate(node.children):
        inside = depth + 1 if node.kind is NodeKind.LOOP and index else depth
        if inside and _is_concatenation(child):
            raise ExpressionProblem(
                "too-costly", "`+` cannot join texts or lists inside a loop", *_span_of(child, words)
            )
        _check_loops(child, inside, words, declared, lets)


def _is_concatenation(node: ExpressionNode) -> bool:
    """Tell whether a node joins texts or lists, except `@result + [x]` from the expansion of `map` and `filter`."""
    if node.kind is not NodeKind.CALL or node.name != "_+_" or node.type not in ("string", "bytes", "list"):
        return False
    return not (node.children[0].kind is NodeKind.NAME and node.children[0].name.startswith("@"))


def _check_variable(
    node: ExpressionNode, words: TokenizedSource, declared: Container[str], lets: Container[str]
) -> None:
    names = [node.variable]
    taken = any(name in declared or name in lets for name in names)
    roots = {"request", "person", "email", "answers", "tables", "history", "terms", "form", "now"}
    if taken or node.variable in roots:
        what = f"`{make_visible(node.variable, one_line=True)}` is the name of a fact; choose another name for the item"
        raise ExpressionProblem("shadow", what, *_span_of(node, words))


def _check_literals(root: ExpressionNode, words: TokenizedSource, trial: BranchEvaluator) -> None:
    for node in _constant_calls(root):
        failed = trial.evaluation_error(node)
        if failed is not None:
            raise _literal_problem(node, failed, words)


def _constant_calls(node: ExpressionNode) -> Iterator[ExpressionNode]:
    """Yield the calls that do not depend on any name, innermost first."""
    if node.kind is NodeKind.LOOP:
        yield from _constant_calls(node.children[0])
        return
    for child in node.children:
        yield from _constant_calls(child)
    if node.kind is NodeKind.CALL and all(each.kind not in (NodeKind.NAME, NodeKind.LOOP) for each in node.walk()):
        yield node


_SPAN = re.compile(r"(\d+)\s*(d|day|days|w|week|weeks|mo|months?|y|years?)\Z")
_DATE = re.compile(r"\d{4}-\d\d-\d\d\Z")
_HOURS = {"d": 24, "w": 168}


def _literal_problem(node: ExpressionNode, failed: str, words: TokenizedSource) -> ExpressionProblem:
    offset, length = _span_of(node, words)
    literal = node.children[0].value if len(node.children) == 1 else None
    if node.name == "duration" and isinstance(literal, str):
        found = _SPAN.match(literal.strip())
        hours = int(found[1]) * _HOURS.get(found[2][0], 0) if found and not found[2].startswith("mo") else 0
        fix = f'duration("{hours}h")' if hours else None
        how = f"write `{fix}`, or" if fix else "the largest unit is hours, as in `720h`;"
        message = f"a duration has no days: {how} compare a fact in days, such as `person.account_days`"
        return ExpressionProblem("duration", message, offset, length, fix)
    if node.name == "timestamp" and isinstance(literal, str):
        whole = literal.strip()
        fix = f'timestamp("{whole}T00:00:00Z")' if _DATE.match(whole) else None
        how = f"write `{fix}`" if fix else 'as in `timestamp("2027-06-30T00:00:00Z")`'
        return ExpressionProblem("timestamp", f"a timestamp needs a date and a time: {how}", offset, length, fix)
    why = make_visible(failed.partition(": ")[2] or failed, one_line=True)[:100]
    return ExpressionProblem("literal", f"this literal always fails: {why}", offset, length)


_LET_TYPES: Final = re.compile(
    r"(list<)?(bool|int|double|string|timestamp|duration)>?|map<string, (bool|int|double|string)>"
)


def check_result_type(of_type: str, words: TokenizedSource, *, is_let: bool) -> None:
    """Raise ExpressionProblem for a condition that is not a bool, and for a `let` of a type that facts cannot have."""
    span = words.span([0, max(len(words.source) - 1, 0)])
    if is_let and not _LET_TYPES.fullmatch(of_type):
        raise ExpressionProblem("type", f"a `let` cannot be {describe_type(of_type)}", *span)
    if not is_let and of_type != "bool":
        what = describe_type(of_type)
        raise ExpressionProblem(
            "type", f"a condition must be true or false, but this is {what}: compare it with a value", *span
        )
