"""Whatever reviewers and requesters do, the local Hub allows only the transitions of the lifecycle."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hf_gate.core.lifecycle import MOVES, STATUSES, Status
from hf_gate.localhub.records import sort_key
from tests.kits.local_hubs import ACCESS, LocalHubKit

WHO = st.sampled_from(["bea", "Cleo", "dan"])
CALLS = {move.call: {(m.before, m.after) for m in MOVES if m.call == move.call} for move in MOVES}


class Acts(RuleBasedStateMachine):
    """The model is one status for each person."""

    def __init__(self) -> None:
        super().__init__()
        self.kit = LocalHubKit()
        self.model: dict[str, Status | None] = dict.fromkeys(["bea", "Cleo", "dan"])

    def _moves(self, who: str, call: str, after: Status | None, *, was_done: bool) -> None:
        is_lawful = (self.model[who], after) in CALLS[call]
        assert was_done == is_lawful
        if is_lawful:
            self.model[who] = after

    @rule(who=WHO, after=st.sampled_from(STATUSES))
    def handle(self, who: str, after: Status) -> None:
        self._moves(who, "handle", after, was_done=self.kit.decide(who, after.value).status == 200)

    @rule(who=st.lists(WHO, min_size=1), after=st.sampled_from(STATUSES))
    def batch(self, who: list[str], after: Status) -> None:
        body = {"status": after.value, "requests": [{"user": name} for name in who]}
        self.kit.call("POST", f"{ACCESS}/batch", body)
        self.model |= {name: after for name in who if self.model[name] is not None}

    @rule(who=WHO)
    def grant(self, who: str) -> None:
        answered = self.kit.call("POST", f"{ACCESS}/grant", {"user": who})
        self._moves(who, "grant", Status.ACCEPTED, was_done=answered.status == 200)

    @rule(who=WHO)
    def withdraw(self, who: str) -> None:
        answered = self.kit.call("POST", f"{ACCESS}/cancel", by=who)
        self._moves(who, "cancel", None, was_done=answered.status == 200)

    @rule(who=WHO)
    def ask(self, who: str) -> None:
        before = len(self.kit.world.journal)
        assert self.kit.ask(who).status == 303
        self._moves(who, "ask-access", Status.PENDING, was_done=len(self.kit.world.journal) > before)

    @invariant()
    def lists_hold_each_person_once_and_in_order(self) -> None:
        gated = self.kit.gated
        for status in STATUSES:
            shelf = gated.lists[status]
            assert list(shelf) == sorted(shelf, key=sort_key)
            assert {row.account.username for row in shelf} == {who for who, of in self.model.items() if of is status}
            assert all(row.status is status and gated.requests[row.id] is row for row in shelf)
        assert len(gated.people) == len(gated.requests) == sum(map(len, gated.lists.values()))


TestActs = Acts.TestCase
