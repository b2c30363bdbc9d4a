"""Splits an expression into tokens with their offsets, to locate mistakes; it does not parse CEL."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from msgspec import Struct

MIRRORED: Final = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "==": "==", "!=": "!="}
"""The signs of comparisons, each with the sign that says the same when the sides are exchanged."""
TEXT_METHODS: Final = ("startsWith", "endsWith", "contains", "matches")
_TOKEN = re.compile(
    r"""
    (?P<space> [ \t\r\n\f]+ | //[^\n]* )
  | (?P<text> [bB]?[rR][bB]? (?: "[^"\n]*" | '[^'\n]*' )
            | [bB]? (?: \"\"\"(?:[^\\]|\\.)*?\"\"\" | '''(?:[^\\]|\\.)*?'''
                      | "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*' ) )
  | (?P<number> 0x[0-9a-fA-F]+u? | (?:\d+\.\d+|\.\d+|\d+)(?:[eE][+-]?\d+)?[uU]? )
  | (?P<name> [A-Za-z_][A-Za-z0-9_]* )
  | (?P<sign> === | !== | && | \|\| | == | != | <= | >= | <> | . )
    """,
    re.VERBOSE | re.DOTALL,
)
_PAIRS = {"(": ")", "[": "]", "{": "}"}


class SourceToken(Struct, frozen=True):
    """One token; `start` and `end` are code point offsets in the source."""

    kind: str  # text, number, name, sign
    text: str
    start: int
    end: int

    @property
    def span(self) -> tuple[int, int]:
        """The offset and the length."""
        return self.start, self.end - self.start


class TokenizedSource(Struct, frozen=True):
    """The tokens of a source without spaces and comments, with matching brackets."""

    source: str
    tokens: tuple[SourceToken, ...]
    matching_bracket: tuple[int, ...]  # index of the matching bracket; a token without one has its own index

    def index_at(self, offset: int) -> int:
        """Return the index of the token at or after the offset; of the last token if the offset is past the end."""
        for index, token in enumerate(self.tokens):
            if token.end > offset:
                return index
        return len(self.tokens) - 1

    def span(self, offsets: Sequence[int]) -> tuple[int, int]:
        """Return the offset and length of the smallest balanced piece of source that contains all offsets."""
        if not self.tokens:
            return 0, len(self.source)
        indexes = [self.index_at(offset) for offset in offsets]
        first, last = self._find_balanced(min(indexes), max(indexes))
        return self.tokens[first].start, self.tokens[last].end - self.tokens[first].start

    def text(self, span: tuple[int, int]) -> str:
        """Return the source of a span on one line, without comments."""
        inside = [token for token in self.tokens if span[0] <= token.start < span[0] + span[1]]
        parts = [token.text for token in inside]
        gaps = [" " if left.end < right.start else "" for left, right in pairwise(inside)]
        return "".join(part + gap for part, gap in zip(parts, [*gaps, ""], strict=True))

    def _find_balanced(self, first: int, last: int) -> tuple[int, int]:
        while True:
            before = (first, last)
            if self.is_sign(last, ".") and last + 1 < len(self.tokens):
                last += 1
            for index in range(first, last + 1):
                last = max(last, self.matching_bracket[index])
                first = min(first, self.matching_bracket[index])
            first = self._find_operand_start(first)
            if (first, last) == before:
                return before

    def _find_operand_start(self, first: int) -> int:
        """Move back over a callee before `(` and an operand before `.` to the start of the operand."""
        while first > 0:
            before = self.tokens[first - 1]
            ends_operand = before.kind in ("name", "text", "number") or before.text in (")", "]", "}")
            is_glued = self.tokens[first].text == "." or (self.tokens[first].kind == "name" and before.text == ".")
            is_call = self.tokens[first].text in ("(", "[") and ends_operand and before.text != "in"
            if is_call or (is_glued and (ends_operand or before.text == ".")):
                first = min(first - 1, self.matching_bracket[first - 1])
            else:
                return first
        return first

    def is_sign(self, index: int, sign: str) -> bool:
        """Tell whether the token at `index` is `sign`; False if the index is outside the source."""
        return 0 <= index < len(self.tokens) and self.tokens[index].text == sign


def tokenize(source: str) -> TokenizedSource:
    """Split a source into tokens. Never fails: an unknown character becomes a sign."""
    tokens = []
    for match in _TOKEN.finditer(source):
        kind = match.lastgroup or "sign"
        if kind != "space":
            tokens.append(SourceToken(kind, match[0], match.start(), match.end()))
    partner, open_ones = list(range(len(tokens))), []
    for index, token in enumerate(tokens):
        if token.kind == "sign" and token.text in _PAIRS:
            open_ones.append(index)
        elif token.kind == "sign" and open_ones and _PAIRS[tokens[open_ones[-1]].text] == token.text:
            other = open_ones.pop()
            partner[index], partner[other] = other, index
    return TokenizedSource(source, tuple(tokens), tuple(partner))


# ---- pieces of an expression -----------------------------------------------------------------------------------------

_RELATIONS = frozenset(("==", "!=", "<", "<=", ">", ">=", "in"))


def is_wrapped(tokens: Sequence[SourceToken]) -> bool:
    """Tell whether one pair of parentheses encloses all tokens."""
    if len(tokens) < 2 or tokens[0].text != "(" or tokens[-1].text != ")":
        return False
    depth = 0
    for token in tokens[:-1]:
        depth += _depth_change(token)
        if depth == 0:
            return False
    return True


def find_tokens_outside_brackets(tokens: Sequence[SourceToken]) -> list[int]:
    """Return the indexes of the tokens outside all brackets.

    The closing bracket of an outermost pair counts as outside; literals of text are left out.
    """
    found, depth = [], 0
    for index, token in enumerate(tokens):
        depth += _depth_change(token)
        if depth == 0 and token.kind != "text":
            found.append(index)
    return found


def negated_tokens(tokens: Sequence[SourceToken]) -> Sequence[SourceToken] | None:
    """Return the tokens after a `!` that negates them all; otherwise None, as for `!a == b`, which is `(!a) == b`."""
    if not tokens or tokens[0].text != "!":
        return None
    inner = tokens[1:]
    is_whole = is_wrapped(inner) or not any(
        inner[index].text in _RELATIONS for index in find_tokens_outside_brackets(inner)
    )
    return inner if is_whole else None


def _depth_change(token: SourceToken) -> int:
    return 0 if token.kind != "sign" else (token.text in "([{") - (token.text in ")]}")
