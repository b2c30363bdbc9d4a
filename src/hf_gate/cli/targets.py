"""Reads the targets of a decision command, with its reason, template, note and end."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..application.targets import SPELLINGS, USER_AT, USERNAME, RequestTarget, parse_target, parse_target_lines
from ..domain.ids import Repo, parse_repo
from ..domain.lifecycle import STATUS_AFTER_VERB, VERBS_WITH_REASON
from ..errors import HfGateError, InvalidRepo, InvalidTarget, UsageError
from .framework import repeat_command

if TYPE_CHECKING:
    from ..application.decisions import Choice, DecisionTarget
    from ..application.inputs import ReasonTemplate


def read_targets(
    words: Sequence[str], file: str | None, repo: str | None, repo_type: str | None
) -> list[RequestTarget]:
    """Everybody who is meant, each once, in the order given. A line that cannot be read stops everything, by its number."""
    home = parse_repo(repo, repo_type) if repo is not None else None
    if home is None and len(words) == (1 if file else 2) and (file or words[1] == "-") and not USER_AT.match(words[0]):
        home, words = _first_repo(words, repo_type), words[1:]  # REPO --from FILE, REPO -
    if file is not None and words:
        raise InvalidTarget("people as arguments and --from: give one of the two.")
    if file is None and not words:
        raise InvalidTarget("nobody is named.", hint=SPELLINGS)
    if file is not None or list(words) == ["-"]:
        aims = parse_target_lines(_read_file(file or "-"), home, repo_type)
    else:
        aims = _from_words(words, home, repo_type)
    return list({aim.key: aim for aim in reversed(list(aims))}.values())[::-1]


def _read_file(file: str) -> str:
    try:
        return (sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{file} is not UTF-8 text; nothing was sent.") from None
    except OSError as problem:
        raise UsageError(f"{file} cannot be read: {problem.strerror}; nothing was sent.") from None


def _from_words(words: Sequence[str], home: Repo | None, repo_type: str | None) -> Iterator[RequestTarget]:
    if home is None and not (USER_AT.match(words[0]) or words[0].startswith("{")):
        home = _first_repo(words, repo_type)
        if len(words) == 1:
            raise InvalidTarget(f"nobody is named at {home}.", hint=f"`hf-gate ls {home}` shows who asked. {SPELLINGS}")
        words = words[1:]
    for word in words:
        yield parse_target(word, home, repo_type)


def parse_repo_argument(text: str, repo_type: str | None) -> Repo:
    """The repo that an argument names; where it names a person or an owner instead, the error says what is for those."""
    try:
        return parse_repo(text, repo_type)
    except InvalidRepo as problem:
        match = USER_AT.match(text)
        if match and _is_repo(match[2], repo_type):
            problem.hint = f"`hf-gate show {text}` shows one person; here write {match[2]}."
        elif USERNAME.match(text):
            problem.hint += f" `hf-gate repos ls {text}` lists the gated repos of {text}."
        raise


def parse_person_or_repo(word: str, repo_type: str | None) -> RequestTarget | Repo:
    """USER@REPO is somebody there, anything else a repo."""
    return parse_target(word, None, repo_type) if USER_AT.match(word) else parse_repo_argument(word, repo_type)


def _first_repo(words: Sequence[str], repo_type: str | None) -> Repo:
    """The first word as a repo; where it is a person, what was meant most likely."""
    try:
        return parse_repo(words[0], repo_type)
    except InvalidRepo:
        if not USERNAME.match(words[0]):
            raise
    repo = next((word for word in words[1:] if _is_repo(word, repo_type)), None)
    if repo is None:
        people = ", ".join(words)
        raise InvalidTarget(
            f"{people}: at which repo?", hint=f"Write it before the people: `{repeat_command(['REPO', *words])}`."
        )
    others = [word for word in words if word != repo]
    raise InvalidTarget(f"{words[0]!r} is no repo, and the repo comes first.", hint=repeat_command([repo, *others]))


def _is_repo(word: str, repo_type: str | None) -> bool:
    try:
        return bool(parse_repo(word, repo_type))
    except HfGateError:
        return False


def by_repo(aims: Iterable[RequestTarget]) -> dict[Repo, list[RequestTarget]]:
    """The aims of each repo, repos in the order in which they came."""
    groups: dict[Repo, list[RequestTarget]] = {}
    for aim in aims:
        groups.setdefault(aim.repo, []).append(aim)
    return groups


@dataclass(frozen=True, slots=True)
class DecisionCommand:
    """What was asked for on the command line, for everybody alike."""

    verb: str
    targets: Sequence[RequestTarget]
    reason: str | None = None
    template: ReasonTemplate | None = None
    how: str = "reset"
    note: str | None = None
    until: str | None = None
    is_dry_run: bool = False
    is_confirmed: bool = False
    max_targets: int = 100
    max_changes: int | None = None
    is_from_stdin: bool = False

    @property
    def effect(self) -> str:
        """The verb that the Hub sees: a revocation is a reset, a rejection or a cancellation."""
        return self.how if self.verb == "revoke" else self.verb

    @property
    def has_reason(self) -> bool:
        """Whether people are told why."""
        return self.reason is not None or self.template is not None

    @property
    def choice(self) -> Choice:
        """What is decided about everybody."""
        from ..application.decisions import Choice  # noqa: PLC0415 - only who decides

        return Choice(STATUS_AFTER_VERB[self.effect], is_grant=self.verb == "grant", note=self.note, until=self.until)

    def decision_targets(self) -> list[DecisionTarget]:
        """Everybody's part."""
        from ..application.decisions import DecisionTarget  # noqa: PLC0415 - as above

        return [DecisionTarget(aim.repo, aim.target, self.reason_for(aim)) for aim in self.targets]

    def reason_for(self, aim: RequestTarget) -> str | None:
        """What this person is told."""
        if self.effect not in VERBS_WITH_REASON:
            return None
        if self.template is None:
            return self.reason
        request = aim.target.request
        return self.template.fill(aim.repo, aim.target.username or (request.username if request else None))
