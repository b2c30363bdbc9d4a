"""The result of a question: a code, a sentence, the next steps, and what was seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from hf_gate.base.decoding import convert_value
from hf_gate.base.display_text import clip, make_visible
from hf_gate.hub.credentials import Secret
from hf_gate.hub.hidden_tokens import hide_tokens

_LONGEST_TEXT: Final = 1000  # columns of one text of a diagnosis


class DiagnosisCode(StrEnum):
    """Why access fails. `docs/why.md` has a section for each code."""

    OK = "ok"
    OFFLINE = "offline"
    NETWORK = "network"
    ENDPOINT_NOT_HUB = "endpoint_not_hub"
    HUB_UNAVAILABLE = "hub_unavailable"
    TOKEN_MALFORMED = "token_malformed"  # noqa: S105 - a word of the contract
    LIBRARY_SENT_NO_TOKEN = "library_sent_no_token"  # noqa: S105
    TOKEN_NO_INFERENCE_PERMISSION = "token_no_inference_permission"  # noqa: S105
    TOKEN_EXPIRED = "token_expired"  # noqa: S105
    TOKEN_SHADOWED = "token_shadowed"  # noqa: S105
    TOKEN_INVALID = "token_invalid"  # noqa: S105
    ENDPOINT_DROPS_TOKEN = "endpoint_drops_token"  # noqa: S105
    WRONG_TYPE = "wrong_type"
    NOT_FOUND_OR_PRIVATE = "not_found_or_private"
    DISABLED = "disabled"
    TOKEN_ELSEWHERE = "token_elsewhere"  # noqa: S105
    NO_TOKEN = "no_token"  # noqa: S105
    TOKEN_NO_GATED_PERMISSION = "token_no_gated_permission"  # noqa: S105
    TOKEN_ORG_POLICY = "token_org_policy"  # noqa: S105
    REGION = "region"
    NOT_ASKED = "not_asked"
    PENDING = "pending"
    REJECTED = "rejected"
    RESET = "reset"
    STORAGE = "storage"
    OTHER_REPO_REFUSED = "other_repo_refused"
    REFUSED_UNKNOWN = "refused_unknown"


class _Meaning(Struct, frozen=True):
    """The exit code of a code, and the words after the name of the repo."""

    exit_code: int
    headline: str


_NO_ACCESS_YET = "no access yet"
_NOT_REACHED = "the Hub was not reached"
_MEANINGS: Final[dict[DiagnosisCode, _Meaning]] = {
    DiagnosisCode.OK: _Meaning(0, "open to you"),
    DiagnosisCode.OFFLINE: _Meaning(75, "nothing is fetched"),
    DiagnosisCode.NETWORK: _Meaning(75, _NOT_REACHED),
    DiagnosisCode.ENDPOINT_NOT_HUB: _Meaning(75, _NOT_REACHED),
    DiagnosisCode.HUB_UNAVAILABLE: _Meaning(75, "the Hub does not answer now"),
    DiagnosisCode.TOKEN_MALFORMED: _Meaning(4, "the token is written wrongly"),
    DiagnosisCode.LIBRARY_SENT_NO_TOKEN: _Meaning(1, "no token was sent"),
    DiagnosisCode.TOKEN_NO_INFERENCE_PERMISSION: _Meaning(4, "this token may not call Inference Providers"),
    DiagnosisCode.TOKEN_EXPIRED: _Meaning(4, "the token has expired"),
    DiagnosisCode.TOKEN_SHADOWED: _Meaning(4, "a bad token hides a good one"),
    DiagnosisCode.TOKEN_INVALID: _Meaning(4, "the token is not accepted"),
    DiagnosisCode.ENDPOINT_DROPS_TOKEN: _Meaning(5, "the token does not arrive"),
    DiagnosisCode.WRONG_TYPE: _Meaning(2, "another type of repo"),
    DiagnosisCode.NOT_FOUND_OR_PRIVATE: _Meaning(1, "not found, or private"),
    DiagnosisCode.DISABLED: _Meaning(1, "disabled by the Hub"),
    DiagnosisCode.TOKEN_ELSEWHERE: _Meaning(4, "no token was found"),
    DiagnosisCode.NO_TOKEN: _Meaning(4, "no token was found"),
    DiagnosisCode.TOKEN_NO_GATED_PERMISSION: _Meaning(4, "this token may not read gated repos"),
    DiagnosisCode.TOKEN_ORG_POLICY: _Meaning(4, "an organisation does not allow this token"),
    DiagnosisCode.REGION: _Meaning(1, "not available in this region"),
    DiagnosisCode.NOT_ASKED: _Meaning(1, _NO_ACCESS_YET),
    DiagnosisCode.PENDING: _Meaning(1, _NO_ACCESS_YET),
    DiagnosisCode.REJECTED: _Meaning(1, "no access: rejected"),
    DiagnosisCode.RESET: _Meaning(1, "no access yet: sent back"),
    DiagnosisCode.STORAGE: _Meaning(75, "open to you, but the transfer failed"),
    DiagnosisCode.OTHER_REPO_REFUSED: _Meaning(1, "open to you, but it needs another repo"),
    DiagnosisCode.REFUSED_UNKNOWN: _Meaning(5, "refused, and the reason is not known"),
}
_EXIT_CODES_BY_WEIGHT: Final = (75, 5, 4, 2, 1, 0)


class Step(Struct, frozen=True, forbid_unknown_fields=True):
    """Something to do next: what, the command for it, and the page for it."""

    text: str
    command: str | None = None
    url: str | None = None


class Seen(Struct, frozen=True):
    """Something that was seen, and its value."""

    what: str
    value: str


class TokenSeen(Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of the token that was used, without any part of it.

    `kind` is the Hub's word: read, write, fineGrained. `gated` tells whether it may read gated repos; None if unknown.
    """

    source: str
    name: str | None = None
    kind: str | None = None
    gated: bool | None = None


