"""The changes of a run with what is known about each: as they are sent, and as they were settled."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from hf_gate.base.ids import Repo
from hf_gate.core.changes import Change
from hf_gate.core.outcomes import OutcomeKind
from hf_gate.core.people.access_end import AccessEnd, EarlierEnd, shorten_end
from hf_gate.core.requests import AccessRequest, Target
from hf_gate.core.stored_rows import RequestRow


class RunItem(Struct, frozen=True):
    """One change of a run with its stored request.

    `row` is None if the Hub showed no request when the change was planned.
    """

    n: int
    change: Change
    row: RequestRow | None
    repo: Repo
    hub_record: AccessRequest | None = None  # the Hub's record as just read

    @property
    def target(self) -> Target:
        """The request on the Hub, by everything known about it; ids take precedence over names."""
        if self.row is None:
            return Target(self.change.user, self.change.user_id, self.change.request_id)
        return msgspec.structs.replace(self.row.target, request=self.row.request)

    def target_to_send(self, now: float) -> Target:
        """Return the target with the record that was just read, so that it is not reread before the change is sent.

        The client rereads the request if the call waits for the rate limit or the answer is lost, and skips it if it
        changed.
        """
        seen = None if self.hub_record is None else msgspec.structs.replace(self.hub_record, read_at=now)
        return Target(self.target.username, self.target.user_id, self.target.request_id, seen)

    def shorten(self, approved: Sequence[EarlierEnd]) -> RunItem:
        """Return an acceptance whose access also ends when others approved it, whatever its rule sets later."""
        end = shorten_end(self.change.end or AccessEnd(None, rule=self.change.rule_label), approved)
        return msgspec.structs.replace(self, change=msgspec.structs.replace(self.change, end=end))


class SettledItem(Struct):
    """The outcome of one change, to be stored."""

    item: RunItem
    kind: OutcomeKind
    why: str = ""
    source: str = "told"
    hub_reply: str | None = None
    is_unsent: bool = False  # the change becomes planned again and may be sent later
    hub_at: int | None = None  # ms; when the Hub made the change, if a read showed it
