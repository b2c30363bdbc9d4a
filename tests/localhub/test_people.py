"""The local Hub's invented people and requests are reproducible, plausible and valid, and their facts stay separate."""

from __future__ import annotations

import json
import re
from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.automation_rate import expect_decision
from hf_gate.localhub.population.generator import (
    PRESETS,
    GeneratedData,
    GeneratedRequest,
    generate_data,
)
from hf_gate.localhub.population.sample import load_hostile_texts, load_sample
from hf_gate.localhub.records import HubAccount
from tests.kits.paths import ROOT
from tools.people import make_people, make_sample

NOW = 1_792_800_000_000  # 2026-10-23
DAY = 86_400_000
LONGEST = 10_000  # characters of a hostile text
PLACES = frozenset(domain for place in load_sample().places for domain in (*place.staff, *place.students))
MAIL_SERVICES = frozenset(part.split(":")[0] for table in make_people.FREE.values() for part in table.split()) | {
    *make_people.DISPOSABLE,
    *make_people.RELAYS,
}
RESERVED = ("test", "invalid", "example.org", "example.net", "example.com")


@pytest.fixture(scope="module")
def consumer() -> tuple[GeneratedData, list[GeneratedRequest]]:
    drawn = generate_data(7, 20_000, 3, "consumer", NOW)
    return drawn, list(drawn.rows)


def as_bytes(drawn: GeneratedData) -> bytes:
    return msgspec.json.encode([drawn.accounts, list(drawn.rows)])


# --- reproducible ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
def test_the_same_seed_gives_the_same_bytes_and_another_seed_gives_others(preset: str) -> None:
    assert as_bytes(generate_data(7, 600, 3, preset, NOW)) == as_bytes(generate_data(7, 600, 3, preset, NOW))
    assert as_bytes(generate_data(7, 600, 3, preset, NOW)) != as_bytes(generate_data(8, 600, 3, preset, NOW))


def test_rows_are_drawn_again_on_each_iteration() -> None:
    drawn = generate_data(3, 5_000, 3, "medical", NOW)
    assert list(drawn.rows) == list(drawn.rows)


def test_there_are_exactly_as_many_requests_as_wanted_and_none_at_all_is_a_number_too() -> None:
    for requests, repos in ((0, 0), (0, 3), (1, 1), (10, 3), (2_000, 3), (777, 20)):
        drawn = generate_data(1, requests, repos, "consumer", NOW)
        assert (len(list(drawn.rows)), len(drawn), len(drawn.gates)) == (requests, requests, repos)


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="consumer, medical, class"):
        generate_data(1, 10, 1, "party", NOW)
    with pytest.raises(ValueError, match="at least one repo"):
        generate_data(1, 10, 0, "class", NOW)


# --- valid rows -----------------------------------------------------------------------------------------------


def _is_allowed(address: str) -> bool:
    """Of a public mail service, of an invented place, or under a name that nobody can own."""
    domain = address.rpartition("@")[2].lower().rstrip(".")
    return domain in MAIL_SERVICES | PLACES or any(domain == name or domain.endswith(f".{name}") for name in RESERVED)


def check_accounts(drawn: GeneratedData) -> None:
    assert len({account.id for account in drawn.accounts}) == len(drawn.accounts)
    assert len({account.username for account in drawn.accounts}) == len(drawn.accounts)
    for account in drawn.accounts:
        assert re.fullmatch(r"[0-9a-f]{24}", account.id)
        assert int(account.id[:8], 16) == account.created_ms // 1000
        assert re.fullmatch(r"[A-Za-z0-9][\w.-]{1,41}", account.username)
        assert account.email is None or _is_allowed(account.email), account.email
        assert len(account.fullname) <= 96
        assert set(account.verified_orgs) <= {name for _, name, _ in account.orgs}


