"""Reads the tests of one fact from a tree: `person.account_days > 30`, `"acme" in person.orgs`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from hf_gate.core.policy_model import TruthValue
from hf_gate.policies.facts.fact_table import CelType, find_declaration

from .expression_compiler import parse_timestamp
from .expression_parser import MIRRORED, ExpressionNode, NodeKind, cache_by_length, parse_expression
from .expression_problems import ExpressionProblem

Literal: TypeAlias = "bool | int | str | datetime"

IS_TRUE: Final = "is"
"""The operator of a bare true-or-false fact, without values."""

INCLUDES: Final = "includes"
"""The operator for a list that contains at least one of the values, and for a form that has the label `values[0]`."""

OPPOSITES: Mapping[str, str] = MappingProxyType(
    {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">", "in": "not in", "not in": "in"}
)
_SEARCHES: Final = ("startsWith", "endsWith", "contains", "matches")


class FactCondition(Struct, frozen=True):
    """A test of one fact: `fact op values`, or its opposite if `is_negated`.

    `key` is a form label or a table column. `has_size` compares the length of a text or list. `op` is a comparison,
    `in`, a method (`contains`, ...), IS_TRUE or INCLUDES. `node` is the test in its tree, and `literals` are the nodes
    of the values there.
    """

    fact: str
    op: str
    values: tuple[Literal, ...] = ()
    key: str | None = None
    has_size: bool = False
    is_negated: bool = False
    node: ExpressionNode | None = None
    literals: tuple[ExpressionNode, ...] = ()

    @property
    def span(self) -> tuple[int, int]:
        """The offset and the length of the test in the source."""
        return (0, 0) if self.node is None else self.node.span

    @property
    def type(self) -> CelType:
        """The type of the compared value."""
        declaration = find_declaration(self.fact)
        if self.has_size or declaration is None:
            return CelType.INT
        return CelType.STRING if self.key is not None else declaration.type


@cache_by_length
def parse_fact_condition(expr: str) -> FactCondition | None:
    """Parse an expression that tests one fact; None for any other expression."""
    try:
        return read_condition(parse_expression(expr).root)
    except ExpressionProblem:
        return None


def read_condition(node: ExpressionNode) -> FactCondition | None:
    """Return the test of one fact that a node is; None for any other node."""
    if node.is_operator("!"):
        found = read_condition(node.children[0])
        return None if found is None else replace(found, is_negated=not found.is_negated)
    found = _read_test(node)
    return None if found is None else replace(found, node=node)


def _read_test(node: ExpressionNode) -> FactCondition | None:
    if node.kind is NodeKind.NAME:
        subject = _read_subject(node)
        return subject if subject is not None and subject.type is CelType.BOOL else None
    if node.is_operator("in"):
        return _read_membership(*node.children)
    if node.is_operator(*MIRRORED):
        left, right = node.children
        return _compare(left, node.name, (right,)) or _compare(right, MIRRORED[node.name], (left,))
    if node.kind is not NodeKind.CALL or len(node.children) < 2:
        return None
    if node.name == "exists":
        return _read_exists(node)
    subject = _read_subject(node.children[0])
    value = _read_literal(node.children[1])
    is_text = subject is not None and subject.type is CelType.STRING
    if node.name not in _SEARCHES or subject is None or not is_text or type(value) is not str:
        return None
    return replace(subject, op=node.name, values=(value,), literals=node.children[1:])


def _read_subject(node: ExpressionNode) -> FactCondition | None:
    """Return a fact, one text of a map fact, or the size of either, as a test without values."""
    if node.kind is NodeKind.NAME:
        return None if find_declaration(node.name) is None else FactCondition(node.name, IS_TRUE)
    if node.kind is NodeKind.CALL and node.name == "size" and len(node.children) == 1:
        measured = _read_subject(node.children[0])
        is_valid = measured is not None and measured.type in (CelType.STRING, CelType.LIST)
        return replace(measured, has_size=True) if measured is not None and is_valid else None
    if node.kind is not NodeKind.FIELD and not node.is_operator("[]"):
        return None
    entries = _read_subject(node.children[0])
    key = node.name if node.kind is NodeKind.FIELD else _read_literal(node.children[1])
    is_valid = entries is not None and entries.key is None and entries.type is CelType.MAP
    return replace(entries, key=key) if entries is not None and is_valid and isinstance(key, str) else None


def _read_literal(node: ExpressionNode) -> Literal | None:
    if node.kind is NodeKind.CONST and isinstance(node.value, bool | int | str):
        return node.value
    if node.kind is NodeKind.CALL and node.name == "timestamp" and len(node.children) == 1:
        moment = parse_timestamp(str(node.children[0].value))
        return None if isinstance(moment, TruthValue) else moment
    return None


_PYTHON_TYPES: Final[Mapping[CelType, type]] = MappingProxyType(
    {CelType.BOOL: bool, CelType.INT: int, CelType.STRING: str, CelType.TIMESTAMP: datetime}
)


def _compare(left: ExpressionNode, op: str, literals: tuple[ExpressionNode, ...]) -> FactCondition | None:
    """Return a comparison of a fact with literals of its type."""
    subject = _read_subject(left)
    values = tuple(value for literal in literals if (value := _read_literal(literal)) is not None)
    if subject is None or len(values) != len(literals) or not values:
        return None
    kind = subject.type
    expected = _PYTHON_TYPES.get(kind)
    if expected is None or any(type(value) is not expected for value in values):
        return None
    if kind is CelType.BOOL:
        return replace(subject, is_negated=(op == "==") is not values[0]) if op in ("==", "!=") else None
    if op not in ("==", "!=", "in") and kind is CelType.STRING:
        return None
    return replace(subject, op=op, values=values, literals=literals)


def _read_membership(item: ExpressionNode, whole: ExpressionNode) -> FactCondition | None:
    """Return the test for `x in ["a", "b"]`, `"acme" in person.orgs` or `"Label" in form`."""
    if whole.kind is NodeKind.LIST:
        return _compare(item, "in", whole.children)
    subject = _read_subject(whole)
    if subject is None or subject.type not in (CelType.LIST, CelType.MAP) or not isinstance(item.value, str):
        return None
    return replace(subject, op=INCLUDES, values=(item.value,), literals=(item,))


def _read_exists(node: ExpressionNode) -> FactCondition | None:
    """Return the test for `orgs.exists(o, o in ["a"])`, `orgs.exists(o, o == "a")` or `["a"].exists(o, o in orgs)`."""
    many = node.children[0]
    body = node.children[-1]
    if not body.is_operator("in", "==") or body.children[0].kind not in (NodeKind.NAME, NodeKind.ITEM):
        return None
    if len(node.children) == 3 and body.children[0].name != node.children[1].name:
        return None
    listed = body.children[1]
    if many.kind is NodeKind.LIST and body.name == "in":
        many, listed = listed, many
    literals = (listed,) if body.name == "==" else listed.children
    subject = _read_subject(many)
    values = tuple(literal.value for literal in literals)
    texts = tuple(value for value in values if isinstance(value, str))
    if subject is None or subject.type is not CelType.LIST or not texts or len(texts) != len(values):
        return None
    return replace(subject, op=INCLUDES, values=texts, literals=literals)
