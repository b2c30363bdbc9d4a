"""Facts of a request: their values, and that an unknown fact never gets a value."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_gate.base.ids import Person, Repo, RepoType
from hf_gate.base.timestamps import to_ms
from hf_gate.core.forms.forms import parse_gate_form
from hf_gate.core.forms.roles import Role
from hf_gate.core.people.accounts import Profile
from hf_gate.core.policy_model import Fact, Facts, FactValue, UnknownReason
from hf_gate.core.requests import AccessRequest
from hf_gate.policies.facts.countries import country_key
from hf_gate.policies.facts.fact_table import ANSWER_ROLES, FACTS, CelType, fact_types, find_declaration
from hf_gate.policies.facts.fact_values import DAY_COUNTS, DecisionHistory, EmailFacts, ProfileFact, TableHit
from hf_gate.policies.facts.facts import FactReader
from hf_gate.policies.facts.form_facts import FormRoles, form_roles
from hf_gate.requests.answer_quality import rate_without_names

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
REPO = Repo(RepoType.DATASET, "acme", "eeg")
BORN = datetime(2025, 6, 1, tzinfo=UTC)
PERSON = Person(f"{int(BORN.timestamp()):08x}{'0' * 16}", "alice", "Alice Example")
CARD = """---
extra_gated_fields:
  Full name: text
  Affiliation: text
  Country: country
  Email: text
  What will you study: text
  I agree to the terms: checkbox
  I will not share the data and agree to delete it: checkbox
