"""Parses TARGETs: whose request is meant, from a word, lines of text or lines of `ls --format jsonl`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from ..domain.ids import Person, Repo, is_id, parse_repo
from ..domain.lifecycle import STATUSES, Status
from ..domain.requests import AccessRequest, Target, target_of
from ..errors import HfGateError, InvalidTarget

if TYPE_CHECKING:
    from ..domain.rows import RequestRow
    from ..store.store import Store

USERNAME: Final = re.compile(r"[\w.-]{1,96}\Z", re.ASCII)
USER_AT: Final = re.compile(r"([^@/:\s]+)@(\S+)\Z")
SPELLINGS: Final = (
    "Write USER@REPO, or REPO USER..., or --repo REPO with request ids, or - for lines of `ls --format jsonl`."
)
_USERNAME: Final = "A username is the name in the address of their profile page, without @."


@dataclass(frozen=True, slots=True)
class RequestTarget:
    """The request of one person at one repo."""

    repo: Repo
    target: Target

    @property
    def key(self) -> tuple[Repo, str]:
        """Equal for two ways of writing the same."""
        target = self.target
        return self.repo, (target.request_id or target.user_id or target.username or "").lower()

    def __str__(self) -> str:
        return f"{self.target.label}@{self.repo}"


def find_attempts(store: Store, target: RequestTarget) -> Sequence[RequestRow]:
    """Return all requests of this person at this repo, the oldest first; () when the store does not know them."""
    who = target.target
    for text in filter(None, (who.request_id, who.user_id, who.username)):
        if found := store.find_by_identity(target.repo, text):
            return store.attempts(target.repo, found[-1].person.id)
    return ()


def parse_target_lines(text: str, home: Repo | None, repo_type: str | None) -> Iterator[RequestTarget]:
    """Yield who is meant by each line, or by each object of a JSON array. An error names its line."""
    if text.lstrip().startswith("["):
        yield from _from_array(text, home)
        return
    for number, line in enumerate(text.split("\n"), 1):
        word = line.strip()
        if word and not word.startswith("#"):
            try:
                yield parse_target(word, home, repo_type)
            except HfGateError as problem:
                message = f"line {number}: {problem}" + (
                    "" if "nothing was sent" in str(problem) else " Nothing was sent."
                )
                raise InvalidTarget(message, hint=problem.hint or None) from None


def _from_array(text: str, home: Repo | None) -> Iterator[RequestTarget]:
    try:
        rows = json.loads(text)
    except ValueError as problem:
        raise InvalidTarget(f"that is no JSON: {problem}. Nothing was sent.") from None
    except RecursionError:
        raise InvalidTarget("that JSON is nested too deep. Nothing was sent.") from None
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping):
            raise InvalidTarget(f"entry {number} is no object. Nothing was sent.")
        yield _of_row(row, home)


def parse_target(word: str, home: Repo | None, repo_type: str | None) -> RequestTarget:
    """Return who is meant by USER@REPO, by `REPO USER`, by a line of `ls`, or within `home` by a name or a request id."""
    if word.startswith("{"):
        try:
            row = json.loads(word)
        except ValueError:
            raise InvalidTarget("this is no JSON.", hint=SPELLINGS) from None
        except RecursionError:
            raise InvalidTarget("this JSON is nested too deep.", hint=SPELLINGS) from None
        return _of_row(row, home)
    if match := USER_AT.match(word):
        if "/" not in match[2]:
            raise InvalidTarget(
                f"{word!r} names no repo: an e-mail address is no target.", hint=f"Write USER@acme/eeg. {_USERNAME}"
            )
        repo = parse_repo(match[2], repo_type)
        if home is not None and repo != home:
            raise InvalidTarget(f"{word} is not in {home}.", hint="Give --repo or @REPO, not two different ones.")
        return RequestTarget(repo, _person(match[1]))
    pair = word.split()
    if home is None and len(pair) == 2:
        return RequestTarget(parse_repo(pair[0], repo_type), _person(pair[1]))
    if home is None:
        raise InvalidTarget(f"{word!r} names no repo.", hint=SPELLINGS)
    return RequestTarget(home, _person(word))


def _person(word: str) -> Target:
    if is_id(word):
        return target_of(request_id=word)
    if not USERNAME.match(word):
        raise InvalidTarget(
            f"{word!r} is no username.", hint="It is the name in the address of their profile page, without @."
        )
    return target_of(word)


def _of_row(row: Mapping[str, object], home: Repo | None) -> RequestTarget:
    repo = home if row.get("repo") is None else _row_repo(row)
    if repo is None:
        raise InvalidTarget("this line names no repo.", hint="Add --repo REPO, or use lines of `ls --format jsonl`.")
    if home is not None and repo != home:
        raise InvalidTarget(f"this line is about {repo}, not {home}.")
    try:
        request = _request_of_row({**row, "repo": repo.id, "repo_type": repo.type.value})
    except ValueError:
        raise InvalidTarget("its asked_at is no time.") from None
    except RecursionError:  # deep enough to be read, too deep to be written down again
        raise InvalidTarget("its answers are nested too deep.") from None
    if request is not None and (request.person.id or request.person.username or request.request_id):
        return RequestTarget(repo, target_of(request))
    ids = {name: _cell(row, name) for name in ("request_id", "user_id", "user")}
    name = next((key for key, value in ids.items() if value), None)
    if name is None:
        raise InvalidTarget("this line names nobody.", hint="It needs request_id, user_id or user.")
    value = ids[name]
    if name == "user":
        return RequestTarget(repo, _person(value or ""))
    return RequestTarget(repo, target_of(request_id=value) if name == "request_id" else target_of(user_id=value))


def _row_repo(row: Mapping[str, object]) -> Repo:
    kind = row.get("repo_type")
    return parse_repo(str(row["repo"]), kind if isinstance(kind, str) else None)


def _cell(row: Mapping[str, object], name: str) -> str | None:
    value = row.get(name)
    return value if isinstance(value, str) and value else None


def _request_of_row(row: Mapping[str, object]) -> AccessRequest | None:
    """Return the request that a line of `ls` was printed from; None when the line has no status or time."""
    status, asked = row.get("status"), row.get("asked_at")
    if not isinstance(status, str) or not isinstance(asked, str):
        return None
    answers = row.get("answers")
    has_form = isinstance(answers, Mapping)
    return AccessRequest(
        repo=parse_repo(str(row["repo"]), _text(row, "repo_type")),
        status=Status(status) if status in STATUSES else status,
        asked_at=datetime.fromisoformat(asked),
        person=Person(_text(row, "user_id"), _text(row, "user"), _text(row, "fullname")),
        request_id=_text(row, "request_id"),
        email=_text(row, "email"),
        answers={str(label): str(text) for label, text in answers.items()} if isinstance(answers, Mapping) else {},
        has_form=has_form,
    )


def _text(row: Mapping[str, object], key: str) -> str | None:
    value = row.get(key)
    return None if value is None else str(value)
