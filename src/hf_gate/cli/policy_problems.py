"""Formats the problems of policies and hf-gate.yaml: position, message, the marked line, and what to write instead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from ..domain.display_text import clip_line, display_width, make_visible, pluralize

if TYPE_CHECKING:
    from ..policy.model import PolicyProblem

_MAX_BEFORE: Final = 70  # columns of a long line shown before the marked part
_MAX_LINE: Final = 120
_LABEL_WITHIN: Final = 110  # within these columns, the advice is on the line of the marks, else below it


def problem_lines(problem: PolicyProblem, text: str = "") -> Iterator[tuple[str, str]]:
    """Return a problem as lines with their styles. `text` is the line of the file; empty to show no line."""
    style = "red" if problem.is_error else "yellow"
    is_whole_file = not text and (problem.position.line, problem.position.column) == (1, 1)
    place = "" if is_whole_file else f":{problem.position.line}:{problem.position.column}"
    yield f"{problem.source}{place}: {severity_of(problem)}: {_end_sentence(problem.message)}", style
    advice = _advice(problem)
    if not text.strip():
        if advice:
            yield f"  {advice}", ""
        return
    number = str(problem.position.line)
    before, marked, after = _split_around(text, problem.position.column - 1, problem.length)
    marks = " " * display_width(before) + "^" * max(1, display_width(marked))
    yield f"  {number} \u2502 {before}{marked}{after}", ""
    gutter = f"  {' ' * len(number)} \u2502 "
    if not advice or len(marks) + len(advice) + len(gutter) < _LABEL_WITHIN:
        yield f"{gutter}{marks} {advice}".rstrip(), style
    else:
        yield f"{gutter}{marks}", style
        yield f"{gutter}{advice}", ""


def severity_of(problem: PolicyProblem) -> str:
    """Return `error` or `warning`."""
    return "error" if problem.is_error else "warning"


def summarize(problems: Mapping[str, int]) -> str:
    """Return e.g. `2 errors, 1 warning` or `no problems`."""
    words = [pluralize(count, name) for name, count in problems.items() if count]
    return ", ".join(words) or "no problems"


def _advice(problem: PolicyProblem) -> str:
    """Return what to write instead, unless the message already says so."""
    hint = problem.hint.strip()
    if hint and hint.rstrip(".") not in problem.message:
        return hint
    fix = problem.fix or ""
    if not hint and fix.strip() and "\n" not in fix and fix not in problem.message:
        return f"Write `{fix}`."
    return ""


def _end_sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _split_around(text: str, start: int, length: int) -> tuple[str, str, str]:
    """Return the text before, at and after a position, safe to print; of a long line, return only the part around the position."""
    before, marked, after = text[:start], text[start : start + length], text[start + length :]
    before = make_visible(before.replace("\t", "    "), one_line=True)
    if display_width(before) > _MAX_BEFORE and display_width(make_visible(text, one_line=True)) > _MAX_LINE:
        before = "\u2026" + before[-_MAX_BEFORE // 2 :]
    marked = clip_line(marked, _MAX_LINE)
    room = _MAX_LINE - display_width(before) - display_width(marked)
    return before, marked, clip_line(after, max(1, room))
