"""Parses the text of an expression to a tree with positions: a typed subset of CEL, the same for every reader of it."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from typing import Final, TypeAlias, TypeVar

from msgspec import Struct

from hf_gate.base.display_text import make_visible

from .expression_problems import ExpressionProblem, check_foreign_sign, check_foreign_word

MAX_SOURCE: Final = 4096  # bytes
MAX_DEPTH: Final = 64  # operands within operands
MAX_TREE: Final = 2 * MAX_DEPTH  # nodes above each other, also those of `let` names; it bounds all recursion
MIRRORED: Final = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "==": "==", "!=": "!="}
"""Each comparison as it is written with its sides exchanged."""

_SHORT: Final = 256  # code points

Constant: TypeAlias = "bool | int | float | str | None"


class NodeKind(StrEnum):
    """The kinds of nodes."""

    CONST = "const"
    NAME = "name"  # a fact or a `let`
    ITEM = "item"  # the variable of a loop
    FIELD = "field"  # `form.x`
    LIST = "list"
    OPERATOR = "operator"
    CALL = "call"


class ExpressionNode(Struct, frozen=True):
    """One node; `start` and `end` are its code points in the source without brackets around it, `at` its operator.

    `name` is the fact, field, function or operator (`[]` and `?:` among them). Joined conditions have one node:
    `a && b && c` has three children. The first child of a method is its receiver. Checking sets the other fields:
    `text` and `items` are the largest size of the value, `cost` counts steps, and `unfolded` the nodes after expanding
    `let` names, with the condition of a `?:` counted twice. `depth` is the number of nodes above each other.
    """

    kind: NodeKind
    start: int
    end: int
    name: str = ""
    value: Constant = None
    children: tuple[ExpressionNode, ...] = ()
    at: int = 0
    is_method: bool = False
    type: str = ""
    text: int = 0
    items: int = 0
    cost: int = 0
    unfolded: int = 0
    depth: int = 1
    is_constant: bool = False

    @property
    def span(self) -> tuple[int, int]:
        """The offset and the length."""
        return self.start, self.end - self.start

    @property
    def name_span(self) -> tuple[int, int]:
        """The offset and the length of the operator or the name of the function."""
        return self.at, len(self.name.rstrip(":]"))

    def walk(self) -> Iterator[ExpressionNode]:
        """Yield this node and all its descendants in source order."""
        yield self
        for child in self.children:
            yield from child.walk()

    def is_operator(self, *signs: str) -> bool:
        """Tell whether this is one of these operators."""
        return self.kind is NodeKind.OPERATOR and self.name in signs


class SourceToken(Struct, frozen=True):
    """One token; `start` and `end` are code point offsets in the source."""

    kind: str  # text, number, name, sign, end
    text: str
    start: int
    end: int

    def is_sign(self, *signs: str) -> bool:
        """Tell whether this is one of these signs, outside of texts."""
        return self.kind == "sign" and self.text in signs


class ParsedExpression(Struct, frozen=True):
    """A source with its tokens and its tree."""

    source: str
    tokens: tuple[SourceToken, ...]
    root: ExpressionNode

    def text(self, start: int, end: int) -> str:
        """Return a piece of the source on one line, without comments."""
        first, last = (bisect_left(self.tokens, at, key=lambda token: token.start) for at in (start, end))
        return _join_tokens(self.tokens[first:last])

    @property
    def conjuncts(self) -> tuple[ExpressionNode, ...]:
        """The conditions that are joined by `&&`; the whole if there are none."""
        return self.root.children if self.root.is_operator("&&") else (self.root,)

    @property
    def whole_text(self) -> str:
        """The whole source on one line, without comments."""
        return _join_tokens(self.tokens)


def _join_tokens(tokens: tuple[SourceToken, ...]) -> str:
    gaps = [" " if left.end < right.start else "" for left, right in pairwise(tokens)]
    return "".join(token.text + gap for token, gap in zip(tokens, [*gaps, ""], strict=True))


_Parsed = TypeVar("_Parsed")


def cache_by_length(parse: Callable[[str], _Parsed]) -> Callable[[str], _Parsed]:
    """Cache what a function reads from a source; only few long ones, because a tree takes up to a megabyte."""
    short, long = lru_cache(maxsize=1024)(parse), lru_cache(maxsize=32)(parse)
    return lambda source: (short if len(source) <= _SHORT else long)(source)


@cache_by_length
def parse_expression(source: str) -> ParsedExpression:
    """Parse an expression. Raises ExpressionProblem with the position of the first mistake."""
    if len(source.encode("utf-8", "replace")) > MAX_SOURCE:
        raise ExpressionProblem("too-long", "an expression has at most 4 KiB; split it with `let`", 0, len(source))
    tokens = _tokenize(source)
    if not tokens:
        raise ExpressionProblem("empty", "the expression is empty; remove the key to match always", 0, len(source))
    _check_foreign_syntax(source, tokens)
    return ParsedExpression(source, tokens, _Parser(source, tokens).parse())


def read_names(source: str) -> tuple[str, ...]:
    """Return the names of facts and `let` in the order of their first use; none of a text that is no expression."""
    try:
        nodes = parse_expression(source).root.walk()
    except ExpressionProblem:
        return ()
    return tuple(dict.fromkeys(node.name for node in nodes if node.kind is NodeKind.NAME))


# ---- tokens ----------------------------------------------------------------------------------------------------------

_TOKEN: Final = re.compile(
    r"""
    (?P<space> [ \t\r\n\f]+ | //[^\n]* )
  | (?P<text> [bB]?[rR][bB]? (?: "[^"\n]*" | '[^'\n]*' )
            | [bB]? (?: \"\"\"(?:[^\\]|\\.)*?\"\"\" | '''(?:[^\\]|\\.)*?'''
                      | "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*' ) )
  | (?P<number> 0x[0-9a-fA-F]+u? | (?:\d+\.\d+|\.\d+|\d+)(?:[eE][+-]?\d+)?[uU]? )
  | (?P<name> [A-Za-z_][A-Za-z0-9_]* )
  | (?P<sign> === | !== | && | \|\| | == | != | <= | >= | <> | . )
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)


def _tokenize(source: str) -> tuple[SourceToken, ...]:
    """Split a source into tokens, up to a text that is never closed. An unknown character becomes a sign."""
    return tuple(
        SourceToken(match.lastgroup or "sign", match[0], match.start(), match.end())
        for match in _match_pieces(source)
        if match.lastgroup != "space"
    )


def _match_pieces(source: str) -> Iterator[re.Match[str]]:
    for match in _TOKEN.finditer(source):
        yield match
        if match[0] in ('"', "'"):  # never closed: each further mark would be searched up to the end
            return


def normalize_expression(source: str) -> str:
    """Return an expression with single spaces and without comments; quoted text is unchanged."""
    pieces = [*_match_pieces(source)]
    rest = source[pieces[-1].end() :] if pieces else ""
    return ("".join(" " if piece.lastgroup == "space" else piece[0] for piece in pieces) + rest).strip()


def _check_foreign_syntax(source: str, tokens: tuple[SourceToken, ...]) -> None:
    """Raise ExpressionProblem for hidden characters, and for words and signs of other languages."""
    shown = make_visible(source)
    if shown != source:
        at = next((i for i, (a, b) in enumerate(zip(source, shown, strict=False)) if a != b), 0)
        message = f"an invisible character (U+{ord(source[at]):04X}); remove it"
        raise ExpressionProblem("hidden-character", message, at, 1, "")
    around = ("", *(token.text for token in tokens), "")
    for index, token in enumerate(tokens):
        if token.kind == "sign":
            check_foreign_sign(source, token.text, token.start)
        elif token.kind == "name" and around[index] != "." and around[index + 2] != ".":
            following = tokens[index + 1].start if index + 1 < len(tokens) else token.end
            if not (token.text.lower() == "not" and around[index + 2] == "in" and index):  # `x not in y`
                check_foreign_word(token.text, token.start, following)


_ESCAPE: Final = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))", re.DOTALL
)
_ESCAPES: Final = {
    **dict(zip("abfnrtv", "\a\b\f\n\r\t\v", strict=True)),
    **{char: char for char in "\\?\"'`"},
}