def check_rows(drawn: GeneratedData, rows: list[GeneratedRequest], now: int) -> None:
    assert len({row.request_id for row in rows}) == len(rows)
    assert len({(row.person_index, row.repo_index) for row in rows}) == len(rows)
    labels = [{field.label for field in gate.fields} for gate in drawn.gates]
    former = [{field.label for field in gate.former_fields} for gate in drawn.gates]
    for row in rows:
        assert re.fullmatch(r"[0-9a-f]{24}", row.request_id)
        assert int(row.request_id[:8], 16) == row.asked_ms // 1000
        assert drawn.accounts[row.person_index].created_ms <= row.asked_ms <= now
        assert (row.reviewed_ms is None) == (row.status == "pending")
        assert row.reviewed_ms is None or row.asked_ms <= row.reviewed_ms <= now
        if row.answers is None:
            assert (row.status, row.answers) == ("accepted", None)
        else:
            assert row.answers is not None
            assert set(row.answers) <= labels[row.repo_index] | former[row.repo_index]
            assert all(len(text) <= LONGEST for text in row.answers.values())
            "".join(row.answers.values()).encode()  # strings, and no lone surrogate in them


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(),
    requests=st.integers(0, 1200),
    repos=st.integers(1, 9),
    preset=st.sampled_from(PRESETS),
    now=st.integers(NOW - 2000 * DAY, NOW + 2000 * DAY),
)
def test_every_world_holds_only_valid_people_and_one_request_for_each_person_and_repo(
    seed: int, requests: int, repos: int, preset: str, now: int
) -> None:
    drawn = generate_data(seed, requests, repos, preset, now)
    check_accounts(drawn)
    check_rows(drawn, list(drawn.rows), now)


def test_the_large_world_is_valid_too(consumer: tuple[GeneratedData, list[GeneratedRequest]]) -> None:
    drawn, rows = consumer
    check_accounts(drawn)
    check_rows(drawn, rows, NOW)


# --- plausible distributions ----------------------------------------------------------------------------------


def test_accepted_people_answered_better_than_rejected_ones(
    consumer: tuple[GeneratedData, list[GeneratedRequest]],
) -> None:
    _, rows = consumer
    good = {
        status: sum(
            expect_decision(row) == "accept" for row in rows if row.status == status and row.answers is not None
        )
        / sum(row.status == status and row.answers is not None for row in rows)
        for status in ("accepted", "rejected", "reset")
    }
    assert good["accepted"] > 2 * max(good["rejected"], good["reset"])


def test_a_few_usernames_differ_by_capitals_only(consumer: tuple[GeneratedData, list[GeneratedRequest]]) -> None:
    drawn, _ = consumer
    lower = Counter(account.username.lower() for account in drawn.accounts)
    assert 0 < sum(count > 1 for count in lower.values()) / len(lower) < 0.003


# --- gates ----------------------------------------------------------------------------------------------------


# --- hostile --------------------------------------------------------------------------------------------------


def test_the_hostile_texts_are_many_different_and_legal_on_the_wire() -> None:
    texts = [text for _, text in load_hostile_texts()]
    by_kind = Counter(kind for kind, _ in load_hostile_texts())
    assert len(set(texts)) == len(texts) >= 140
    assert len(by_kind) >= 15
    assert min(by_kind.values()) >= 5
    assert max(len(text) for text in texts) <= LONGEST
    assert all(json.loads(json.dumps(text)) == text and text.encode().decode() == text for text in texts)


def test_one_request_in_two_hundred_is_hostile_and_its_text_is_shown(
    consumer: tuple[GeneratedData, list[GeneratedRequest]],
) -> None:
    drawn, rows = consumer
    hostile = [row for row in rows if row.hostile_kind]
    assert len(hostile) / len(rows) == pytest.approx(0.005, abs=0.002)
    assert len({row.hostile_kind for row in hostile}) >= 12
    texts = {text for _, text in load_hostile_texts()}
    for row in hostile:
        shown = {drawn.accounts[row.person_index].fullname, *(row.answers or {}).values()}
        assert shown & texts
        assert expect_decision(row) in {"human", "reject"}


def test_nothing_of_the_truth_stands_in_what_goes_on_the_wire(
    consumer: tuple[GeneratedData, list[GeneratedRequest]],
) -> None:
    drawn, rows = consumer
    assert {field.name for field in msgspec.structs.fields(HubAccount)} == {
        "id", "username", "fullname", "email", "kind", "is_pro", "verified_orgs", "orgs", "counts",
    }  # fmt: skip
    told = re.compile(r"hostile_kind|person_id|email_class|expected_role|\0missing")
    for row in rows:
        wire = msgspec.json.encode([drawn.accounts[row.person_index], row.answers]).decode()
        assert not told.search(wire.replace("\\u0000", "\0"))


# --- the sample -----------------------------------------------------------------------------------------------


def test_the_sample_is_what_its_tool_makes_of_its_sources() -> None:
    frozen = ROOT / "src" / "hf_gate" / "localhub" / "population" / "people.json"
    assert frozen.stat().st_size < 500_000
    assert len([row for kinds in load_sample().people.values() for rows in kinds.values() for row in rows]) > 1_800
    made = make_sample.encode_sample(make_sample.build_sample())
    assert frozen.read_text("utf-8") == made, "a source changed: run python -m tools.people.make_sample"
