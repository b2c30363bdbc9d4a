"""What became of a change, thought without a call."""

from __future__ import annotations

import pytest

from hf_gate.base.ids import Person, Repo, RepoType
from hf_gate.core.outcomes import Outcome, OutcomeKind
from hf_gate.core.requests import Target
from hf_gate.core.runs import ChangeOrigin
from hf_gate.decisions.service.runs.settling import settle_by_outcome, settle_without_sending
from hf_gate.verdicts.plan.change_builders import make_change_without_request
from hf_gate.verdicts.plan.run_items import RunItem
from tests.kits.plans import make_change

REPO = Repo(RepoType.MODEL, "acme", "med-7b")


@pytest.mark.parametrize(
    ("kind", "why", "how"),
    [
        (OutcomeKind.DONE, "", "told"),
        (OutcomeKind.DONE, "the answer was lost; read back", "read"),
        (OutcomeKind.REFUSED, "the Hub says: read back the form", "told"),
    ],
)
def test_whether_an_answer_was_lost_hangs_on_no_words_of_the_hub(kind: OutcomeKind, why: str, how: str) -> None:
    item = RunItem(1, make_change(), None, REPO)
    assert settle_by_outcome(item, Outcome(kind, REPO, Person(username="user-1"), why=why)).source == how


def test_a_grant_waits_while_the_lists_cannot_be_read_completely() -> None:
    """It would overrule a rejection that nobody saw."""
    grant = make_change_without_request(REPO, Target("ada"), "accepted", rule=ChangeOrigin.GRANT)
    item = RunItem(1, grant, None, REPO)
    found = settle_without_sending(item, None, complete=False)
    assert found is not None
    assert (found.kind, found.is_unsent) == (OutcomeKind.DEFERRED, True)
    assert settle_without_sending(item, None, complete=True) is None
