"""When a repo is read again and how much of it; and what a desk is made of when there is none yet."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_gate.base.ids import Repo, RepoType, parse_repo
from hf_gate.core.forms.forms import parse_gate_form
from hf_gate.core.policy_model import PolicyMode
from hf_gate.core.stored_rows import RepoRow
from hf_gate.policies.checks.policy_checker import check_policy
from hf_gate.policies.parsing.config_parser import parse_config
from hf_gate.policies.parsing.policy_parser import parse_policy
from hf_gate.reports.service.workspace_status import format_answered_line
from hf_gate.requests.sync_schedule import (
    FULL_SYNC_INTERVAL,
    FULL_SYNC_RETRY,
    MAX_PAUSE,
    MIN_PAUSE,
    QUOTA_SHARE,
    SyncKind,
    choose_sync,
    next_pause,
)
from hf_gate.verdicts.policy_tests import run_policy_tests
from hf_gate.workspace.service.starter_workspace import (
    GITIGNORE,
    format_config,
    format_starter_policy,
    merge_gitignore,
    suggest_next_steps,
)

REPO = Repo(RepoType.DATASET, "acme", "eeg")
NOW = 1_790_000_000_000


def row(full_at: int | None = NOW, tried_at: int | None = None, **counts: int) -> RepoRow:
    return RepoRow(id=1, repo=REPO, full_at=full_at, tried_at=tried_at, counts=counts)


@pytest.mark.parametrize(
    ("known", "now", "report", "kind"),
    [
        (None, NOW, None, SyncKind.FULL),
        (row(None), NOW, None, SyncKind.FULL),
        (row(None, tried_at=NOW - 1), NOW, None, SyncKind.QUICK),
        (row(None, tried_at=NOW - FULL_SYNC_RETRY), NOW, None, SyncKind.FULL),
        (row(), NOW + FULL_SYNC_INTERVAL - 1, None, SyncKind.QUICK),
        (row(), NOW + FULL_SYNC_INTERVAL, None, SyncKind.FULL),
        (row(tried_at=NOW + FULL_SYNC_INTERVAL - 1), NOW + FULL_SYNC_INTERVAL, None, SyncKind.QUICK),
        (row(pending=3), NOW + 1, {"pending": 3}, SyncKind.QUICK),
        (row(pending=3), NOW + 1, {"pending": 4}, SyncKind.FULL),
        (row(pending=3), NOW + 1, {}, SyncKind.FULL),
        (row(pending=3, withdrawn=9), NOW + 1, {"pending": 3}, SyncKind.QUICK),
        (row(pending=3), NOW + 1, {"pending": 3, "parked": 1}, SyncKind.FULL),
        (row(pending=3, tried_at=NOW), NOW + 1, {"pending": 4}, SyncKind.QUICK),
    ],
)
def test_a_full_reading_is_due_when_none_is_proved_a_day_passed_or_the_report_says_otherwise(
    known: RepoRow | None, now: int, report: dict[str, int] | None, kind: SyncKind
) -> None:
    due = choose_sync(known, now, report)
    assert due.kind is kind
    assert due.why


@given(
    before=st.floats(MIN_PAUSE, MAX_PAUSE),
    found=st.booleans(),
    calls=st.integers(0, 400),
    quota=st.none() | st.floats(1, 10_000),
)
def test_the_pause_slides_between_a_minute_and_half_an_hour_within_its_share_of_calls(
    before: float, found: bool, calls: int, quota: float | None
) -> None:
    pause = next_pause(before, has_news=found, calls=calls, quota=quota, window=None if quota is None else 300.0)
    assert MIN_PAUSE <= pause <= FULL_SYNC_INTERVAL / 1000
    if quota is None:
        assert pause <= MAX_PAUSE
    elif pause < FULL_SYNC_INTERVAL / 1000:
        assert calls <= QUOTA_SHARE * quota * pause / 300.0 * 1.000001


def test_news_brings_the_next_look_nearer_and_silence_puts_it_off() -> None:
    assert next_pause(600, has_news=True, calls=4, quota=None, window=None) == 300
    assert next_pause(600, has_news=False, calls=4, quota=None, window=None) == 900


def test_forty_idle_repos_take_a_twentieth_of_a_free_window() -> None:
    pause = next_pause(60, has_news=True, calls=160, quota=1000, window=300)
    assert 160 / pause * 300 <= 50.0001


def test_many_repos_are_looked_at_less_often_than_twice_an_hour_rather_than_too_dearly() -> None:
    assert next_pause(1800, has_news=False, calls=4 * 76, quota=500, window=300) == 3648


# ---- a desk to begin with -----------------------------------------------------------------------------------------------

REPOS = [REPO, Repo(RepoType.MODEL, "acme", "med-7b")]
names = st.from_regex(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,8}[A-Za-z0-9_-])?", fullmatch=True)


def _is_repo(repo: Repo) -> bool:
    return not any(".." in part or "--" in part for part in (repo.namespace, repo.name)) and repo.namespace not in {
        "datasets",
        "models",
        "spaces",
    }


@given(st.lists(st.builds(Repo, st.sampled_from(RepoType), names, names).filter(_is_repo), min_size=1, max_size=4))
def test_whatever_repos_are_called_desk_and_starter_are_read_back_as_meant(repos: list[Repo]) -> None:
    desk = parse_config(format_config(repos, "Europe/Zurich"))
    assert desk.config is not None, desk.problems
    assert not desk.problems
    assert all(desk.config.includes(repo) for repo in repos)
    starter = parse_policy(format_starter_policy(repos, []))
    assert starter.policy is not None, starter.problems
    assert {parse_repo(glob) for glob in starter.policy.applies_to} == set(repos)


@pytest.mark.parametrize("card", ["", "---\nextra_gated_fields:\n  Intended use: text\n  Country: country\n---\n"])
def test_the_starter_changes_nothing_refuses_nobody_and_passes_its_tests(card: str) -> None:
    forms = [parse_gate_form(card)]
    parsed = parse_policy(format_starter_policy(REPOS, forms))
    policy = parsed.policy
    assert policy is not None
    results = run_policy_tests(check_policy(parsed))
    assert len(results) == (3 if card else 1)
    assert [result.message for result in results if not result.has_passed] == []
    assert policy.mode is PolicyMode.SHADOW
    assert all(str(rule.then) != "reject" for rule in policy.rules)
    assert ("say-more" in {rule.id for rule in policy.rules}) == bool(card)


def test_a_gitignore_keeps_what_it_had_and_gets_ours_once() -> None:
    assert merge_gitignore("").splitlines() == list(GITIGNORE)
    assert {"desk.db*", "secrets/"} <= set(GITIGNORE), "personal data, and the files that the pages name for passwords"
    assert merge_gitignore("*.pyc").splitlines() == ["*.pyc", *GITIGNORE]
    assert merge_gitignore(merge_gitignore("*.pyc\n")) == merge_gitignore("*.pyc\n")


@pytest.mark.parametrize(
    ("pending", "words"),
    [(0, "ui review help"), (19, "ui review help"), (20, "plan explain ui"), (900, "plan explain ui")],
)
def test_after_init_at_most_three_commands_are_named_by_hand_for_a_short_queue_by_policy_for_a_long_one(
    pending: int, words: str
) -> None:
    steps = suggest_next_steps(dict.fromkeys(REPOS, 0) | {REPOS[0]: pending}, f"ada-l@{REPOS[0]}")
    assert " ".join(command.split()[0] for command, _ in steps) == words


# ---- the line for a card ------------------------------------------------------------------------------------------------

ZURICH = ZoneInfo("Europe/Zurich")


@pytest.mark.parametrize(
    ("before", "line"),
    [
        (None, ""),
        (datetime(2026, 11, 21, 14, tzinfo=UTC), "Every request made before 21 Nov is answered"),
        (datetime(2026, 11, 20, 23, 30, tzinfo=UTC), "Every request made before 21 Nov is answered"),
        (datetime(2025, 5, 3, 12, tzinfo=UTC), "Every request made before 3 May 2025 is answered"),
    ],
)
def test_the_line_for_a_card_names_a_day_in_the_zone_of_the_desk(before: datetime | None, line: str) -> None:
    now = datetime(2026, 11, 25, tzinfo=UTC)
    assert format_answered_line(before, None, now, ZURICH) == format_answered_line(before, now, now, ZURICH) == line
    held = datetime(2025, 4, 1, tzinfo=UTC)
    assert format_answered_line(before, held, now, ZURICH) == (line and f"{line}, except those on hold")
