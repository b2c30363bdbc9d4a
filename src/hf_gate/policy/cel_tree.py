"""Decodes the tree of a serialized `cel.expr.CheckedExpr`, and encodes branches as separate messages.

This is the tree that the engine checked, not a second parse. This module reads the protobuf wire format (varints and
length-delimited fields) itself; decision 12 says why.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import StrEnum
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

Constant: TypeAlias = "bool | int | float | str | bytes | None"
_Raw: TypeAlias = "int | bytes"


class NodeKind(StrEnum):
    """The kinds of CEL nodes."""

    CONST = "const"
    NAME = "name"
    SELECT = "select"
    CALL = "call"
    LIST = "list"
    MAP = "map"
    LOOP = "loop"  # the expansion of `all`, `exists`, `exists_one`, `map` and `filter`


class ExpressionNode(Struct, frozen=True):
    """One node.

    `name` is the name of a fact, variable, field, function, message or loop accumulator; `at` is the node's offset.
    `children` are in source order; the first child of a method is its receiver. The children of a loop are range,
    start, condition, step and result. `raw` is the serialized node.
    """

    kind: NodeKind
    at: int
    raw: bytes
    name: str = ""
    value: Constant = None
    children: tuple[ExpressionNode, ...] = ()
    type: str = ""  # bool, int, uint, double, string, bytes, null, list, map, timestamp, duration, dyn, other
    variable: str = ""  # of a loop
    id: int = 0  # the node's number in the message

    def walk(self) -> Iterator[ExpressionNode]:
        """Yield this node and all its descendants in source order."""
        yield self
        for child in self.children:
            yield from child.walk()


class CheckedExpression(Struct, frozen=True):
    """A decoded message: the tree, and what is needed to encode one of its branches."""

    root: ExpressionNode
    type_url: bytes
    annotations: dict[int, bytes]  # serialized types and references by node id

    def encode_branch(self, node: ExpressionNode) -> bytes:
        """Encode a branch as a separate message, with the annotations of only its nodes."""
        about = b"".join(self.annotations.get(each.id, b"") for each in node.walk())
        return _encode_field(1, self.type_url) + _encode_field(2, about + _encode_field(_TREE, node.raw))


# ---- field numbers: github.com/google/cel-spec, proto/cel/expr ------------------------------

_REFERENCES, _TYPES, _TREE, _SOURCE = 2, 3, 4, 5
_POSITIONS = 4
_KINDS = {
    3: NodeKind.CONST,
    4: NodeKind.NAME,
    5: NodeKind.SELECT,
    6: NodeKind.CALL,
    7: NodeKind.LIST,
    8: NodeKind.MAP,
    9: NodeKind.LOOP,
}
_PRIMITIVES = {1: "bool", 2: "int", 3: "uint", 4: "double", 5: "string", 6: "bytes"}
_WELL_KNOWN = {2: "timestamp", 3: "duration"}
_TYPE_FIELDS = {1: "dyn", 2: "null", 6: "list", 7: "map"}


def decode_checked_expression(serialized: bytes) -> CheckedExpression:
    """Decode the message of an `Any`. Raises ValueError if the bytes are not a checked expression."""
    try:
        outer = dict(_decode_fields(serialized))
        fields = tuple((field, _as_bytes(value)) for field, value in _decode_fields(_as_bytes(outer[2])))
        about = _TreeDecoder(_decode_types(fields), _decode_positions(fields))
        tree = next(value for field, value in fields if field == _TREE)
        root = about.decode(tree)
    except (KeyError, IndexError, StopIteration, TypeError, struct.error) as error:
        raise ValueError(f"not a checked expression: {error}") from error
    return CheckedExpression(root, _as_bytes(outer[1]), _annotations_by_node(fields))


class _TreeDecoder(Struct, frozen=True):
    types: dict[int, str]
    positions: dict[int, int]

    def decode(self, raw: bytes) -> ExpressionNode:
        identity, kind, body = 0, None, b""
        for field, value in _decode_fields(raw):
            if field == 2:
                identity = _as_int(value)
            elif field in _KINDS:
                kind, body = _KINDS[field], _as_bytes(value)
        if kind is None:
            raise TypeError("a node without a kind")
        at, of_type = self.positions.get(identity, 0), self.types.get(identity, "other")
        return replace(_READERS[kind](self, at, raw, of_type, body), id=identity)

    def decode_const(self, at: int, raw: bytes, of_type: str, body: bytes) -> ExpressionNode:
        value: Constant = None
        for field, found in _decode_fields(body):
            value = _decode_constant(field, found)
        return ExpressionNode(NodeKind.CONST, at, raw, value=value, type=of_type)

    def decode_name(self, at: int, raw: bytes, of_type: str, body: bytes) -> ExpressionNode:
        name = next((_as_text(value) for field, value in _decode_fields(body) if field == 1), "")
        return ExpressionNode(NodeKind.NAME, at, raw, name=name, type=of_type)

    def decode_select(self, at: int, raw: bytes, of_type: str, body: bytes) -> ExpressionNode:
        fields = dict(_decode_fields(body))
        below = (self.decode(_as_bytes(fields[1])),)
        return ExpressionNode(NodeKind.SELECT, at, raw, name=_as_text(fields.get(2, b"")), children=below, type=of_type)

    def decode_call(self, at: int, raw: bytes, of_type: str, body: bytes) -> ExpressionNode:
        name, target, arguments = "", list[ExpressionNode](), list[ExpressionNode]()
        for field, value in _decode_fields(body):
            if field == 1:
                target.append(self.decode(_as_bytes(value)))
            elif field == 2:
                name = _as_text(value)
            elif field == 3:
                arguments.append(self.decode(_as_bytes(value)))
        below = (*target, *arguments)
        return ExpressionNode(NodeKind.CALL, at, raw, name=name, children=below, type=of_type)

    def decode_list(self, at: int, raw: bytes, of_type: str, body: bytes) -> ExpressionNode:
        below = tuple(self.decode(_as_bytes(value)) for field, value in _decode_fields(body) if field == 1)
        return ExpressionNode(NodeKind.LIST, at, raw, children=below, type=of_type)

    def decode_map(self, at: int, raw: bytes, of_type: str, body: bytes) -> ExpressionNode:
        name, below = "", list[ExpressionNode]()
        for field, value in _decode_fields(body):
            if field == 1:
                name = _as_text(value)
            elif field == 2:
                entry = dict(_decode_fields(_as_bytes(value)))
                below += [self.decode(_as_bytes(entry[part])) for part in (3, 4) if part in entry]
        return ExpressionNode(NodeKind.MAP, at, raw, name=name, children=tuple(below), type=of_type)

    def decode_loop(self, at: int, raw: bytes, of_type: str, body: bytes) -> ExpressionNode:
        variable, gathered, below = "", "", list[ExpressionNode]()
        for field, value in _decode_fields(body):
            if field == 1:
                variable = _as_text(value)
            elif field == 3:
                gathered = _as_text(value)
            elif field in (2, 4, 5, 6, 7):
                below.append(self.decode(_as_bytes(value)))
        return ExpressionNode(
            NodeKind.LOOP, at, raw, name=gathered, variable=variable, children=tuple(below), type=of_type
        )


_READERS = {
    NodeKind.CONST: _TreeDecoder.decode_const,
    NodeKind.NAME: _TreeDecoder.decode_name,
    NodeKind.SELECT: _TreeDecoder.decode_select,
    NodeKind.CALL: _TreeDecoder.decode_call,
    NodeKind.LIST: _TreeDecoder.decode_list,
    NodeKind.MAP: _TreeDecoder.decode_map,
    NodeKind.LOOP: _TreeDecoder.decode_loop,
}


def _decode_constant(field: int, value: _Raw) -> Constant:
    match field:
        case 2:
            return bool(value)
        case 3:
            number = _as_int(value)
            return number - (1 << 64) if number >> 63 else number
        case 4:
            return _as_int(value)
        case 5:
            return float(struct.unpack("<d", _as_bytes(value))[0])
        case 6:
            return _as_text(value)
        case 7:
            return _as_bytes(value)
        case _:
            return None


def _decode_types(fields: tuple[tuple[int, bytes], ...]) -> dict[int, str]:
    types = {}
    for field, value in fields:
        if field == _TYPES:
            entry = dict(_decode_fields(value))
            types[_as_int(entry[1])] = _type_name(_as_bytes(entry.get(2, b"")))
    return types


def _type_name(body: bytes) -> str:
    for field, value in _decode_fields(body):
        if field == 3:
            return _PRIMITIVES.get(_as_int(value), "other")
        if field == 5:
            return _WELL_KNOWN.get(_as_int(value), "other")
        return _TYPE_FIELDS.get(field, "other")
    return "other"


def _annotations_by_node(fields: tuple[tuple[int, bytes], ...]) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    for field, value in fields:
        if field in (_REFERENCES, _TYPES):
            ident = _as_int(dict(_decode_fields(value))[1])
            found[ident] = found.get(ident, b"") + _encode_field(field, value)
    return found


def _decode_positions(fields: tuple[tuple[int, bytes], ...]) -> dict[int, int]:
    positions = {}
    for field, value in fields:
        if field == _SOURCE:
            for inner, pair in _decode_fields(value):
                if inner == _POSITIONS:
                    entry = dict(_decode_fields(_as_bytes(pair)))
                    positions[_as_int(entry[1])] = _as_int(entry.get(2, 0))
    return positions


# ---- the wire format -------------------------------------------------------------------------------------------------


def _decode_fields(data: bytes) -> Iterator[tuple[int, _Raw]]:
    index = 0
    while index < len(data):
        key, index = _decode_varint(data, index)
        match key & 7:
            case 0:
                number, index = _decode_varint(data, index)
                yield key >> 3, number
                continue
            case 1:
                size = 8
            case 2:
                size, index = _decode_varint(data, index)
            case 5:
                size = 4
            case _:
                raise TypeError("an unknown wire type")
        if index + size > len(data):
            raise IndexError("a field is longer than its message")
        yield key >> 3, data[index : index + size]
        index += size


def _decode_varint(data: bytes, index: int) -> tuple[int, int]:
    number, shift = 0, 0
    while True:
        byte = data[index]
        index += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, index
        shift += 7
        if shift > 63:
            raise TypeError("a varint without an end")


def _encode_field(field: int, value: bytes) -> bytes:
    return _encode_varint(field << 3 | 2) + _encode_varint(len(value)) + value


def _encode_varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _as_bytes(value: _Raw) -> bytes:
    if isinstance(value, bytes):
        return value
    raise TypeError("expected a message, found a number")


def _as_int(value: _Raw) -> int:
    if isinstance(value, int):
        return value
    raise TypeError("expected a number, found a message")


def _as_text(value: _Raw) -> str:
    return _as_bytes(value).decode("utf-8", "replace")
