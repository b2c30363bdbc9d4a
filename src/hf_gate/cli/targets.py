"""TARGETs: whom a command means, from arguments, a file or stdin, all read and checked before anything is sent."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from ..domain.ids import Person, Repo, is_id, parse_repo
from ..domain.lifecycle import STATUSES, Status
from ..domain.requests import AccessRequest, Target, target_of
from ..errors import HfGateError, InvalidRepo, InvalidTarget, UsageError
from .frame import said_again

_NAME: Final = re.compile(r"[\w.-]{1,96}\Z", re.ASCII)
_USER_AT: Final = re.compile(r"([^@/:\s]+)@(\S+)\Z")
SPELLINGS: Final = (
    "Write USER@REPO, or REPO USER..., or --repo REPO with request ids, or - for lines of `ls --format jsonl`."
)

_USERNAME: Final = "A username is the name in the address of their profile page, without @."


@dataclass(frozen=True, slots=True)
class Aim:
    """One person's request in one repo."""

    repo: Repo
    target: Target

    @property
    def key(self) -> tuple[Repo, str]:
        """Equal for two ways of writing the same."""
        target = self.target
        return self.repo, (target.request_id or target.user_id or target.username or "").lower()

    def __str__(self) -> str:
        return f"{self.target.label}@{self.repo}"


def read_aims(words: Sequence[str], file: str | None, repo: str | None, repo_type: str | None) -> list[Aim]:
    """Everybody who is meant, each once, in the order given. A line that cannot be read stops everything, by its number."""
    home = parse_repo(repo, repo_type) if repo is not None else None
    if home is None and len(words) == (1 if file else 2) and (file or words[1] == "-") and not _USER_AT.match(words[0]):
        home, words = _first_repo(words, repo_type), words[1:]  # REPO --from FILE, REPO -
    if file is not None and words:
        raise InvalidTarget("people as arguments and --from: give one of the two.")
    if file is None and not words:
        raise InvalidTarget("nobody is named.", hint=SPELLINGS)
    if file is not None or list(words) == ["-"]:
        aims = _from_text(_read(file or "-"), home, repo_type)
    else:
        aims = _from_words(words, home, repo_type)
    return list({aim.key: aim for aim in reversed(list(aims))}.values())[::-1]


