"""Carries decisions out through the store, and has an outcome for everybody, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ..domain.ids import Person
from ..domain.outcomes import Outcome, OutcomeKind, classify_error, exit_code_of
from ..errors import Guarded, HfGateError, HubUnavailable
from .progress import Progress
from .second import author_for
from .workspace import actor_of, open_workspace

if TYPE_CHECKING:
    from ..application.decide import Direct
    from ..application.decisions import Ask
    from ..application.targets import RequestTarget
    from ..application.workspace import Workspace
    from .frame import Run
    from .wish import Wish


NOTHING: Final[Mapping[str, int]] = {}


@dataclass(slots=True)
class Result:
    """The outcomes so far, the run that they stand in, and what ended it before its end."""

    outcomes: list[Outcome] = field(default_factory=list)
    stopped_by: BaseException | None = None
    run: str | None = None

    @property
    def is_changed(self) -> bool:
        """Whether anything was done."""
        return any(outcome.kind is OutcomeKind.DONE for outcome in self.outcomes)

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
            take_along(stop, self.code, "the same command again does the rest")
        raise stop


def take_along(stop: Exception, code: int, rest: str) -> None:
    """What ended a run early takes the code of what it came to along, and claims nothing untrue: `rest` says how it goes on."""
    vars(stop)["exit_code"] = code
    if isinstance(stop, HubUnavailable) and code == 5:
        stop.hint = f"Some changes were made or may have been made; {rest}."


@contextmanager
def writing(run: Run) -> Iterator[Workspace]:
    """The workspace open for writing, no longer than the `with` lasts: meanwhile nobody else may decide."""
    with open_workspace(run, writes=True) as workspace:
        yield workspace


def direct(
    run: Run, workspace: Workspace, bar: Progress | None = None, new: Mapping[str, int] = NOTHING, asks: Iterable[Ask] = ()
) -> Direct:  # fmt: skip
    """What decides at this workspace; refuses `asks` that need a second person, or are about this user. `new` counts them by verb."""
    from ..application.decide import Direct  # noqa: PLC0415 - only who decides

    return Direct(
        workspace.store,
        workspace.hub,
        workspace.clock,
        workspace.zone,
        actor_of(run),
        progress=lambda many: None if bar is None else bar.tick(many=many),
        say=run.out.say,
        author=author_for(run, workspace, new, about=_people(workspace, asks)),
    )


def _people(workspace: Workspace, asks: Iterable[Ask]) -> Iterator[tuple[str | None, str | None]]:
    """Names and account ids of those who are meant, as they were named and as the store knows them."""
    for ask in asks:
        target = ask.target
        yield target.username, target.user_id
        if target.request is not None:
            yield target.request.person.username, target.request.person.id
        for row in workspace.store.find(ask.repo, target.request_id or target.user_id or target.username or ""):
            yield row.person.identity.username, row.person.identity.user_id


def carry_out(run: Run, wish: Wish) -> Result:
    """Sends what is wished; every aim has an outcome afterwards, also when the run ended early."""
    from ..application.runs import new_id  # noqa: PLC0415 - only who decides

    result = Result()
    try:
        with writing(run) as workspace, Progress(run.out, wish.verb, len(wish.aims)) as bar:
            new = {wish.effect if wish.verb != "grant" else "accept": len(wish.aims)}
            asks = wish.asks()
            decided = direct(run, workspace, bar, new, asks).decide(asks, wish.choice, ident=new_id())
        result.run, result.outcomes, result.stopped_by = decided.run, decided.outcomes, decided.stopped_by
    except Guarded:
        raise
    except BaseException as problem:  # noqa: BLE001 - what was told is printed first; `Result.end` raises it again
        result.stopped_by = problem
    if not result.outcomes:
        kind = _kind_alone(wish, result.stopped_by)
        result.outcomes = [untold(kind, aim, result.stopped_by) for aim in wish.aims]
    elif len(wish.aims) == 1:
        result.stopped_by = result.stopped_by or alone(result.outcomes[0])
    return result


def alone(outcome: Outcome) -> Exception | None:
    """The error that a single decision ends with; who was there when it was listed, and is no more, is none."""
    return None if outcome.kind in {OutcomeKind.DONE, OutcomeKind.ALREADY, OutcomeKind.GONE} else outcome.error


def _kind_alone(wish: Wish, stop: BaseException | None) -> OutcomeKind:
    """What an error before anything was sent makes of a single decision; of several it leaves all open."""
    if len(wish.aims) == 1 and isinstance(stop, HfGateError):
        return classify_error(stop, listed=wish.aims[0].target.request is not None).kind
    return OutcomeKind.OPEN


def untold(kind: OutcomeKind, aim: RequestTarget, problem: BaseException | None) -> Outcome:
    """An outcome that no Hub told: one that ended the run, or was never sent."""
    target = aim.target
    person = target.request.person if target.request else Person(target.user_id, target.username)
    error = problem if isinstance(problem, Exception) else None
    is_fault = error is not None and not isinstance(error, HfGateError)
    why = f"{type(problem).__name__}: {problem}" if is_fault else str(problem or "")
    return Outcome(kind, aim.repo, person, target.request_id, why, error=error)
