"""Sources in hf-gate.yaml, in rules and in sentences; what is asked, and how an answer is read."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_gate.base.ids import Person
from hf_gate.core.people.grants import FAR_END, last_day
from hf_gate.core.policy_model import UnknownReason
from hf_gate.core.stored_rows import Observation
from hf_gate.policies.checks.accept_requirements import accept_requirements
from hf_gate.policies.checks.policy_checker import CheckedPolicy, check_policy
from hf_gate.policies.facts.source_answers import (
    check_value,
    digest_question,
    encode_value,
    find_source_fact,
    read_answer,
)
from hf_gate.policies.parsing.config_parser import parse_config
from hf_gate.policies.parsing.policy_parser import parse_policy
from hf_gate.policies.words.phrases import describe_expression, describe_test, name_fact
from hf_gate.settings.workspace_config import SourceSpec, WorkspaceConfig

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
PERSON = Person("5f0a", "ada-l")
SPEC = SourceSpec("paid", "https://crm.example.org/users/{user_id}?mail={email}", "bool", "/paid")
GOOD = {"get": "https://crm.example.org/u/{user_id}", "allow": "[crm.example.org]"}


def parse(**keys: str) -> tuple[WorkspaceConfig | None, list[str]]:
    lines = "".join(f"    {name}: {text}\n" for name, text in keys.items())
    parsed = parse_config(f"version: 1\nrepos: [acme/x]\nsources:\n  paid:\n{lines}")
    return parsed.config, [f"{problem.message} {problem.hint}" for problem in parsed.problems]


# ---- hf-gate.yaml ------------------------------------------------------------------------------------------------------


def test_a_source_has_defaults() -> None:
    config, problems = parse(**GOOD)
    assert (config is not None, problems) == (True, [])
    assert config is not None
    spec = config.sources["paid"]
    assert (spec.type, spec.cache, spec.timeout, spec.absent) == ("bool", timedelta(days=1), timedelta(seconds=5), None)
    assert (str(spec.rate), spec.is_private, spec.headers) == ("600/h", False, {})


def test_a_source_may_say_more() -> None:
    config, problems = parse(
        get="https://crm.example.org:8443/u/{email}?x={username}",
        allow="[crm.example.org]",
        value="/data/plan",
        type="string",
        absent="free",
        cache="12h",
        timeout="2s",
        rate="30/min",
        headers="{Authorization: env:CRM_TOKEN, X-Key: 'file:key.txt'}",
    )
    assert problems == []
    assert config is not None
    spec = config.sources["paid"]
    assert (spec.pointer, spec.type, spec.absent) == ("/data/plan", "string", "free")
    assert (spec.cache, spec.timeout, str(spec.rate)) == (timedelta(hours=12), timedelta(seconds=2), "30/min")
    assert spec.headers == {"Authorization": "env:CRM_TOKEN", "X-Key": "file:key.txt"}


def test_an_address_in_a_map_in_braces_is_quoted_alone() -> None:
    text = "sources:\n  paid: {get: https://crm.example.org/u/{user_id}?m={email}, allow: [crm.example.org]}\n"
    (problem,) = parse_config(f"version: 1\nrepos: [acme/x]\n{text}").problems
    assert problem.fix == "{get: 'https://crm.example.org/u/{user_id}?m={email}', allow: [crm.example.org]}"


@pytest.mark.parametrize(("keys", "words"), [
    ({"get": "http://crm.example.org/{user_id}"}, "it is not https"),
    ({"get": "http://127.0.0.1/{user_id}", "allow": "[127.0.0.1]"}, "it is not https"),
    ({"get": "http://10.0.0.1/{user_id}", "allow": "[10.0.0.1]", "private": "true"}, "it is not https"),
    ({"get": "https://evil.example.org/{user_id}"}, "its host evil.example.org is not among the hosts of `allow`"),
    ({"get": "https://{username}.example.org/x"}, "it is not an address"),
    ({"get": "https://crm.example.org@evil.com/{user_id}"}, "it is not an address"),
    ({"get": "https://u:p@crm.example.org/{user_id}"}, "it is not an address"),
    ({"get": "https://crm.example.org/{user_id}#x"}, "it is not an address"),
    ({"get": "https://crm.example.org"}, "it is not an address"),
    ({"get": "https://crm.example.org/all"}, "it asks about nobody"),
    ({"get": "https://crm.example.org/{user}"}, "there is no placeholder {user}"),
    ({"get": "ftp://crm.example.org/{user_id}"}, "it is not an address"),
    ({"allow": "[https://crm.example.org]"}, "is not the name of a host"),
    ({"allow": "['*.example.org']"}, "is not the name of a host"),
    ({"value": "paid"}, "is not a JSON pointer"),
    ({"type": "boolean"}, "Did you mean `bool`?"),
    ({"type": "list"}, "type must be bool, string, int or timestamp"),
    ({"absent": "no"}, "absent: it must be true or false"),
    ({"type": "int", "absent": "none"}, "absent: it must be a whole number"),
    ({"cache": "forever"}, "is not a length of time"),
    ({"cache": "91d"}, "is not a length of time up to 90d"),
    ({"timeout": "60s"}, "is not a length of time up to 30s"),
    ({"rate": "many"}, "is not a rate"),
    ({"headers": "{Authorization: Bearer abc}"}, "Authorization is a secret"),
    ({"headers": "{Host: env:X}"}, "not a header that a source may have"),
    ({"headers": "{'a b': env:X}"}, "not a header that a source may have"),
    ({"headers": "[env:X]"}, "not a header that a source may have"),
])  # fmt: skip
def test_a_source_that_cannot_be_asked_safely_is_refused(keys: dict[str, str], words: str) -> None:
    config, problems = parse(**(GOOD | keys))
    assert config is None
    assert any(words in problem for problem in problems), problems
    assert "Bearer abc" not in str(problems)


def test_a_source_on_this_machine_may_be_asked_by_http() -> None:
    config, problems = parse(get="http://127.0.0.1:8000/{user_id}", allow="[127.0.0.1]", private="true")
    assert (config is not None, problems) == (True, [])


def test_a_source_needs_an_address_and_its_hosts() -> None:
    for keys in ({"get": GOOD["get"]}, {"allow": GOOD["allow"]}):
        config, problems = parse(**keys)
        assert config is None
        assert "needs `get`, its address, and `allow`" in problems[0]


# ---- questions ---------------------------------------------------------------------------------------------------------


def ask(person: Person = PERSON, email: str | None = "ada@example.org", spec: SourceSpec = SPEC) -> Any:
    return find_source_fact(spec, person, email, None, NOW)


def test_values_are_encoded_into_the_address() -> None:
    fact = ask(email="a?b=c&d#e%+ü@example.org")
    assert fact.address == "https://crm.example.org/users/5f0a?mail=a%3Fb%3Dc%26d%23e%25%2B%C3%BC%40example.org"
    assert fact.why is UnknownReason.NOT_YET


@pytest.mark.parametrize("name", ["../admin", "a/../b?x=1", "..", ".", "a\\b", "a\nb", "a\x00b", "\udc80"])
def test_a_name_that_could_lead_elsewhere_is_never_asked_about(name: str) -> None:
    spec = SourceSpec("paid", "https://crm.example.org/users/{username}", "bool")
    fact = ask(Person("5f0a", name), spec=spec)
    assert (fact.address, fact.why, fact.note) == (
        "", UnknownReason.UNAVAILABLE, "the username cannot be written into an address",
    )  # fmt: skip


@given(st.text(max_size=30))
def test_no_name_changes_the_host_or_the_path(name: str) -> None:
    spec = SourceSpec("paid", "https://crm.example.org/users/{username}/paid", "bool")
    address = ask(Person("5f0a", name), spec=spec).address
    if address:
        assert address.startswith("https://crm.example.org/users/")
        assert address.count("/") == 5
        assert not set("?#\\ ").intersection(address)
        assert "/../" not in address


def test_a_hidden_person_is_not_asked_about() -> None:
    assert ask(email=None).note == "the email is not shown by the Hub"
    assert ask(Person(None, None)).note == "the user id is not shown by the Hub"


def test_an_answer_holds_for_its_question_until_it_expires() -> None:
    question = digest_question(SPEC, ask().address)
    at = int(NOW.timestamp() * 1000)
    known = Observation(question, "true", "", at, at + 1000)
    for seconds, value in ((0, True), (0.9, True), (1, None)):
        assert find_source_fact(SPEC, PERSON, "ada@example.org", known, NOW + timedelta(seconds=seconds)).value is value
    for other in ("https://crm.example.org/users/{user_id}?mail={email}&x", SPEC.get):
        spec = SourceSpec("paid", other, "bool", "/paid" if other != SPEC.get else "/other")
        assert find_source_fact(spec, PERSON, "ada@example.org", known, NOW).value is None
    assert find_source_fact(SPEC, PERSON, "bo@example.org", known, NOW).value is None


def test_an_answer_of_the_future_is_none_after_the_clock_was_set_back() -> None:
    at = int(NOW.timestamp() * 1000)
    for minutes, value in ((5, True), (6, None), (600_000, None)):
        ahead = at + minutes * 60_000
        known = Observation(digest_question(SPEC, ask().address), "true", "", ahead, ahead + 86_400_000)
        fact = find_source_fact(SPEC, PERSON, "ada@example.org", known, NOW)
        assert (fact.value, fact.why, bool(fact.address)) == (
            value,
            UnknownReason.UNAVAILABLE if value else UnknownReason.NOT_YET,
            not value,
        )


def test_a_stored_value_of_another_type_is_unknown() -> None:
    at = int(NOW.timestamp() * 1000)
    known = Observation(digest_question(SPEC, ask().address), '"yes"', "", at, at + 1000)
    fact = find_source_fact(SPEC, PERSON, "ada@example.org", known, NOW)
    assert (fact.value, fact.why) == (None, UnknownReason.UNAVAILABLE)


# ---- answers -----------------------------------------------------------------------------------------------------------

VALUES: tuple[tuple[str, Any, Any], ...] = (
    ("bool", True, True), ("bool", 1, None), ("bool", "true", None), ("bool", None, None), ("bool", [], None),
    ("int", 3, 3), ("int", -1, -1), ("int", True, None), ("int", 3.0, None), ("int", "3", None), ("int", 1 << 60, None),
    ("string", "gold", "gold"), ("string", "", ""), ("string", 3, None), ("string", "x" * 1001, None), ("string", "\ud800", None),
    ("timestamp", "2027-01-02T03:04:05Z", datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ("timestamp", "2027-01-02T03:04:05.123456+02:00", datetime(2027, 1, 2, 1, 4, 5, 123000, tzinfo=UTC)),
    ("timestamp", "2027-01-02T03:04:05", None), ("timestamp", "2027-01-02", None), ("timestamp", "2027-02-31T00:00:00Z", None),
    ("timestamp", "9999-12-31T23:59:59.999999Z", FAR_END), ("timestamp", "9999-12-31T23:59:59-12:00", FAR_END),
    ("timestamp", "0001-01-01T00:00:00Z", datetime(1, 1, 2, tzinfo=UTC)),
    ("timestamp", 1_800_000_000, None), ("timestamp", "0001-01-01T00:00:00+23:59", None), ("timestamp", "now", None),
)  # fmt: skip


@pytest.mark.parametrize(("kind", "written", "value"), VALUES)
def test_a_value_has_the_type_of_the_source_or_is_unknown(kind: str, written: Any, value: Any) -> None:
    spec = SourceSpec("paid", SPEC.get, kind, "/v")
    answer = read_answer(spec, 200, json.dumps({"v": written}).encode())
    assert answer.value == value
    assert type(answer.value) is type(value)
    assert bool(answer.problem) is (value is None)
    if value is not None:
        assert check_value(kind, json.loads(encode_value(value) or "")) == value


@pytest.mark.parametrize("zone", [timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))])
@pytest.mark.parametrize("text", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"])
def test_every_time_exists_in_every_time_zone(text: str, zone: timezone) -> None:
    found = check_value("timestamp", text)
    assert isinstance(found, datetime)
    assert last_day(found, zone).year in (1, 9999)


@pytest.mark.parametrize(("pointer", "value"), [
    ("/a", None), ("/a/0/b", True), ("/a/00/b", None), ("/a/-1/b", None), ("/a/9", None), ("/x~1y", True), ("/m~0n", True),
    ("/a/0/b/c", None), ("/", True), ("/gone", None),
])  # fmt: skip
def test_a_pointer_leads_to_one_value(pointer: str, value: bool | None) -> None:
    body = json.dumps({"a": [{"b": True}], "x/y": True, "m~n": True, "": True}).encode()
    assert read_answer(SourceSpec("paid", SPEC.get, "bool", pointer), 200, body).value is value


def test_a_document_may_be_the_value() -> None:
    assert read_answer(SourceSpec("paid", SPEC.get, "bool"), 200, b" true\n").value is True


@given(st.binary(max_size=300), st.integers(100, 599))
def test_no_answer_raises(body: bytes, status: int) -> None:
    answer = read_answer(SPEC, status, body)
    assert (answer.value is None) is bool(answer.problem)


# ---- rules -------------------------------------------------------------------------------------------------------------

TYPES = {"paid": "bool", "plan": "string", "seats": "int", "ends": "timestamp"}
CONFIG = WorkspaceConfig(
    repos=("acme/*",), sources={name: SourceSpec(name, SPEC.get, kind) for name, kind in TYPES.items()}
)


def check(when: str, more: str = "") -> CheckedPolicy:
    text = (
        "version: 1\npolicy: p\napplies_to: [acme/*]\nrules:\n"
        f"  - id: a\n    when: >-\n      {when}\n    then: accept\n{more}  - {{id: rest, then: human}}\n"
    )
    return check_policy(parse_policy(text, "p.yaml"), config=CONFIG)


def errors(when: str, more: str = "") -> list[str]:
    return [problem.message for problem in check(when, more).problems if problem.is_error]


def test_a_rule_may_use_a_source_by_its_type() -> None:
    for when in (
        "sources.paid",
        "sources.plan == 'gold'",
        "sources.seats > 3",
        "sources.ends > now",
        "'x' in [sources.plan]",
    ):
        assert errors(when) == []
    assert errors("sources.paid", "    until: sources.ends\n    keep_while: sources.paid\n") == []


def test_a_wrong_name_or_type_is_an_error_with_a_suggestion() -> None:
    assert "did you mean `sources.paid`?" in errors("sources.payed")[0]
    assert errors("sources.crm_x")[0].startswith("rule a: there is no source `crm_x`; name its address")
    assert errors("sources.paid == 'yes'")
    assert errors("sources.plan")
    assert "is not a date" in errors("sources.paid", "    until: sources.plan\n")[0]


def test_a_test_of_a_policy_states_an_answer_by_its_type() -> None:
    text = "    until: 1y\n  - {id: rest2, then: human}\ntests:\n  - {name: t, facts: {sources.paid: %s}, want: {then: accept}}\n"
    good, bad = (
        check_policy(
            parse_policy(
                "version: 1\npolicy: p\napplies_to: [acme/*]\nrules:\n  - id: a\n    when: sources.paid\n    then: accept\n"
                + text % value,
                "p.yaml",
            ),
            config=CONFIG,
        )
        for value in ("true", "maybe")
    )
    assert good.policy is not None
    assert "must be true or false" in next(one.message for one in bad.problems if one.is_error)


def test_the_least_that_accepts_is_named() -> None:
    found = check("sources.paid")
    assert found.policy is not None
    (requirement,) = accept_requirements(found.policy, found.conditions)
    assert str(requirement) == "an answer of a system that you ask (sources.paid)"
    negated = check("!sources.paid")
    assert negated.policy is not None
    assert accept_requirements(negated.policy, negated.conditions)[0].is_weak


def test_sentences_name_the_source() -> None:
    assert name_fact("sources.plan") == "answer of source plan"
    words = {
        "sources.paid": "source paid says yes",
        "!sources.paid": "source paid says no",
        'sources.plan == "gold"': "answer of source plan is “gold”",
        'sources.plan.startsWith("g")': "answer of source plan starts with “g”",
        "sources.seats >= 3": "answer of source seats is at least 3",
        "sources.seats < 3": "answer of source seats is less than 3",
        'sources.ends > timestamp("2027-01-01T00:00:00Z")': "answer of source ends is after 2027-01-01",
        'sources.plan in ["a", "b"]': "answer of source plan is “a” or “b”",
        "size(sources.plan) > 3": "answer of source plan of more than 3 characters",
    }
    assert {expr: describe_expression(expr) for expr in words} == words


def test_a_sentence_shows_what_the_source_said() -> None:
    moment = datetime(2027, 1, 1, tzinfo=UTC)
    assert describe_test("sources.paid", {"sources.paid": False}, holds=False) == "source paid says no"
    assert describe_test("sources.seats > 3", {"sources.seats": 2}, holds=False) == "answer of source seats is 2"
    text = describe_test('sources.plan == "a"', {"sources.plan": "zz-customer 7"}, holds=False)
    assert text == "answer of source plan is not “a”"
    found = describe_test('sources.ends > timestamp("2028-01-01T00:00:00Z")', {"sources.ends": moment}, holds=False)
    assert found == "answer of source ends is on 2027-01-01"


def test_the_digest_of_a_question_covers_how_its_answer_is_read() -> None:
    specs = [
        SPEC,
        SourceSpec("paid", SPEC.get, "bool", "/paid", absent=False),
        SourceSpec("paid", SPEC.get, "string", "/paid"),
        SourceSpec("paid", SPEC.get, "bool", "/x"),
        SourceSpec("paid", SPEC.get, "bool", "/paid", cache=timedelta(days=2)),
    ]
    assert len({digest_question(spec, "https://x") for spec in specs}) == len(specs)