def _read_text(token: SourceToken) -> str:
    quoted = token.text.lstrip("bBrR")
    prefix = token.text[: len(token.text) - len(quoted)].lower()
    if "b" in prefix:
        raise ExpressionProblem(
            "not-here", "there are no bytes here: write a text, without the `b`", token.start, 1, ""
        )
    size = 3 if quoted[:3] in ('"""', "'''") else 1
    inside = quoted[size:-size]
    return inside if "r" in prefix else _ESCAPE.sub(lambda match: _read_escape(match, token), inside)


def _read_escape(match: re.Match[str], token: SourceToken) -> str:
    if match[5] in _ESCAPES:
        return _ESCAPES[match[5]]
    digits = match[1] or match[2] or match[3]
    code = -1 if match[5] else int(match[4], 8) if match[4] else int(digits, 16)
    if not 0 <= code < 0x110000 or 0xD800 <= code < 0xE000:
        shown = make_visible(match[0], one_line=True)
        message = f"`{shown}` is not valid in a text: write `\\\\` for a backslash"
        raise ExpressionProblem("literal", message, token.start, token.end - token.start)
    return chr(code)


def _read_number(text: str, start: int, length: int) -> int | float:
    if text[-1] in "uU":
        raise ExpressionProblem("not-here", "write the number without `u`", start, length, text[:-1])
    is_hex = text.lower().lstrip("-").startswith("0x")
    number = int(text, 16) if is_hex else float(text) if set(text) & set(".eE") else int(text)
    is_too_large = abs(number) == float("inf") if isinstance(number, float) else not -(1 << 63) <= number < 1 << 63
    if is_too_large:
        shown = text if len(text) <= 40 else f"{text[:40]}..."
        raise ExpressionProblem("literal", f"the number `{shown}` is too large", start, length)
    return number


