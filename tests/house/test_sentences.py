"""Sentences that users read are short: those of messages, helps and pages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

from tests.kits.paths import PACKAGE
from tests.kits.source_files import list_modules

MOST_WORDS: Final = 25
_WORD_LISTS: Final = {"requests/answer_word_lists.py"}
_SQL: Final = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE|CREATE) ")
_NEXT_SENTENCE: Final = re.compile(r"(?<=[.!?:;])\s+|\n\s*\n|\n(?=\s*[-*#$`0-9{])|\S {2,}(?=\S)|\n(?= {2,}\S)")
_MARKUP: Final = re.compile(r"\{#.*?#\}|<(script|style|pre)\b.*?</\1>|\{%.*?%\}|</?[a-z][^>]*>", re.DOTALL)
_INLINE: Final = re.compile(r"</?(a|abbr|b|bdi|code|em|i|kbd|span|strong)\b[^>]*>")


def long_sentences(text: str) -> Iterator[str]:
    for sentence in _NEXT_SENTENCE.split(text):
        words = [word for word in (sentence or "").split() if re.search(r"\w", word)]
        if len(words) > MOST_WORDS:
            yield " ".join(words)


def _texts(source: str) -> Iterator[tuple[int, str]]:
    """Every string of a module that is not a docstring, f-strings with their gaps as one word."""
    tree, skipped = ast.parse(source), set[int]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(id(node.value))
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(part) for part in node.values}
            parts = [str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values]
            yield node.lineno, "".join(parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield node.lineno, node.value


def test_no_sentence_of_a_message_or_a_help_is_longer_than_25_words() -> None:
    found = [
        (place, line, sentence)
        for path in list_modules()
        if (place := path.relative_to(PACKAGE).as_posix()) not in _WORD_LISTS
        for line, text in _texts(path.read_text("utf-8"))
        if not _SQL.search(text)
        for sentence in long_sentences(text)
    ]
    assert found == []


def test_no_sentence_of_a_page_is_longer_than_25_words() -> None:
    found = [
        (path.name, sentence)
        for path in sorted(PACKAGE.glob("desk/templates/**/*.html"))
        for block in _MARKUP.sub("\n\n", _INLINE.sub("", path.read_text("utf-8"))).split("\n\n")
        for sentence in long_sentences(re.sub(r"\{\{.*?\}\}", "{}", block, flags=re.DOTALL))
    ]
    assert found == []


def test_a_sentence_of_26_words_is_found_and_two_short_ones_are_not() -> None:
    assert list(long_sentences("word " * 26)) == [("word " * 26).strip()]
    assert list(long_sentences("word " * 25 + "word. " + "word " * 24)) == [" ".join(["word"] * 25 + ["word."])]
    assert list(long_sentences("word " * 24 + "word. " + "word " * 24)) == []
