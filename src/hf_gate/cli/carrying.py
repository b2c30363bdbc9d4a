"""Carries decisions out: one by its own call, many by the hundred, and an outcome for everybody, whatever happens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..domain.ids import Person
from ..domain.lifecycle import TARGET_OF, Status
from ..domain.outcomes import Ends, Kind, Law, Outcome, exit_code_of, law_of
from ..domain.requests import AccessRequest, Decision, Target
from ..errors import HfGateError, HubUnavailable
from .progress import Progress
from .targets import Aim, by_repo

if TYPE_CHECKING:
    from ..domain.ids import Repo
    from ..hub.client import How
    from .frame import Run


@dataclass(slots=True)
class Wish:
    """What was asked for on the command line, for everybody alike."""

    verb: str
    aims: Sequence[Aim]
    reason: str | None = None
    how: How = "reset"
    dry_run: bool = False
    yes: bool = False
    at_most: int = 100
    max_changes: int | None = None
    from_stdin: bool = False

    @property
    def effect(self) -> str:
        """The verb that the Hub sees: a revocation is a reset, a rejection or a cancellation."""
        return self.how if self.verb == "revoke" else self.verb


@dataclass(slots=True)
class Result:
    """The outcomes so far, and what ended the run before its end."""

    outcomes: list[Outcome] = field(default_factory=list)
    stopped_by: BaseException | None = None

    @property
    def is_changed(self) -> bool:
        """Whether anything was done."""
        return any(outcome.kind is Kind.DONE for outcome in self.outcomes)

    @property
    def code(self) -> int:
        """The exit code: what stopped the run decides when surely nothing was done, else it is a part."""
        return exit_code_of(self.outcomes, self.stopped_by)

    def end(self) -> int:
        """The exit code, or the error that stopped the run: it takes the code along, and claims nothing untrue."""
        stop = self.stopped_by
        if stop is None:
            return self.code
        if isinstance(stop, Exception):
            vars(stop)["exit_code"] = self.code
        if isinstance(stop, HubUnavailable) and self.code == 5:
            stop.hint = "Some changes were made or may have been made; the same command again does the rest."
        raise stop


def carry_out(run: Run, wish: Wish) -> Result:
    """Sends what is wished; every aim has an outcome afterwards, also when the run ended early."""
    result = Result()
    source = _one(run, wish) if len(wish.aims) == 1 else _many(run, wish)
    try:
        with Progress(run.out, wish.verb, len(wish.aims)) as bar:
            for outcome in source:
                result.outcomes.append(outcome)
                bar.tick()
    except BaseException as problem:  # noqa: BLE001 - what was told is printed first; `Result.end` raises it again
        result.stopped_by = problem
    if result.stopped_by is not None and len(result.outcomes) < len(wish.aims):
        result.outcomes += _left_open(wish, result)
    return result


def _one(run: Run, wish: Wish) -> Iterator[Outcome]:
    """One person: the single verb, whose errors say exactly what is the matter."""
    aim = wish.aims[0]
    try:
        yield _single(run, wish, aim)
    except HfGateError as problem:
        if _law_of(problem, aim).kind is not Kind.GONE:
            raise
        yield outcome_of(Kind.GONE, aim, problem)  # it was there when it was listed


def _many(run: Run, wish: Wish) -> Iterator[Outcome]:
    """Repo by repo. What stops one repo's part does not stop the others; the first such reason is raised at the end."""
    stop: HfGateError | None = None
    for repo, aims in by_repo(wish.aims).items():
        try:
            yield from _granted(run, wish, aims) if wish.verb == "grant" else _batched(run, wish, repo, aims)
        except HfGateError as problem:
            if law_of(problem, listed=False).ends is not Ends.REPO:
                raise
            stop = stop or problem
    if stop is not None:
        raise stop


def _batched(run: Run, wish: Wish, repo: Repo, aims: Sequence[Aim]) -> Iterator[Outcome]:
    status = TARGET_OF[wish.effect]
    decisions = [Decision(status, aim.target, _reason_for(wish, status)) for aim in aims]
    yield from run.hub.decide_many(repo, decisions)


def _reason_for(wish: Wish, status: Status) -> str | None:
    return wish.reason if status in {Status.REJECTED, Status.RESET} else None


def _granted(run: Run, wish: Wish, aims: Sequence[Aim]) -> Iterator[Outcome]:
    """Grants go one by one: the Hub has no batch for them. A no to the whole repo is asked for once."""
    for index, aim in enumerate(aims):
        try:
            yield _single(run, wish, aim)
        except HfGateError as problem:
            law = _law_of(problem, aim)
            if law.ends is Ends.RUN:
                raise
            yield outcome_of(law.kind, aim, problem)
            if law.ends is Ends.REPO:
                yield from (outcome_of(Kind.OPEN, left, problem, "not sent: ") for left in aims[index + 1 :])
                raise


def _single(run: Run, wish: Wish, aim: Aim) -> Outcome:
    hub, (who, ids) = run.hub, _as_arguments(aim.target)
    if wish.verb == "accept":
        return hub.accept(aim.repo, who, **ids)
    if wish.verb == "cancel":
        return hub.cancel(aim.repo, who, **ids)
    if wish.verb == "grant":
        return hub.grant_access(aim.repo, who, **ids)
    if wish.verb == "reject":
        return hub.reject(aim.repo, who, reason=wish.reason, **ids)
    if wish.verb == "reset":
        return hub.reset(aim.repo, who, reason=wish.reason, **ids)
    return hub.revoke_access(aim.repo, who, how=wish.how, reason=wish.reason, **ids)


def _as_arguments(target: Target) -> tuple[str | AccessRequest | None, dict[str, str]]:
    if target.request is not None:
        return target.request, {}
    if target.request_id:
        return None, {"request_id": target.request_id}
    if target.user_id:
        return None, {"user_id": target.user_id}
    return target.username, {}


def _law_of(problem: HfGateError, aim: Aim) -> Law:
    return law_of(problem, listed=aim.target.request is not None)


def outcome_of(kind: Kind, aim: Aim, problem: BaseException | None, lead: str = "") -> Outcome:
    """An outcome that no Hub told: one that ended the run, or was never sent."""
    target = aim.target
    person = target.request.person if target.request else Person(target.user_id, target.username)
    error = problem if isinstance(problem, Exception) else None
    is_fault = error is not None and not isinstance(error, HfGateError)
    why = f"{type(problem).__name__}: {problem}" if is_fault else str(problem or "")
    return Outcome(kind, aim.repo, person, target.request_id, lead + why, error=error)


def _left_open(wish: Wish, result: Result) -> list[Outcome]:
    """Those of whom nothing is known any more, because the run ended; a single one, by what its error says."""
    if len(wish.aims) == 1 and isinstance(result.stopped_by, HfGateError):
        return [outcome_of(_law_of(result.stopped_by, wish.aims[0]).kind, wish.aims[0], result.stopped_by)]
    told = Counter((outcome.repo, _key(outcome)) for outcome in result.outcomes)
    left = []
    for aim in wish.aims:
        blank = outcome_of(Kind.OPEN, aim, result.stopped_by)
        if told[aim.repo, _key(blank)]:
            told[aim.repo, _key(blank)] -= 1
        else:
            left.append(blank)
    return left


def _key(outcome: Outcome) -> str:
    return (outcome.request_id or outcome.person.id or outcome.person.username or "").lower()