# ---- the tree --------------------------------------------------------------------------------------------------------

_LEVELS: Final = {
    "||": 1, "&&": 2, **dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "in"), 3),
    "+": 4, "-": 4, "*": 5, "/": 5, "%": 5,
}  # fmt: skip
_CONSTANTS: Final = {"true": True, "false": False, "null": None}
_RESERVED: Final = frozenset(
    (
        *("as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package"),
        *("namespace", "return", "var", "void", "while"),
    )
)


class _Parser:
    """A parser by precedence. `depth` counts the operands around the one that is read."""

    def __init__(self, source: str, tokens: tuple[SourceToken, ...]) -> None:
        self._source = source
        self._tokens = tokens
        self._index = 0
        self._end = SourceToken("end", "", len(source), len(source))

    def parse(self) -> ExpressionNode:
        root = self._parse_choice(0)
        if self._index < len(self._tokens):
            raise self._make_syntax_problem()
        return root

    @property
    def _next(self) -> SourceToken:
        return self._tokens[self._index] if self._index < len(self._tokens) else self._end

    def _take(self) -> SourceToken:
        token = self._next
        if token.kind == "end":
            raise self._make_syntax_problem()
        self._index += 1
        return token

    def _accept(self, sign: str) -> bool:
        is_next = self._next.is_sign(sign)
        self._index += is_next
        return is_next

    def _expect(self, sign: str) -> None:
        if not self._accept(sign):
            raise self._make_syntax_problem()

    def _make(
        self,
        kind: NodeKind,
        name: str,
        first: int,
        at: SourceToken,
        children: tuple[ExpressionNode, ...] = (),
        *,
        value: Constant = None,
        is_method: bool = False,
    ) -> ExpressionNode:
        """Build a node from token number `first` up to the last token that was taken."""
        start = self._tokens[first].start
        end = self._tokens[self._index - 1].end
        depth = 1 + max((child.depth for child in children), default=0)
        self._check_depth(depth, MAX_TREE)
        return ExpressionNode(kind, start, end, name, value, children, at.start, is_method, depth=depth)

    def _check_depth(self, depth: int, most: int = MAX_DEPTH) -> None:
        if depth > most:
            hint = "this is nested too deeply; use `in [...]` for lists, or split it with `let`"
            raise ExpressionProblem("too-deep", hint, 0, len(self._source))

    def _make_syntax_problem(self) -> ExpressionProblem:
        """Return the problem of the next token."""
        token = self._next
        if token.kind == "end":
            last = self._tokens[-1]
            return ExpressionProblem(
                "syntax", "the expression ends too early; complete it", last.start, last.end - last.start
            )
        what = f"unexpected `{make_visible(token.text, one_line=True)[:40]}`"
        if token.text in _RESERVED:
            what = f"`{token.text}` is a reserved word"
        elif token.text in ("days", "day", "d", "weeks", "hours"):
            what = f"unexpected `{token.text}`: the facts `*_days` count whole days, so write the number alone"
        elif token.is_sign("{"):
            what = "there are no maps and messages here; use a list, as in `[1, 2]`"
        elif token.kind in ("name", "text", "number") and token.start > 0:
            what += "; is an operator (`&&`, `||`, `==`) or a comma missing before it?"
        return ExpressionProblem("syntax", what, token.start, token.end - token.start)

    # ---- operators ---------------------------------------------------------------------------------------------------

    def _parse_choice(self, depth: int) -> ExpressionNode:
        """Parse `a ? b : c`, or what binds more tightly."""
        self._check_depth(depth)
        first = self._index
        condition = self._parse_binary(1, depth)
        sign = self._next
        if not self._accept("?"):
            return condition
        yes = self._parse_binary(1, depth + 1)
        self._expect(":")
        no = self._parse_choice(depth + 1)
        return self._make(NodeKind.OPERATOR, "?:", first, sign, (condition, yes, no))

    def _parse_binary(self, level: int, depth: int) -> ExpressionNode:
        """Parse operands that are joined by operators of at least this level."""
        self._check_depth(depth)
        first = self._index
        left = self._parse_unary(depth)
        joined = ""
        while (own := self._next_level(left)) >= level:
            sign = self._take()
            depth += sign.text != joined or own > 2
            right = self._parse_binary(own + 1, depth)
            is_chain = own <= 2 and sign.text == joined
            parts = (*left.children, right) if is_chain else (left, right)
            joined = sign.text
            left = self._make(NodeKind.OPERATOR, sign.text, first, sign, parts)
        return left

    def _next_level(self, left: ExpressionNode) -> int:
        token = self._next
        if token.kind == "name" and token.text.lower() == "not":
            self._raise_not_in(left)
        return _LEVELS.get(token.text, 0) if token.kind == "sign" or token.text == "in" else 0

    def _raise_not_in(self, left: ExpressionNode) -> None:
        """Raise the problem of `x not in y`."""
        start = left.start
        following = self._tokens[self._index + 1 : self._index + 2]
        if not following or following[0].text != "in":
            return
        self._index += 2
        end = self._parse_binary(4, 1).end
        end = max(end, self._tokens[self._index - 1].end)
        fix = f"!({self._source[start : left.end]} {self._source[following[0].start : end]})"
        raise ExpressionProblem("foreign-word", "`x not in y` is written `!(x in y)`", start, end - start, fix)

    def _parse_unary(self, depth: int) -> ExpressionNode:
        self._check_depth(depth)
        first = self._index
        sign = self._next
        if not sign.is_sign("!", "-"):
            return self._parse_members(depth)
        self._index += 1
        if sign.text == "-" and self._next.kind == "number":
            token = self._take()
            number = _read_number(f"-{token.text}", sign.start, token.end - sign.start)
            return self._make(NodeKind.CONST, "", first, sign, value=number)
        return self._make(NodeKind.OPERATOR, sign.text, first, sign, (self._parse_unary(depth + 1),))

    # ---- operands ----------------------------------------------------------------------------------------------------

    def _parse_members(self, depth: int) -> ExpressionNode:
        """Parse an operand with its fields, keys and methods."""
        first = self._index
        node = self._parse_primary(depth)
        while self._next.is_sign(".", "["):
            self._check_depth(depth)
            sign = self._take()
            if sign.text == "[":
                key = self._parse_choice(depth + 1)
                self._expect("]")
                node = self._make(NodeKind.OPERATOR, "[]", first, sign, (node, key))
                depth += 1
                continue
            name = self._take_name()
            if self._next.is_sign("("):
                parts = (node, *self._parse_arguments(depth + 1))
                node = self._make(NodeKind.CALL, name.text, first, name, parts, is_method=True)
            elif node.kind is NodeKind.NAME and not _is_map(node.name):
                node = self._make(NodeKind.NAME, f"{node.name}.{name.text}", first, name)
                continue
            else:
                node = self._make(NodeKind.FIELD, name.text, first, name, (node,))
            depth += 1
        return node

    def _take_name(self) -> SourceToken:
        if self._next.kind != "name":
            raise self._make_syntax_problem()
        return self._take()

    def _parse_arguments(self, depth: int) -> tuple[ExpressionNode, ...]:
        self._expect("(")
        return self._parse_items(")", depth)

    def _parse_items(self, closing: str, depth: int) -> tuple[ExpressionNode, ...]:
        """Parse operands with commas between them, up to the closing bracket."""
        items: list[ExpressionNode] = []
        while not self._accept(closing):
            items.append(self._parse_choice(depth))
            if not self._next.is_sign(closing):
                self._expect(",")
        return tuple(items)

    def _parse_primary(self, depth: int) -> ExpressionNode:
        first = self._index
        token = self._next
        if token.text in _RESERVED or token.text == "in":
            raise self._make_syntax_problem()
        self._take()
        if token.kind == "text":
            return self._make(NodeKind.CONST, "", first, token, value=_read_text(token))
        if token.kind == "number":
            number = _read_number(token.text, token.start, token.end - token.start)
            return self._make(NodeKind.CONST, "", first, token, value=number)
        if token.kind == "name":
            return self._parse_name(token, first, depth)
        if token.text == "(":
            inside = self._parse_choice(depth + 1)
            self._expect(")")
            return inside
        if token.text == "[":
            return self._make(NodeKind.LIST, "", first, token, self._parse_items("]", depth + 1))
        self._index = first
        raise self._make_syntax_problem()

    def _parse_name(self, token: SourceToken, first: int, depth: int) -> ExpressionNode:
        if token.text in _CONSTANTS:
            return self._make(NodeKind.CONST, "", first, token, value=_CONSTANTS[token.text])
        if self._next.is_sign("("):
            parts = self._parse_arguments(depth + 1)
            return self._make(NodeKind.CALL, token.text, first, token, parts)
        return self._make(NodeKind.NAME, token.text, first, token)


def _is_map(name: str) -> bool:
    """Tell whether a name is that of a fact with fields."""
    return name == "form" or (name.startswith("tables.") and name.endswith(".row") and name.count(".") == 2)
