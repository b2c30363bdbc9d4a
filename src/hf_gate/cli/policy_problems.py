"""Problems of policies and hf-gate.yaml on a screen: where, what, the line with the place marked, and what to write instead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from ..domain.display_text import clip, display_width, make_visible
from .output import count_of

if TYPE_CHECKING:
    from ..policy.model import PolicyProblem

_BEFORE: Final = 70  # columns of a long line that are shown before the marked place
_LINE: Final = 120
_LABEL_WITHIN: Final = 110  # columns up to which the advice stands beside the marks, else below them


def problem_lines(problem: PolicyProblem, text: str = "") -> Iterator[tuple[str, str]]:
    """A problem as lines with their style; `text` is its file's line (empty: none is shown)."""
    style = "red" if problem.is_error else "yellow"
    is_whole = not text and (problem.position.line, problem.position.column) == (1, 1)
    place = "" if is_whole else f":{problem.position.line}:{problem.position.column}"
    yield f"{problem.source}{place}: {severity_of(problem)}: {_sentence(problem.message)}", style
    advice = _advice(problem)
    if not text.strip():
        if advice:
            yield f"  {advice}", ""
        return
    number = str(problem.position.line)
    before, marked, after = _window(text, problem.position.column - 1, problem.length)
    marks = " " * display_width(before) + "^" * max(1, display_width(marked))
    yield f"  {number} \u2502 {before}{marked}{after}", ""
    gutter = f"  {' ' * len(number)} \u2502 "
    if not advice or len(marks) + len(advice) + len(gutter) < _LABEL_WITHIN:
        yield f"{gutter}{marks} {advice}".rstrip(), style
    else:
        yield f"{gutter}{marks}", style
        yield f"{gutter}{advice}", ""


def severity_of(problem: PolicyProblem) -> str:
    """`error` or `warning`."""
    return "error" if problem.is_error else "warning"


def summarize(problems: Mapping[str, int]) -> str:
    """`2 errors, 1 warning`; `nothing wrong`."""
    words = [count_of(count, name) for name, count in problems.items() if count]
    return ", ".join(words) or "nothing wrong"


def _advice(problem: PolicyProblem) -> str:
    """What to write instead, unless the message has said it already."""
    hint = problem.hint.strip()
    if hint and hint.rstrip(".") not in problem.message:
        return hint
    fix = problem.fix or ""
    if not hint and fix.strip() and "\n" not in fix and fix not in problem.message:
        return f"Write `{fix}`."
    return ""


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _window(text: str, start: int, length: int) -> tuple[str, str, str]:
    """What stands before, at and after a place, each safe to print; of a long line the part around the place."""
    before, marked, after = text[:start], text[start : start + length], text[start + length :]
    before = make_visible(before.replace("\t", "    "), one_line=True)
    if display_width(before) > _BEFORE and display_width(make_visible(text, one_line=True)) > _LINE:
        before = "\u2026" + before[-_BEFORE // 2 :]
    marked = clip(make_visible(marked, one_line=True), _LINE)
    room = _LINE - display_width(before) - display_width(marked)
    return before, marked, clip(make_visible(after, one_line=True), max(1, room))