class DiagnosisRecord(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why an account cannot download from a repo, as `hf-gate why --json` prints it."""

    schema_version: Literal[1] = 1
    repo: str | None
    code: DiagnosisCode
    certain: bool
    sentence: str
    next: list[Step]
    account: str | None
    token: TokenSeen | None
    evidence: list[Seen]
    calls: int
    also: list[DiagnosisRecord]


class Diagnosis(Struct, frozen=True):
    """Why an account cannot download from a repo. It is true as a condition only if it can.

    `certain` is False where the Hub's answers fit several causes. `repo` is None if no repo was named. `calls`
    counts the calls to the Hub. `also` has the diagnoses of other repos that this repo loads. Texts of the Hub are
    shortened to 1,000 columns, and their control characters are made visible. `headline` has the words after the
    name of the repo where they differ from those of the code.
    """

    code: DiagnosisCode
    sentence: str
    next: list[Step] = []
    repo: str | None = None
    file: str | None = None
    account: str | None = None
    token: TokenSeen | None = None
    evidence: list[Seen] = []
    certain: bool = True
    calls: int = 0
    also: list[Diagnosis] = []
    headline: str = ""

    def __bool__(self) -> bool:
        return self.code is DiagnosisCode.OK

    def __str__(self) -> str:
        return "\n".join(self.to_lines())

    @property
    def title(self) -> str:
        """The repo and the shortest answer."""
        subject = self.repo or (
            "this failure" if self.evidence[:1] and self.evidence[0].what == "error" and not self else "this token"
        )
        ending = "works" if self.repo is None and self else self.headline or _MEANINGS[self.code].headline
        return f"{subject}: {ending}."

    @property
    def exit_code(self) -> int:
        """The exit code of `hf-gate why`: the gravest one of this repo and of the repos that it loads."""
        codes = {_MEANINGS[self.code].exit_code, *(other.exit_code for other in self.also)}
        if self.code is DiagnosisCode.LIBRARY_SENT_NO_TOKEN and self.account is None:
            codes.add(4)  # a setting of this process keeps its token from being sent, so no account is known
        return next(code for code in _EXIT_CODES_BY_WEIGHT if code in codes)

    def to_document(self) -> dict[str, Any]:
        """Return the diagnosis as `hf-gate why --json` prints it."""
        document: dict[str, Any] = msgspec.to_builtins(_diagnosis_record(self))
        return document

    def to_lines(self) -> Iterator[str]:
        """Yield the diagnosis as `hf-gate why` prints it: the answer, the next steps, and the evidence."""
        yield self.title
        is_guess = not self.certain and self.code is not DiagnosisCode.REFUSED_UNKNOWN
        yield (
            f"{self.sentence} This is not certain: other causes look the same from here." if is_guess else self.sentence
        )
        for number, step in enumerate(self.next):
            yield f"{'      ' if number else 'Next: '}{_describe_step(step)}"
        for seen in self.evidence:
            yield f"  seen  {seen.what}: {seen.value}"
        for other in self.also:
            yield ""
            yield from other.to_lines()


def _describe_step(step: Step) -> str:
    ways = [f"`{step.command}`"] if step.command else []
    ways += [step.url] if step.url else []
    return f"{step.text}: {' or '.join(ways)}" if ways else f"{step.text}."


def clean_diagnosis(diagnosis: Diagnosis, secrets: Sequence[Secret]) -> Diagnosis:
    """Return the diagnosis without tokens and control characters in any of its texts."""

    def clean(value: object) -> object:
        match value:
            case str():
                return clip(make_visible(hide_tokens(value, secrets), one_line=True), _LONGEST_TEXT)
            case dict():
                return {key: part if key == "code" else clean(part) for key, part in value.items()}
            case list():
                return [clean(part) for part in value]
            case _:
                return value

    return convert_value(clean(msgspec.to_builtins(diagnosis)), Diagnosis)


def _diagnosis_record(found: Diagnosis) -> DiagnosisRecord:
    keys = ("repo", "code", "certain", "sentence", "next", "account", "token", "evidence", "calls")
    values = {key: getattr(found, key) for key in keys}
    return DiagnosisRecord(**values, also=list(map(_diagnosis_record, found.also)))