---
"""
FORM = form_roles(parse_gate_form(CARD))
BOXES = {"I agree to the terms": "on", "I will not share the data and agree to delete it": "on"}
ANSWERS = {
    "Full name": "Alice Example",
    "Affiliation": "Example University",
    "Country": "CH",
    "Email": "Alice@Example.org",
    "What will you study": "How sleep spindles change with age in healthy adults",
    **BOXES,
}
COUNTRIES = {"ch": "CH", "switzerland": "CH", "fr": "FR", "france": "FR", "ge": "GE", "georgia": "GE", "usa": "US"}
MAIL = EmailFacts("alice@example.org", "example.org", "example.org", academic=True, versions={"academic": "1"})


def compute_facts(
    request: AccessRequest,
    *,
    tables: Mapping[str, TableHit] | None = None,
    countries: Mapping[str, str] | None = None,
    wanted: Collection[str] | None = None,
    **inputs: Any,
) -> Facts:
    """Return the wanted facts of one request; all facts if None."""
    reader = FactReader(fact_types(tables=tables or {}) if wanted is None else wanted, countries or {})
    return reader.compute_facts(request, tables=tables or {}, **inputs)


def asking(**changes: object) -> AccessRequest:
    told = {"user": {"_id": PERSON.id, "user": "alice", "isPro": True, "verifiedOrgNames": ["acme-lab"]}}
    given = {
        "repo": REPO,
        "status": "pending",
        "asked_at": NOW - timedelta(days=3, hours=5),
        "person": PERSON,
        "request_id": "a" * 24,
        "email": "alice@example.org",
        "answers": ANSWERS,
        "has_form": True,
        "raw_json": json.dumps(told).encode(),
        "read_at": NOW.timestamp() - 60,
    } | changes
    return AccessRequest(**given)  # type: ignore[arg-type]


def fact(name: str, request: AccessRequest | None = None, **known: object) -> Fact:
    given = {"now": NOW, "form": FORM, "email": MAIL, "countries": COUNTRIES, "history": DecisionHistory()} | known
    return compute_facts(request or asking(), wanted=[name], **given)[name]  # type: ignore[arg-type]


def value(name: str, request: AccessRequest | None = None, **known: object) -> FactValue | None:
    return fact(name, request, **known).value


# ---- the law ---------------------------------------------------------------------------------------------------------


def test_every_declared_fact_can_be_asked_and_has_the_type_that_is_declared() -> None:
    tables = {"dua": TableHit("valid", NOW, {"n": "1"}, source="table:dua@1")}
    profile = ProfileFact(Profile(PERSON, BORN, orgs=("acme",), models=1, datasets=2, followers=3), NOW)
    history = DecisionHistory(last_decision="reset", last_at=to_ms(NOW - timedelta(days=9)))
    types = fact_types(tables=tables)
    found = compute_facts(
        asking(), now=NOW, form=FORM, email=MAIL, profile=profile, tables=tables, history=history, countries=COUNTRIES
    )
    python = {
        CelType.BOOL: bool, CelType.INT: int, CelType.STRING: str, CelType.TIMESTAMP: datetime, CelType.LIST: tuple,
        CelType.MAP: dict,
    }  # fmt: skip
    assert set(found) == set(types)
    for name, kind in types.items():
        unasked = {f"answers.{role}.text" for role in ("job", "birth_date")}
        if name in unasked:
            assert found[name].why is UnknownReason.UNAVAILABLE
        else:
            assert type(found[name].value) is python[kind], name


def test_every_fact_that_counts_days_says_from_which_moment() -> None:
    counted = {name for name, fact in FACTS.items() if fact.type is CelType.INT and "days" in re.split(r"[._]", name)}
    assert counted == set(DAY_COUNTS)


@pytest.mark.parametrize("later", [timedelta(minutes=7), timedelta(hours=13), timedelta(days=400)])
def test_no_other_fact_changes_with_time_alone(later: timedelta) -> None:
    profile = ProfileFact(Profile(PERSON, BORN, orgs=("acme",), models=1, datasets=2, followers=3), NOW)
    inputs = {
        "form": FORM,
        "email": MAIL,
        "profile": profile,
        "tables": {"dua": TableHit("valid", NOW + timedelta(days=2), {"n": "1"}, source="table:dua@1")},
        "history": DecisionHistory(last_decision="reset", last_at=to_ms(NOW - timedelta(days=9))),
        "countries": COUNTRIES,
    }
    before, after = (compute_facts(asking(), now=at, **inputs) for at in (NOW, NOW + later))  # type: ignore[arg-type]
    changed = {name for name in before if before[name].value != after[name].value}
    # a policy that names `now` is evaluated each time; the verdict of another fact would stay as it was
    assert changed <= {"now", *DAY_COUNTS}
    assert "now" in changed


@pytest.mark.parametrize(
    "name", ["answers.other.text", "answers.job.code", "email.acadmic", "tables", "tables.", "answers.ROLE.text"]
)
def test_a_name_that_is_no_fact_is_refused(name: str) -> None:
    assert find_declaration(name) is None
    with pytest.raises(KeyError):
        FactReader([name])


# ---- unknown ---------------------------------------------------------------------------------------------------------

HIDDEN = asking(person=Person(), email=None, raw_json=b"{}")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("person.username", UnknownReason.UNAVAILABLE),
        ("person.fullname", UnknownReason.UNAVAILABLE),
        ("person.is_pro", UnknownReason.UNAVAILABLE),
        ("person.verified_orgs", UnknownReason.UNAVAILABLE),
        ("person.created_at", UnknownReason.UNAVAILABLE),
        ("person.account_days", UnknownReason.UNAVAILABLE),
        ("person.orgs", UnknownReason.UNAVAILABLE),
        ("email.address", UnknownReason.UNAVAILABLE),
        ("email.free", UnknownReason.UNAVAILABLE),
        ("email.disposable", UnknownReason.UNAVAILABLE),
        ("email.academic", UnknownReason.UNAVAILABLE),
        ("email.matches_form", UnknownReason.UNAVAILABLE),
    ],
)
def test_all_facts_of_a_hidden_person_are_unknown(name: str, why: UnknownReason) -> None:
    found = fact(name, HIDDEN, email=None)
    assert (found.value, found.why) == (None, why)
    assert found.note


def test_the_values_for_an_expression_leave_out_what_is_unknown() -> None:
    reader = FactReader(["email.free", "person.hidden", "person.models", "tables.dua"], COUNTRIES)
    found = reader.compute_facts(HIDDEN, now=NOW)
    names = [*found, "nothing"]
    assert {name: value for name in names if (value := found.find_known(name)) is not None} == {"person.hidden": True}


def test_a_profile_that_is_not_read_is_not_yet_known_and_one_that_is_missing_is_unavailable() -> None:
    assert fact("person.models").why is UnknownReason.NOT_YET
    gone = ProfileFact(None, NOW, UnknownReason.UNAVAILABLE, "the Hub has no such account")
    assert fact("person.models", profile=gone).why is UnknownReason.UNAVAILABLE
    assert value("person.models", profile=ProfileFact(Profile(PERSON, models=0), NOW)) == 0
    assert fact("person.models", profile=ProfileFact(Profile(PERSON), NOW)).why is UnknownReason.UNAVAILABLE


def test_a_history_that_was_not_read_in_full_says_nothing_but_the_attempt() -> None:
    half = DecisionHistory(attempt=2, accepted=1, is_complete=False)
    assert value("request.attempt", history=half) == 2
    assert fact("history.accepted", history=half).why is UnknownReason.UNAVAILABLE
    assert fact("history.accepted", history=None).why is UnknownReason.UNAVAILABLE
    assert value("history.last_decision", history=DecisionHistory()) == "none"
    assert fact("history.days_since_last", history=DecisionHistory()).why is UnknownReason.UNAVAILABLE
    assert (
        value("history.days_since_last", history=DecisionHistory(last_at=to_ms(NOW - timedelta(days=8, hours=1)))) == 8
    )


# ---- the account -----------------------------------------------------------------------------------------------------


def test_what_only_the_raw_record_says_is_read_from_it_and_unknown_when_it_cannot_be() -> None:
    assert value("person.is_pro") is True
    assert value("person.verified_orgs") == ("acme-lab",)
    for raw in (b"", b"{}", b'{"user":{"isPro":"yes"}}', b'{"user":{"verifiedOrgNames":[1]}}', b"\xff"):
        assert fact("person.is_pro", asking(raw_json=raw)).why is UnknownReason.UNAVAILABLE
        assert fact("person.verified_orgs", asking(raw_json=raw)).why is UnknownReason.UNAVAILABLE


def test_days_are_whole_and_a_request_from_the_future_is_of_today() -> None:
    assert value("request.age_days") == 3
    assert value("request.age_days", asking(asked_at=NOW + timedelta(hours=30))) == 0


# ---- e-mail ----------------------------------------------------------------------------------------------------------


def test_an_address_that_can_be_read_in_two_ways_is_present_and_otherwise_unknown() -> None:
    odd = EmailFacts("x@example.org@evil")
    assert value("email.present", email=odd) is True
    for name in (
        "email.address",
        "email.domain",
        "email.free",
        "email.disposable",
        "email.academic",
        "email.matches_form",
    ):
        assert fact(name, email=odd).why is UnknownReason.UNAVAILABLE


def test_the_forms_mail_matches_whatever_its_case_and_never_a_look_alike() -> None:
    assert value("email.matches_form") is True
    for stated in ("alice@ехample.org", "alice@example.org.evil.com", "x@example.org@evil", "alice", ""):
        assert value("email.matches_form", asking(answers=ANSWERS | {"Email": stated})) is False


def test_without_a_mail_field_nothing_can_match() -> None:
    answers = {label: text for label, text in ANSWERS.items() if label != "Email"}
    assert fact("email.matches_form", asking(answers=answers)).why is UnknownReason.UNAVAILABLE


# ---- the form --------------------------------------------------------------------------------------------------------


def test_quality_depends_on_the_role_and_not_on_the_label() -> None:
    assert value("answers.purpose.quality") == "good"
    assert value("answers.affiliation.present") is True
    assert value("answers.purpose.quality", asking(answers={"What will you study": "asdf"})) == "junk"
    assert value("answers.job.quality") == "missing"
    assert value("answers.job.present") is False


def test_an_answer_to_a_field_that_the_form_has_no_more_keeps_the_role_that_its_words_tell() -> None:
    assert (
        value("answers.affiliation.text", asking(answers={"Your institution": "Example University"}))
        == "Example University"
    )


def test_a_policy_may_say_itself_which_label_has_a_role() -> None:
    form = form_roles(parse_gate_form(CARD), {"purpose": "Affiliation"})
    assert value("answers.purpose.text", form=form) == "Example University"
    assert value("answers.affiliation.quality", form=form) == "missing"


def test_an_answer_that_two_people_give_is_weighed_once() -> None:
    rate_without_names.cache_clear()
    for username in ("ann", "bob"):
        asked = asking(answers={"Affiliation": "Example University"}, person=Person(username[0] * 24, username, None))
        assert value("answers.affiliation.quality", asked) == "good"
    assert (rate_without_names.cache_info().misses, rate_without_names.cache_info().hits) == (1, 1)


def test_the_same_answer_of_two_people_is_weighed_with_their_own_names() -> None:
    answers = {"Affiliation": "bob builder"}
    bob = asking(answers=answers, person=Person("b" * 24, "bob", "Bob Builder"))
    assert value("answers.affiliation.quality", asking(answers=answers)) == "good"
    assert value("answers.affiliation.quality", bob) == "junk"


@pytest.mark.parametrize(
    ("answers", "ticked"),
    [
        (BOXES, True),
        (dict.fromkeys(BOXES, "true"), True),
        ({"I agree to the terms": "on"}, False),
        (BOXES | {"I agree to the terms": ""}, False),
        (BOXES | {"I agree to the terms": "false"}, False),
        ({}, False),
    ],
)
def test_every_box_that_agrees_must_have_arrived_ticked(answers: dict[str, str], ticked: bool) -> None:
    assert value("answers.consent.all_ticked", asking(answers=answers)) is ticked


def test_without_a_box_or_without_the_card_nobody_can_say_that_all_are_ticked() -> None:
    empty = form_roles(parse_gate_form("---\nextra_gated_fields:\n  Name: text\n---\n"))
    assert fact("answers.consent.all_ticked", form=empty).why is UnknownReason.UNAVAILABLE
    assert fact("answers.consent.all_ticked", form=form_roles(None)).why is UnknownReason.UNAVAILABLE
    assert fact("answers.consent.all_ticked", form=FormRoles(is_known=False)).why is UnknownReason.UNAVAILABLE


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("CH", "CH"), ("ch", "CH"), ("Switzerland", "CH"), ("🇨🇭", "CH"), ("Paris, France", "FR"), ("Lyon (France)", "FR"),
        ("France / France", "FR"), ("France, Switzerland", None), ("France and Switzerland", None),
        ("Georgia, USA", None), ("Narnia", None), ("", None), ("France, Narnia", None), ("x" * 5000, None),
    ],
)  # fmt: skip
def test_a_country_is_exactly_one_or_unknown(text: str, code: str | None) -> None:
    assert value("answers.country.code", asking(answers={"Country": text})) == code


@given(st.text(st.characters(max_codepoint=127)))
def test_the_short_way_for_plain_letters_finds_the_same_name_of_a_country(text: str) -> None:
    assert country_key(text) == country_key(text + "\N{COMBINING ACUTE ACCENT}")


def test_labels_of_the_form_are_folded_and_without_a_form_the_map_is_empty() -> None:
    assert value("form", asking(answers={"I agree\n  to all": "on"})) == {"I agree to all": "on"}
    assert value("form", asking(answers={}, has_form=False)) == {}


# ---- text from strangers ---------------------------------------------------------------------------------------------


def test_half_characters_are_replaced_and_long_answers_cut_at_a_whole_character() -> None:
    request = asking(answers={"Affiliation": "a\ud800b"}, person=Person(PERSON.id, "alice", "\udfff"))
    assert value("answers.affiliation.text", request) == "a\ufffdb"
    assert value("person.fullname", request) == "\ufffd"
    long = value("answers.affiliation.text", asking(answers={"Affiliation": "語" * 100_000}))
    assert isinstance(long, str)
    assert set(long) == {"語"}
    assert len(long.encode()) <= 8192


@given(
    st.dictionaries(
        st.text(st.characters(codec=None), max_size=30), st.text(st.characters(codec=None), max_size=60), max_size=4
    ),
    st.text(st.characters(codec=None), max_size=20),
)
def test_no_answer_breaks_a_fact_and_every_text_can_be_encoded(answers: dict[str, str], name: str) -> None:
    request = asking(answers=answers, person=Person(PERSON.id, name, name))
    for each in compute_facts(request, now=NOW, form=FORM, email=MAIL, countries=COUNTRIES).values():
        texts = each.value.items() if isinstance(each.value, dict) else [(str(each.value), each.note)]
        for pair in texts:
            assert all(part.encode() is not None for part in pair)


def test_the_roles_with_facts_are_all_but_the_one_that_says_nothing() -> None:
    assert set(ANSWER_ROLES) == {role.value for role in Role} - {"other"}