def _read(file: str) -> str:
    try:
        return (sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{file} is not UTF-8 text; nothing was sent.") from None
    except OSError as problem:
        raise UsageError(f"{file} cannot be read: {problem.strerror}; nothing was sent.") from None


def _from_words(words: Sequence[str], home: Repo | None, repo_type: str | None) -> Iterator[Aim]:
    if home is None and not (_USER_AT.match(words[0]) or words[0].startswith("{")):
        home = _first_repo(words, repo_type)
        if len(words) == 1:
            raise InvalidTarget(f"nobody is named at {home}.", hint=f"`hf-gate ls {home}` shows who asked. {SPELLINGS}")
        words = words[1:]
    for word in words:
        yield _aim(word, home, repo_type)


def named_repo(text: str, repo_type: str | None) -> Repo:
    """The repo that an argument names; where it names a person or an owner instead, the error says what is for those."""
    try:
        return parse_repo(text, repo_type)
    except InvalidRepo as problem:
        match = _USER_AT.match(text)
        if match and _is_repo(match[2], repo_type):
            problem.hint = f"`hf-gate show {text}` shows one person; here write {match[2]}."
        elif _NAME.match(text):
            problem.hint += f" `hf-gate repos ls {text}` lists the gated repos of {text}."
        raise


def person_or_repo(word: str, repo_type: str | None) -> Aim | Repo:
    """USER@REPO is somebody there, anything else a repo."""
    return _aim(word, None, repo_type) if _USER_AT.match(word) else named_repo(word, repo_type)


def _first_repo(words: Sequence[str], repo_type: str | None) -> Repo:
    """The first word as a repo; where it is a person, what was meant most likely."""
    try:
        return parse_repo(words[0], repo_type)
    except InvalidRepo:
        if not _NAME.match(words[0]):
            raise
    repo = next((word for word in words[1:] if _is_repo(word, repo_type)), None)
    if repo is None:
        people = ", ".join(words)
        raise InvalidTarget(
            f"{people}: at which repo?", hint=f"Write it before the people: `{said_again(['REPO', *words])}`."
        )
    others = [word for word in words if word != repo]
    raise InvalidTarget(f"{words[0]!r} is no repo, and the repo comes first.", hint=said_again([repo, *others]))


def _is_repo(word: str, repo_type: str | None) -> bool:
    try:
        return bool(parse_repo(word, repo_type))
    except HfGateError:
        return False


def _from_text(text: str, home: Repo | None, repo_type: str | None) -> Iterator[Aim]:
    if text.lstrip().startswith("["):
        yield from _from_array(text, home)
        return
    for number, line in enumerate(text.split("\n"), 1):
        word = line.strip()
        if word and not word.startswith("#"):
            try:
                yield _aim(word, home, repo_type)
            except HfGateError as problem:
                message = f"line {number}: {problem}" + (
                    "" if "nothing was sent" in str(problem) else " Nothing was sent."
                )
                raise InvalidTarget(message, hint=problem.hint or None) from None


def _from_array(text: str, home: Repo | None) -> Iterator[Aim]:
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


def _aim(word: str, home: Repo | None, repo_type: str | None) -> Aim:
    if word.startswith("{"):
        try:
            row = json.loads(word)
        except ValueError:
            raise InvalidTarget("this is no JSON.", hint=SPELLINGS) from None
        except RecursionError:
            raise InvalidTarget("this JSON is nested too deep.", hint=SPELLINGS) from None
        return _of_row(row, home)
    if match := _USER_AT.match(word):
        if "/" not in match[2]:
            raise InvalidTarget(
                f"{word!r} names no repo: an e-mail address is no target.", hint=f"Write USER@acme/eeg. {_USERNAME}"
            )
        repo = parse_repo(match[2], repo_type)
        if home is not None and repo != home:
            raise InvalidTarget(f"{word} is not in {home}.", hint="Give --repo or @REPO, not two different ones.")
        return Aim(repo, _person(match[1]))
    pair = word.split()
    if home is None and len(pair) == 2:
        return Aim(parse_repo(pair[0], repo_type), _person(pair[1]))
    if home is None:
        raise InvalidTarget(f"{word!r} names no repo.", hint=SPELLINGS)
    return Aim(home, _person(word))


def _person(word: str) -> Target:
    if is_id(word):
        return target_of(request_id=word)
    if not _NAME.match(word):
        raise InvalidTarget(
            f"{word!r} is no username.", hint="It is the name in the address of their profile page, without @."
        )
    return target_of(word)


def _of_row(row: Mapping[str, object], home: Repo | None) -> Aim:
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
        return Aim(repo, target_of(request))
    ids = {name: _given(row, name) for name in ("request_id", "user_id", "user")}
    name = next((key for key, value in ids.items() if value), None)
    if name is None:
        raise InvalidTarget("this line names nobody.", hint="It needs request_id, user_id or user.")
    value = ids[name]
    if name == "user":
        return Aim(repo, _person(value or ""))
    return Aim(repo, target_of(request_id=value) if name == "request_id" else target_of(user_id=value))


def _row_repo(row: Mapping[str, object]) -> Repo:
    kind = row.get("repo_type")
    return parse_repo(str(row["repo"]), kind if isinstance(kind, str) else None)


def _given(row: Mapping[str, object], name: str) -> str | None:
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


def by_repo(aims: Iterable[Aim]) -> dict[Repo, list[Aim]]:
    """The aims of each repo, repos in the order in which they came."""
    groups: dict[Repo, list[Aim]] = {}
    for aim in aims:
        groups.setdefault(aim.repo, []).append(aim)
    return groups
