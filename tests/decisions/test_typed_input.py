"""What people type is read alike everywhere, and refused with its next step."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from hf_gate.base.ids import Repo, RepoType
from hf_gate.decisions.typed_input import is_confirmed, parse_end, parse_event_kind, parse_note, parse_reason
from hf_gate.errors import ReasonTooLong, UsageError
from hf_gate.messages.reason_templates import ReasonTemplate, check_templates, find_template

NOW = datetime(2026, 10, 1, 12, tzinfo=UTC)
REPO = Repo(RepoType.DATASET, "acme", "eeg")
TEMPLATES: Mapping[str, str] = {
    "more": "Please say more, {user}.",
    "rule": "By {rule}.",
    "long": "{user} " * 30,
    "bye": "Bye.",
}


@pytest.mark.parametrize("text", ["90d", "12w", "6mo", "1y", " 2028-11-30 ", "2026-10-01"])
def test_an_end_is_a_length_of_time_or_a_date_to_come(text: str) -> None:
    assert parse_end(text, NOW, UTC, has_workspace=True) == text.strip()


@pytest.mark.parametrize("text", ["", "soon", "2026-09-30", "9999-12-31", "2027-02-30", "3 weeks", "-1d"])
def test_what_is_no_end_is_refused_before_anything_is_sent(text: str) -> None:
    with pytest.raises(UsageError):
        parse_end(text, NOW, UTC, has_workspace=True)


def test_an_end_needs_a_workspace_that_carries_it_out() -> None:
    with pytest.raises(UsageError, match="needs a workspace") as raised:
        parse_end("90d", NOW, UTC, has_workspace=False)
    assert "hf-gate init" in (raised.value.hint or "")


def test_a_reason_goes_with_reset_and_reject_alone() -> None:
    assert parse_reason(" why ", "reset", is_silent=False) == "why"
    assert parse_reason(None, "reject", is_silent=True) is None
    assert parse_reason("why", "accept", is_silent=False) is None
    with pytest.raises(UsageError, match="missing"):
        parse_reason("  ", "reject", is_silent=False)
    with pytest.raises(ReasonTooLong):
        parse_reason("x" * 201, "reset", is_silent=False)


@pytest.mark.parametrize("text", ["  ", "x" * 4001, "half \ud800"])
def test_a_note_that_cannot_be_stored_is_refused(text: str) -> None:
    assert parse_note(" kept ") == "kept"
    with pytest.raises(UsageError):
        parse_note(text)


def test_a_count_is_confirmed_by_itself_alone() -> None:
    assert is_confirmed(" 1,204 ", 1204)
    assert not is_confirmed("1205", 1204)
    assert not is_confirmed("yes", 1)


def test_a_template_that_cannot_be_sent_is_refused() -> None:
    assert find_template(TEMPLATES, "more", [REPO]).fill(REPO, "ada") == "Please say more, ada."
    for word in ("none", "rule", "long"):
        with pytest.raises(UsageError):
            find_template(TEMPLATES, word, [REPO])


def test_templates_are_offered_if_they_can_be_sent() -> None:
    usable = [each.name for each in check_templates(TEMPLATES, [REPO]) if isinstance(each, ReasonTemplate)]
    assert usable == ["more", "bye"]


def test_a_kind_of_entry_is_known_in_any_case() -> None:
    assert parse_event_kind("notewritten") == "NoteWritten"
    with pytest.raises(UsageError, match="not a kind"):
        parse_event_kind("gossip")
