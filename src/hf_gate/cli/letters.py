"""letters: mail to applicants. Show what would be sent and to whom, and decide about letters whose outcome is unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from ..domain.display_text import join_words, make_visible, pluralize
from ..domain.letters import LetterState
from ..errors import UsageError
from .framework import CommandEntry, GateGroup, command
from .output import Column
from .workspace import actor_of, open_workspace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import tzinfo

    from ..application.letters import LetterRecord, SampleRecord
    from .framework import Run

_LISTED: Final = 10_000
_PREVIEWED: Final = 50
_REMINDED: Final = "This includes {}: `at_most` counts from now, unless the wait has already ended."


class LetterGroup(GateGroup):
    """The group `letters`. Alone, it lists the letters that would be sent."""

    def invoke(self, ctx: click.Context) -> object:
        if ctx._protected_args or ctx.args:  # noqa: SLF001 - click has no public way to see that no command was given
            return super().invoke(ctx)
        with letters_ls.make_context("ls", [], parent=ctx) as inner:
            return letters_ls.invoke(inner)


letters = LetterGroup(
    "letters",
    {
        "ls": CommandEntry("letters:letters_ls", "List the letters that would be sent now."),
        "preview": CommandEntry("letters:letters_preview", "Show each text, and who would get it."),
        "mark-sent": CommandEntry(
            "letters:letters_mark_sent", "Record letters that you sent yourself.", has_effect=True
        ),
        "retry": CommandEntry(
            "letters:letters_retry", "Send letters again that failed or have an unknown outcome.", has_effect=True
        ),
    },
    help="Letters to applicants. Without a command, lists the letters that would be sent now.",
)


@command("ls", examples=("hf-gate letters ls --json", "hf-gate letters ls --format csv"))
def letters_ls(run: Run) -> int:
    """List the letters that would be sent now, with recipients and texts. Nothing is sent.

    For a mail merge, use --format csv. Then record which letters you sent: hf-gate letters mark-sent ID...
    """
    from ..application.letters import LetterRecord, list_due, list_open

    workspace = open_workspace(run, needs_folder=True)
    rows = list_due(workspace, _LISTED)
    columns: Sequence[Column[LetterRecord]] = (
        Column("LETTER", lambda row: row.id),
        Column("KIND", lambda row: row.kind),
        Column("TO", lambda row: f"{row.user or row.user_id or ''} <{row.email}>"),
        Column("SUBJECT", lambda row: row.subject or "", is_flexible=True),
    )
    run.out.records(LetterRecord, rows, columns, name=lambda row: row.id, empty="No letter is due.")
    if count := len(list_open(workspace, _LISTED)):
        run.out.warn(
            f"{pluralize(count, 'letter')} failed or {'has' if count == 1 else 'have'} an unknown outcome. "
            "To list them: hf-gate letters preview"
        )
    return 0


@command("preview", examples=("hf-gate letters preview", "hf-gate letters preview --json"))
def letters_preview(run: Run) -> int:
    """Show the text of each kind that is on, the letters that would be sent now, and those with an unknown outcome."""
    from ..application.letters import list_due, list_open, list_samples

    workspace = open_workspace(run, needs_folder=True)
    config = workspace.location.config.letters
    samples = list_samples(workspace)
    due, problems = list_due(workspace, _PREVIEWED), list_open(workspace, _PREVIEWED)
    document = {
        "sends": bool(config.kinds) and config.mail is not None,
        "samples": samples,
        "due": due,
        "problems": problems,
    }
    run.out.document(
        document,
        lambda: _lines(samples, due, problems, workspace.zone, has_server=config.mail is not None),
        quiet=[one.id for one in due],
    )
    return 0


def _lines(
    samples: Sequence[SampleRecord],
    due: Sequence[LetterRecord],
    problems: Sequence[LetterRecord],
    zone: tzinfo,
    *,
    has_server: bool,
) -> Iterator[str]:
    from ..application.letters import describe_times

    if not samples:
        yield "Letters are off. Name kinds in hf-gate.yaml under `letters`; see docs/letters.md."
    elif not has_server:
        yield "There is no mail server, so hf-gate sends nothing. For a mail merge: hf-gate letters --format csv"
    for one in samples:
        yield f"--- {one.kind}, with invented values"
        yield from _text_lines(one.subject, one.text)
    for letter in due:
        yield f"--- {letter.id}: {letter.kind}, to {letter.user or letter.user_id} <{letter.email}>"
        yield from _text_lines(letter.subject or "", letter.text or "")
        if times := describe_times(letter, zone):
            yield f"  {times}"
            yield ""
    if samples and not due:
        yield "No letter is due."
    for letter in problems:
        why = f": {letter.problem}" if letter.problem else ""
        yield f"{letter.id}  {letter.state}  {letter.kind}  {letter.user or letter.user_id}  {letter.tried_at}{why}"
    if problems:
        yield "None of these is sent again automatically: hf-gate letters retry ID, or hf-gate letters mark-sent ID"


def _text_lines(subject: str, text: str) -> Iterator[str]:
    yield f"Subject: {make_visible(subject, one_line=True)}"
    yield ""
    for line in text.splitlines():
        yield f"  {make_visible(line, one_line=True)}"
    yield ""


@command(
    "mark-sent",
    examples=(
        "hf-gate letters mark-sent l_0123456789abcdef01234567",
        "hf-gate letters mark-sent l_0123456789abcdef01234567 --json",
    ),
)
@click.argument("idents", nargs=-1, required=True, metavar="ID...")
def letters_mark_sent(run: Run, idents: tuple[str, ...]) -> int:
    """Record letters that you sent yourself, or that arrived although their outcome is unknown. hf-gate does not send them.

    A wait counts from the moment when you mark its reminder as sent.
    """
    return _mark(run, idents, LetterState.SENT)


@command(
    "retry",
    examples=(
        "hf-gate letters retry l_0123456789abcdef01234567",
        "hf-gate letters retry l_0123456789abcdef01234567 --json",
    ),
)
@click.argument("idents", nargs=-1, required=True, metavar="ID...")
def letters_retry(run: Run, idents: tuple[str, ...]) -> int:
    """Send letters again in the next turn of `run`. A letter with an unknown outcome may arrive twice."""
    return _mark(run, idents, LetterState.DUE)


def _mark(run: Run, idents: Sequence[str], state: LetterState) -> int:
    from ..application.letters import mark_letters

    if len(idents) > _LISTED:
        raise UsageError(f"more than {_LISTED:,} ids.", hint="Call the command several times.")
    with open_workspace(run, needs_folder=True, writes=True, lends=True) as workspace:
        done = mark_letters(workspace, idents, state, actor_of(run))
    if left := sorted(set(idents) - set(done.ids)):
        wanted = "due, unknown or failed" if state is LetterState.SENT else "failed or unknown"
        run.out.warn(f"not marked: {join_words(left[:5], 'and')}. Only letters that are {wanted} can be marked.")
    run.out.document(
        {"state": state.value, "letters": done.ids, "reminders": done.reminders},
        lambda: [
            f"{pluralize(len(done.ids), 'letter')} marked as {state}.",
            *([_REMINDED.format(pluralize(done.reminders, "reminder"))] if done.reminders else []),
        ],
        quiet=done.ids,
    )
    return 1 if left else 0
