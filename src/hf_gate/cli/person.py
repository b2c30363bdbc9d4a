"""person: everything that one account asked for, at every repo that is looked after, with what became of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Final

import click

from ..domain.ids import Repo, parse_repo
from ..domain.moments import iso, moment_of
from ..domain.text import one_line
from ..errors import NotAllowed, RequestNotFound
from .desk import OpenDesk, stored, wanted_repos
from .frame import Run, command, repo_type_option
from .history import history_lines, history_rows
from .kept import kept_row, standing_verdicts, verdict_cell
from .output import Format, Row, age
from .rows import REQUEST_KEYS, request_row
from .table import name_of, spelt

if TYPE_CHECKING:
    from ..domain.rows import RequestRow

_KEYS: Final = (*REQUEST_KEYS, "attempt", "until")


@command("person", examples=("hf-gate person ada-l", "hf-gate person ada-l --repo datasets/acme/eeg --json"))
@click.argument("user", metavar="USER")
@click.option("--repo", metavar="REPO", help="At this repo alone.")
@repo_type_option
@click.option("--live", is_flag=True, help="Ask the Hub, repo by repo, also when a store knows them.")
def person(run: Run, *, user: str, repo: str | None, repo_type: str | None, live: bool) -> int:
    """Show what one account asked for at all your repos: every attempt, what became of it, and who decided.

    USER is a username, an account id, an e-mail address, or a pseudonym of the ledger. From the store where there is
    one, else from the Hub, which knows no earlier attempts.
    """
    only = None if repo is None else parse_repo(repo, repo_type)
    desk = None if live else stored(run)
    rows = _asked(run, user, only) if desk is None else _rows(desk, _attempts(desk, user, only))
    if not rows:
        where = "the Hub's lists" if desk is None else "the store"
        raise RequestNotFound(
            f"nobody called {user} is in {where}.", hint="hf-gate ls --query WORD looks for a part of a name."
        )
    if run.out.format is Format.HUMAN:
        for line in _live_lines(run, rows) if desk is None else _lines(run, desk, user, only):
            run.out.line(one_line(line))
        return 0
    run.out.records(rows, (), _KEYS, name=name_of, limit=-1)
    return 0


def _attempts(desk: OpenDesk, user: str, repo: Repo | None) -> list[RequestRow]:
    """Repo by repo, the attempts at each in their order."""
    people = dict.fromkeys(row.person.id for row in desk.store.find(None, user))
    found = [row for ident in people for row in desk.store.attempts(repo, ident)]
    return sorted(found, key=lambda row: (row.repo, row.person.id, row.state.asked_at))


def _rows(desk: OpenDesk, attempts: Sequence[RequestRow]) -> list[dict[str, object]]:
    verdicts = standing_verdicts(desk.location.folder)
    return [
        {
            **kept_row(row, verdicts),
            "attempt": row.state.attempt,
            "until": None if row.state.until is None else iso(moment_of(row.state.until)),
        }
        for row in attempts
    ]


def _asked(run: Run, user: str, repo: Repo | None) -> list[dict[str, object]]:
    """What the Hub knows, one repo after the other; a repo whose requests may not be read is left out."""
    run.announce()
    found = []
    for each in [repo] if repo else wanted_repos(run, (), None):
        try:
            request = run.hub.find(each, user)
        except NotAllowed:
            run.out.warn(f"not allowed to review {each}: left out.")
            continue
        if request is not None:
            found.append({**request_row(request), "attempt": None, "until": None})
    return found


# ---- for people --------------------------------------------------------------------------------------------------------


def _lines(run: Run, desk: OpenDesk, user: str, repo: Repo | None) -> Iterator[str]:
    attempts = _attempts(desk, user, repo)
    for _, theirs in groupby(sorted(attempts, key=lambda row: row.person.id), lambda row: row.person.id):
        yield from _person_lines(run, desk, list(theirs))


def _person_lines(run: Run, desk: OpenDesk, attempts: Sequence[RequestRow]) -> Iterator[str]:
    who = attempts[-1].person
    known = who.identity
    names = [text for text in (known.fullname, known.email, known.user_id) if text]
    yield f"{known.username or '(hidden)'}  {'  '.join(names)}  {who.pseudonym}"
    for _, here in groupby(sorted(attempts, key=lambda row: row.repo), lambda row: row.repo):
        theirs = list(here)
        yield f"  {_standing(run, _rows(desk, theirs[-1:])[0])}"
        yield from history_lines(history_rows(desk.store, theirs))


def _standing(run: Run, row: Row) -> str:
    asked = age(datetime.fromisoformat(str(row["asked_at"])), run.now())
    until = f", until {row['until']}" if row["until"] else ""
    verdict = f", verdict {verdict_cell(row)}" if row["verdict"] else ""
    return f"{spelt(row)}: {row['status']}, asked {asked} ago{until}{verdict}"


def _live_lines(run: Run, rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        yield f"{row['user']}  {_standing(run, row)}"
