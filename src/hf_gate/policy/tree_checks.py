"""What is read from a checked expression, and what is refused in it although its types are right."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Protocol

from ..domain.text import visible
from .cel_tree import Constant, ExpressionNode, NodeKind
from .expression_problems import FUNCTIONS, MACROS, ExpressionProblem, null_problem
from .tokens import TokenizedSource


@dataclass(frozen=True, slots=True)
class Comparison:
    """A fact beside literals: `fact op value`, turned round where the literal stands first; also `in` and methods."""

    fact: str
    op: str  # == != < <= > >= in, startsWith endsWith contains matches
    values: tuple[Constant, ...]
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class BranchNames:
    """What one branch names. `lets` in the order of their first use."""

    facts: frozenset[str]
    lets: tuple[str, ...]
    labels: frozenset[str]
    comparisons: tuple[Comparison, ...]


def collect_names(
    root: ExpressionNode, words: TokenizedSource, declared: Container[str], lets: Container[str]
) -> BranchNames:
    """The facts, names, labels and comparisons of a branch."""
    facts, used, labels, comparisons = set(), dict[str, None](), set(), []
    for node in root.walk():
        if node.kind is NodeKind.NAME and node.name in declared:
            facts.add(node.name)
        elif node.kind is NodeKind.NAME and node.name in lets:
            used[node.name] = None
        label = _label(node)
        if label is not None:
            labels.add(label)
        found = _comparison(node, words, declared)
        if found is not None:
            comparisons.append(found)
    return BranchNames(frozenset(facts), tuple(used), frozenset(labels), tuple(comparisons))


def _is_form_map(node: ExpressionNode) -> bool:
    return node.kind is NodeKind.NAME and node.name == "form"


def _label(node: ExpressionNode) -> str | None:
    """The label of the form that is asked for: `form["x"]`, `form.x` or `"x" in form`."""
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
_TURNED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "==": "==", "!=": "!="}
_METHODS = ("startsWith", "endsWith", "contains", "matches")


def _comparison(node: ExpressionNode, words: TokenizedSource, declared: Container[str]) -> Comparison | None:
    if node.kind is not NodeKind.CALL or len(node.children) != 2:
        return None
    op = _OPS.get(node.name, node.name if node.name in _METHODS else "")
    left, right = node.children
    if op in _TURNED and left.kind is NodeKind.CONST:
        left, right, op = right, left, _TURNED[op]
    if not op or left.kind is not NodeKind.NAME or left.name not in declared:
        return None
    literals = right.children if op == "in" and right.kind is NodeKind.LIST else (right,)
    if any(each.kind is not NodeKind.CONST for each in literals):
        return None
    offset, length = words.span([each.at for each in node.walk()])
    return Comparison(left.name, op, tuple(each.value for each in literals), offset, length)


# ---- refused although the types are right --------------------------------------------------------------------------------

MAX_LOOPS = 2  # one inside the other
MAX_PATTERN = 256  # code points of a regular expression


class BranchEvaluator(Protocol):
    """Evaluates what needs no fact."""

    def evaluation_error(self, node: ExpressionNode) -> str | None: ...

    def pattern_error(self, pattern: str) -> str | None: ...


def check_tree(
    root: ExpressionNode, words: TokenizedSource, declared: Container[str], lets: Container[str], trial: BranchEvaluator
) -> None:
    """Raises ExpressionProblem for what opens by failure, literals that always fail, and loops inside loops."""
    _check_nodes(root, frozenset(), words, declared, lets)
    for node in root.walk():
        if node.kind is NodeKind.CALL and node.name == "matches":
            _check_pattern(node, words, trial)
    _check_loops(root, 0, words, declared, lets)
    _check_literals(root, words, trial)


_STRICT = frozenset(
    (
        *("_&&_", "_||_", "!_", "_?_:_", "_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "@in", "_[_]"),
        *("-_", "_+_", "_-_", "_*_", "_/_", "_%_"),
        *(name for name in FUNCTIONS if name not in MACROS),
    )
)
"""All that may be called. The engine has more, and some of it (`__not_strictly_false__`, `type`) is true of an unknown."""


def _check_nodes(
    node: ExpressionNode,
    variables: frozenset[str],
    words: TokenizedSource,
    declared: Container[str],
    lets: Container[str],
) -> None:
    """What does not stand in the language of policies, although the engine would take it."""
    refused = ""
    if node.kind is NodeKind.CALL and node.name not in _STRICT:
        refused = f"there is no function `{node.name}`"
    elif node.kind is NodeKind.MAP and node.name:
        refused = "messages are not made here"
    elif (
        node.kind is NodeKind.NAME
        and node.name not in variables
        and node.name not in declared
        and node.name not in lets
    ):
        refused = f"`{node.name}` is the name of a type, not of a fact"
    elif node.kind is NodeKind.CONST and node.value is None:
        raise null_problem(*_span(node, words))
    if refused:
        raise ExpressionProblem("not-here", visible(refused, one_line=True), *_span(node, words))
    if node.kind is NodeKind.LOOP:
        # Range, start, condition, step, result: the condition is the engine's own, all that people wrote is in the rest.
        inside = variables | {node.variable, node.name}
        for place, child in enumerate(node.children):
            if place != 2:
                _check_nodes(child, inside if place else variables, words, declared, lets)
        return
    for child in node.children:
        _check_nodes(child, variables, words, declared, lets)


def _span(node: ExpressionNode, words: TokenizedSource) -> tuple[int, int]:
    return words.span([each.at for each in node.walk()])


def _check_pattern(node: ExpressionNode, words: TokenizedSource, trial: BranchEvaluator) -> None:
    pattern = node.children[-1]
    span = _span(pattern, words)
    if not isinstance(pattern.value, str):
        raise ExpressionProblem(
            "pattern", "the pattern of `matches` is written out in quotes, never taken from a fact", *span
        )
    if len(pattern.value) > MAX_PATTERN:
        raise ExpressionProblem("pattern", f"a pattern is at most {MAX_PATTERN} characters", *span)
    if re.search(r"\{\d*,?\d{3,}", pattern.value) or len(re.findall(r"\{\d", pattern.value)) > 8:
        raise ExpressionProblem("pattern", "a pattern repeats at most 99 times, and in at most 8 places", *span)
    failed = trial.pattern_error(pattern.value)
    if failed is not None:
        why = failed.partition("invalid regular expression: ")[2] or failed
        raise ExpressionProblem("pattern", f"this is no regular expression: {visible(why, one_line=True)[:80]}", *span)


def _check_loops(
    node: ExpressionNode, depth: int, words: TokenizedSource, declared: Container[str], lets: Container[str]
) -> None:
    if node.kind is NodeKind.LOOP:
        if depth == MAX_LOOPS:
            raise ExpressionProblem(
                "too-costly", "at most two lists are gone through inside each other", *_span(node, words)
            )
        _check_variable(node, words, declared, lets)
    for place, child in enumerate(node.children):
        inside = depth + 1 if node.kind is NodeKind.LOOP and place else depth
        if inside and _is_concatenation(child):
            raise ExpressionProblem("too-costly", "nothing is joined with `+` inside a loop", *_span(child, words))
        _check_loops(child, inside, words, declared, lets)


def _is_concatenation(node: ExpressionNode) -> bool:
    """Whether texts or lists grow here; not `@result + [x]`, into which the engine turns `map` and `filter`."""
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
        what = f"`{visible(node.variable, one_line=True)}` is the name of facts; call the item otherwise"
        raise ExpressionProblem("shadow", what, *_span(node, words))


def _check_literals(root: ExpressionNode, words: TokenizedSource, trial: BranchEvaluator) -> None:
    for node in _constant_calls(root):
        failed = trial.evaluation_error(node)
        if failed is not None:
            raise _literal_problem(node, failed, words)


def _constant_calls(node: ExpressionNode) -> Iterator[ExpressionNode]:
    """The innermost calls whose outcome depends on no name at all, before those around them."""
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
    offset, length = _span(node, words)
    literal = node.children[0].value if len(node.children) == 1 else None
    if node.name == "duration" and isinstance(literal, str):
        found = _SPAN.match(literal.strip())
        hours = int(found[1]) * _HOURS.get(found[2][0], 0) if found and not found[2].startswith("mo") else 0
        fix = f'duration("{hours}h")' if hours else None
        how = f"write `{fix}`, or" if fix else "hours are the largest unit, as in `720h`;"
        message = f"a time span has no days: {how} compare a fact in days, such as `person.account_days`"
        return ExpressionProblem("duration", message, offset, length, fix)
    if node.name == "timestamp" and isinstance(literal, str):
        whole = literal.strip()
        fix = f'timestamp("{whole}T00:00:00Z")' if _DATE.match(whole) else None
        how = f"write `{fix}`" if fix else 'as in `timestamp("2027-06-30T00:00:00Z")`'
        return ExpressionProblem("timestamp", f"a moment is written in full: {how}", offset, length, fix)
    why = visible(failed.partition(": ")[2] or failed, one_line=True)[:100]
    return ExpressionProblem("literal", f"this always fails: {why}", offset, length)
