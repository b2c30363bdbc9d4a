"""Parses TARGETs, which name requests: from a word, lines of text, or lines of `ls --format jsonl`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from hf_gate.base.ids import Person, Repo, is_id, parse_repo
from hf_gate.base.network_hosts import PUBLIC_HUB
from hf_gate.core.lifecycle import STATUSES, Status
from hf_gate.core.requests import AccessRequest, Target, target_of
from hf_gate.errors import HfGateError, InvalidTarget

if TYPE_CHECKING:
    from hf_gate.core.stored_rows import RequestRow
    from hf_gate.store.store import Store

USERNAME: Final = re.compile(r"[\w.-]{1,96}\Z", re.ASCII)
USER_AT: Final = re.compile(r"([^@/:\s]+)@(\S+)\Z")
SPELLINGS: Final = (
    "Write USER@REPO, or REPO USER..., or --repo REPO with request ids, or - for lines of `ls --format jsonl`."
)
_USERNAME: Final = "A username is the name in the address of their profile page, without @."


class RequestTarget(Struct, frozen=True):
    """The request of one person at one repo."""

    repo: Repo
    target: Target

    @property
    def key(self) -> tuple[Repo, str]:
        """A key that is equal for equal ids or names, regardless of case."""
        target = self.target
        return self.repo, (target.request_id or target.user_id or target.username or "").lower()

    def __str__(self) -> str:
        return f"{self.target.label}@{self.repo}"


def find_attempts(store: Store, target: RequestTarget) -> Sequence[RequestRow]:
    """Return all requests of this person at this repo, oldest first; none if the store does not know the person."""
    who = target.target
    for text in filter(None, (who.request_id, who.user_id, who.username)):
        if found := store.find_by_identity(target.repo, text):
            return store.attempts(target.repo, found[-1].person.id)
    return ()


def parse_target_lines(
    text: str,
    default_repo: Repo | None,
    repo_type: str | None,
    endpoint: str = PUBLIC_HUB,
    only_repo: Repo | None = None,
) -> Iterator[RequestTarget]:
    """Yield the target of each line, or of each object in a JSON array. An error names its line.

    A line that is only a username means the `default_repo`, else the `only_repo`.
    """
    if text.lstrip().startswith("["):
        yield from _parse_array(text, default_repo)
        return
    for number, line in enumerate(text.split("\n"), 1):
        word = line.strip()
        if word and not word.startswith("#"):
            try:
                is_name = default_repo is None and USERNAME.match(word)
                yield parse_target(word, only_repo if is_name else default_repo, repo_type, endpoint)
            except HfGateError as problem:
                rest = "" if "nothing was sent" in str(problem) else " Nothing was sent."
                raise InvalidTarget(f"line {number}: {problem}{rest}", hint=problem.hint or None) from None


def _parse_array(text: str, default_repo: Repo | None) -> Iterator[RequestTarget]:
    try:
        rows = json.loads(text)
    except ValueError as problem:
        raise InvalidTarget(f"the input is not JSON: {problem}. Nothing was sent.") from None
    except RecursionError:
        raise InvalidTarget("the JSON input is nested too deeply. Nothing was sent.") from None
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping):
            raise InvalidTarget(f"entry {number} is not an object. Nothing was sent.")
        yield _parse_row(row, default_repo)


def parse_target(
    word: str, default_repo: Repo | None, repo_type: str | None, endpoint: str = PUBLIC_HUB
) -> RequestTarget:
    """Parse USER@REPO, `REPO USER` or a line of `ls`. With a `default_repo`, also parse a username or a request id.

    A URL of a repo must be one of the Hub at `endpoint`.
    """
    if word.startswith("{"):
        try:
            row = json.loads(word)
        except ValueError:
            raise InvalidTarget("this is not JSON.", hint=SPELLINGS) from None
        except RecursionError:
            raise InvalidTarget("this JSON is nested too deeply.", hint=SPELLINGS) from None
        return _parse_row(row, default_repo)
    if match := USER_AT.match(word):
        if "/" not in match[2]:
            what = "names no repo: an e-mail address is not a target"
            hint = f"Write USER@acme/eeg. {_USERNAME}"
            raise InvalidTarget(f"{word!r} {what}.", hint=hint)
        repo = parse_repo(match[2], repo_type, endpoint=endpoint)
        if default_repo is not None and repo != default_repo:
            raise InvalidTarget(f"{word} is not in {default_repo}.", hint="Give one repo: with --repo or with @REPO.")
        return RequestTarget(repo, _parse_person(match[1]))
    pair = word.split()
    if default_repo is None and len(pair) == 2:
        return RequestTarget(parse_repo(pair[0], repo_type, endpoint=endpoint), _parse_person(pair[1]))
    if default_repo is None:
        raise InvalidTarget(f"{word!r} names no repo.", hint=SPELLINGS)
    return RequestTarget(default_repo, _parse_person(word))


def _parse_person(word: str) -> Target:
    if is_id(word):
        return target_of(request_id=word)
    if not USERNAME.match(word):
        raise InvalidTarget(f"{word!r} is not a username.", hint=_USERNAME)
    return target_of(word)


def _parse_row(row: Mapping[str, object], default_repo: Repo | None) -> RequestTarget:
    repo = default_repo if row.get("repo") is None else _parse_repo_of_row(row)
    if repo is None:
        raise InvalidTarget("this line names no repo.", hint="Add --repo REPO, or use lines of `ls --format jsonl`.")
    if default_repo is not None and repo != default_repo:
        raise InvalidTarget(f"this line is about {repo}, not {default_repo}.")
    try:
        request = _parse_request({**row, "repo": repo.id, "repo_type": repo.type.value})
    except ValueError:
        raise InvalidTarget("its asked_at is not a time.") from None
    except RecursionError:  # JSON can be shallow enough to decode, but too deep to encode again
        raise InvalidTarget("its answers are nested too deeply.") from None
    if request is not None and (request.person.id or request.person.username or request.request_id):
        return RequestTarget(repo, target_of(request))
    ids = {name: _cell(row, name) for name in ("request_id", "user_id", "user")}
    name = next((key for key, value in ids.items() if value), None)
    if name is None:
        raise InvalidTarget("this line names no person.", hint="Add request_id, user_id or user.")
    value = ids[name]
    if name == "user":
        return RequestTarget(repo, _parse_person(value or ""))
    return RequestTarget(repo, target_of(request_id=value) if name == "request_id" else target_of(user_id=value))


def _parse_repo_of_row(row: Mapping[str, object]) -> Repo:
    kind = row.get("repo_type")
    return parse_repo(str(row["repo"]), kind if isinstance(kind, str) else None)


def _cell(row: Mapping[str, object], name: str) -> str | None:
    value = row.get(name)
    return value if isinstance(value, str) and value else None


def _parse_request(row: Mapping[str, object]) -> AccessRequest | None:
    """Return the request of a line of `ls`; None if the line has no status or time."""
    status = row.get("status")
    asked = row.get("asked_at")
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
