"""What the verbs were asked for, as a value: who is meant, what becomes of them, what they are told, what is noted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..application.inputs import REASONED, ReasonTemplate
from ..application.targets import RequestTarget
from ..domain.lifecycle import TARGET_OF

if TYPE_CHECKING:
    from ..application.decisions import Ask, Choice


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for on the command line, for everybody alike."""

    verb: str
    aims: Sequence[RequestTarget]
    reason: str | None = None
    template: ReasonTemplate | None = None
    how: str = "reset"
    note: str | None = None
    until: str | None = None
    dry_run: bool = False
    yes: bool = False
    at_most: int = 100
    max_changes: int | None = None
    from_stdin: bool = False

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

        return Choice(TARGET_OF[self.effect], grants=self.verb == "grant", note=self.note, until=self.until)

    def asks(self) -> list[Ask]:
        """Everybody's part."""
        from ..application.decisions import Ask  # noqa: PLC0415 - as above

        return [Ask(aim.repo, aim.target, self.reason_for(aim)) for aim in self.aims]

    def reason_for(self, aim: RequestTarget) -> str | None:
        """What this person is told."""
        if self.effect not in REASONED:
            return None
        if self.template is None:
            return self.reason
        request = aim.target.request
        return self.template.filled(aim.repo, aim.target.username or (request.username if request else None))
