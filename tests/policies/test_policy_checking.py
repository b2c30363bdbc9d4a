"""Problems in valid policies: names, constants, labels, dead rules and weak accepts."""

from __future__ import annotations

from datetime import date

import pytest

from hf_gate.core.policy_model import PolicyProblem, Trust
from hf_gate.policies.checks.accept_requirements import accept_requirements
from hf_gate.policies.checks.policy_checker import CheckedPolicy, check_policy, check_unique_names
from hf_gate.policies.parsing.policy_parser import parse_policy
from hf_gate.verdicts.policy_tests import run_policy_tests
from tests.kits.policies import CONFIG, FORMS, check, write_policy


def when(condition: str, then: str = "human") -> CheckedPolicy:
    """A rule with one condition, then the rest."""
    reason = "\n  reason: Please." if then in ("reset", "reject") else ""
    quoted = condition.replace("'", "''")
    return check(write_policy(f"- id: r\n  when: '{quoted}'\n  then: {then}{reason}\n- id: rest\n  then: human"))


def codes(found: CheckedPolicy) -> list[str]:
    return [problem.code for problem in found.problems]


def first(found: CheckedPolicy, code: str) -> PolicyProblem:
    return next(problem for problem in found.problems if problem.code == code)


# ---- expressions -----------------------------------------------------------------------------------------------------


def test_a_mistake_in_an_expression_points_to_its_letters_in_the_file() -> None:
    text = write_policy("- id: r\n  when: email.free && emial.academic\n  then: human")
    problem = check(text).problems[0]
    line = text.split("\n")[problem.position.line - 1]
    assert line[problem.position.column - 1 :][: problem.length] == "emial.academic"
    assert problem.fix == "email.academic"


def test_a_mistake_in_a_let_is_reported_once() -> None:
    text = write_policy(
        "- id: r\n  when: ours\n  then: human\n- id: s\n  when: ours\n  then: human", "let: {ours: emial.free}\n"
    )
    assert codes(check(text)) == ["unknown_fact"]


def test_a_let_may_use_only_those_above_it() -> None:
    text = write_policy("- id: r\n  when: a\n  then: human", "let:\n  a: b && email.free\n  b: email.academic\n")
    assert "further down" in check(text).problems[0].message


def test_has_asks_only_forms_so_that_no_rule_opens_because_something_is_unknown() -> None:
    assert codes(when("has(email.free)")) == ["has"]


# ---- constants -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "code", "fix"),
    [
        ('answers.purpose.quality == "bad"', "unknown_value", '"thin"'),
        ('answers.purpose.quality in ["thin", "Junk"]', "unknown_value", '"junk"'),
        ('tables.dua.state != "signed"', "unknown_value", '"valid"'),
        ('request.status == "approved"', "unknown_value", '"accepted"'),
        ('answers.country.code == "de"', "country_code", '"DE"'),
        ('answers.country.code == "UK"', "country_code", '"GB"'),
        ('email.domain == "MIT.edu"', "capitals", '"mit.edu"'),
        ('email.domain == "@mit.edu"', "domain_at", '"mit.edu"'),
        ('email.address.endsWith("mit.edu")', "suffix_without_dot", 'email.address.endsWith("@mit.edu")'),
        ('email.domain.endsWith("edu")', "suffix_without_dot", 'email.domain.endsWith(".edu")'),
        ('request.repo == "models/acme/model"', "unknown_repo", '"acme/model"'),
        ('form["intended use"] == "x"', "unknown_label", '"Intended use"'),
    ],
)
def test_a_constant_that_a_fact_never_has_is_reported_with_a_suggestion(condition: str, code: str, fix: str) -> None:
    found = first(when(condition), code)
    assert found.fix is not None
    assert fix in found.fix.replace("''", "'")


@pytest.mark.parametrize(
    "condition",
    [
        'answers.purpose.quality in ["thin", "junk"]',
        'email.domain.endsWith(".edu")',
        'email.address.endsWith("@mit.edu")',
        'answers.country.code in ["DE", "CH"]',
        'request.repo == "acme/model"',
        'form["Intended use"] != ""',
        "person.account_days > 30 && person.account_days < 90",
        'answers.purpose.quality != "thin" && answers.purpose.quality != "junk"',
        'answers.country.code == "DE" || answers.country.code == "CH"',
    ],
)
def test_a_sound_condition_has_no_problem(condition: str) -> None:
    assert when(condition).problems == ()


# ---- forms -----------------------------------------------------------------------------------------------------------


def test_a_label_of_only_some_forms_is_reported_unless_guarded() -> None:
    both = "acme/model, datasets/acme/eeg"
    rule = "- id: r\n  when: {}\n  then: human\n- id: rest\n  then: human"
    bare = check(write_policy(rule.format("form[\"Intended use\"] != ''"), repos=both))
    guarded = check(write_policy(rule.format("""'"Intended use" in form && form["Intended use"] != ""'"""), repos=both))
    assert codes(bare) == ["label_not_everywhere"]
    assert "datasets/acme/eeg" in bare.problems[0].message
    assert guarded.problems == ()


def test_a_rule_about_an_answer_that_a_form_lacks_is_reported_with_the_repo() -> None:
    text = write_policy(
        "- id: r\n  when: answers.purpose.quality == 'missing'\n  then: human", repos="datasets/acme/eeg"
    )
    assert "datasets/acme/eeg" in first(check(text), "no_such_answer").message


def test_a_role_whose_label_no_form_has_is_refused_with_the_nearest() -> None:
    text = write_policy("- id: rest\n  then: human", "roles: {affiliation: affiliation}\n")
    found = first(check(text), "unknown_label")
    assert (found.is_error, found.fix) == (True, "Affiliation")


# ---- names -----------------------------------------------------------------------------------------------------------


def test_a_policy_for_unknown_repos_is_reported_with_the_known_ones() -> None:
    found = first(check(write_policy("- id: rest\n  then: human", repos="acme/eeg")), "no_such_repo")
    assert found.fix == "datasets/acme/eeg"


def test_a_table_that_the_desk_has_already_cannot_be_another_one_in_a_policy() -> None:
    text = write_policy("- id: r\n  when: tables.partners\n  then: human", 'tables: {partners: ["@a.org"]}\n')
    assert "table_twice" in codes(check(text))


def test_a_template_that_the_desk_does_not_have_is_refused_with_the_nearest() -> None:
    text = write_policy("- id: r\n  when: email.free\n  then: reset\n  reason_template: say-mor")
    assert first(check(text), "unknown_template").fix == "say-more"


def test_two_policies_with_one_name_are_reported() -> None:
    one = check(write_policy("- id: rest\n  then: human"))
    other = check(write_policy("- id: all\n  then: human"))
    assert [problem.code for problem in check_unique_names([one, other])] == ["policy_twice"]
    assert check_unique_names([one]) == ()


# ---- dead rules and rejects ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "condition",
    [
        "false",
        "email.free && !email.free",
        "person.account_days > 30 && person.account_days < 10",
        'answers.purpose.quality == "thin" && answers.purpose.quality == "junk"',
        'tables.dua.state == "valid" && tables.dua.state != "valid"',
        'answers.country.code in ["DE"] && answers.country.code == "CH"',
        "person.models < 0",
    ],
)
def test_a_condition_that_can_never_hold_makes_a_dead_rule(condition: str) -> None:
    assert "dead_rule" in codes(when(condition))


@pytest.mark.parametrize(
    "condition",
    [
        'answers.purpose.quality != "thin" || answers.purpose.quality != "junk"',
        "email.free || !email.free",
        "person.models >= 0",
    ],
)
def test_a_condition_that_is_always_true_is_reported(condition: str) -> None:
    assert "always_true" in codes(when(condition))


def test_a_rule_that_asks_what_a_rule_above_has_taken_is_dead() -> None:
    text = write_policy(
        "- id: a\n  when: email.free || email.disposable\n  then: human\n"
        "- id: b\n  when: 'email.disposable // again'\n  then: human"
    )
    assert "dead_rule" in codes(check(text))


def test_rules_below_a_catch_all_are_reported() -> None:
    text = write_policy("- id: rest\n  then: human\n- id: a\n  when: email.free\n  then: human", "")
    found = first(check(text), "dead_rule")
    assert (found.position.line, found.hint) == (5, "Move rest to the end, or add a `when`.")


def test_a_reject_on_what_people_say_asks_whether_a_reset_was_meant() -> None:
    assert first(when('answers.purpose.quality == "junk"', "reject"), "reject_on_claims").fix == "reset"
    assert "reject_on_claims" not in codes(when("tables.partners", "reject"))


def test_a_rule_that_uses_the_time_is_reported_because_every_turn_evaluates_it() -> None:
    assert "uses_now" in codes(when('now > timestamp("2026-03-01T00:00:00Z")', "human"))
    late = 'let: {late: now > timestamp("2026-03-01T00:00:00Z")}\n'
    assert "uses_now" in codes(check(write_policy("- id: a\n  unless: late\n  then: human", late)))
    assert "uses_now" not in codes(when("request.age_days > 3", "human"))
    assert "uses_now" not in codes(when('email.free && now > timestamp("2026-03-01T00:00:00Z")', "human"))


def test_unused_names_are_reported() -> None:
    text = write_policy("- id: rest\n  then: human", 'let: {ours: email.free}\ntables: {mine: ["@a.org"]}\n')
    assert codes(check(text)).count("unused") == 2


# ---- the least that an applicant must control ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "trust"),
    [
        ('answers.purpose.quality == "good"', Trust.CLAIMED),
        ("email.academic", Trust.ACCOUNT),
        ('email.academic && answers.purpose.quality == "good"', Trust.ACCOUNT),
        ('email.academic || answers.purpose.quality == "good"', Trust.CLAIMED),
        ('person.verified_orgs.exists(o, o == "Acme")', Trust.VERIFIED),
        ("tables.partners", Trust.YOURS),
        ("email.academic || tables.partners", Trust.ACCOUNT),
        ('tables.dua.state == "valid" && email.free', Trust.YOURS),
        ("!tables.partners", None),
        ("history.rejected == 0", None),
        ('!(answers.purpose.quality == "junk" || tables.partners)', Trust.CLAIMED),
        ("email.academic ? person.account_days > 7 : tables.partners", Trust.ACCOUNT),
    ],
)
def test_an_accept_rule_says_what_it_requires_at_least(condition: str, trust: Trust | None) -> None:
    found = when(condition, "accept")
    assert found.policy is not None
    assert [each.trust for each in accept_requirements(found.policy, found.conditions)] == [trust]


def test_each_accept_rule_is_rated_by_its_own_condition() -> None:
    spammers = "- id: spam\n  when: email.free\n  then: human\n"
    accept = "- id: uni\n  when: answers.affiliation.text.contains('University')\n  then: accept\n"
    found = check(write_policy(f"{spammers}{accept}- id: rest\n  then: human"))
    assert found.policy is not None
    (way,) = accept_requirements(found.policy, found.conditions)
    assert way.trust is Trust.CLAIMED
    assert str(way) == (
        'the requester\'s own claims: anyone who writes "University" is accepted (answers.affiliation.text);'
        " the rules above also require account data from the Hub (email.free)"
    )
    assert codes(found) == ["accepts_on_claims"]


def test_no_throw_away_mailbox_is_nothing_to_show() -> None:
    assert "accepts_everybody" in codes(when("!email.disposable && email.present", "accept"))


# ---- tests beside the rules ------------------------------------------------------------------------------------------

TESTED = write_policy(
    "- id: ours\n  when: email.academic && tables.dua.state == 'valid'\n  then: accept\n- id: rest\n  then: human"
)


def _run(tests: str) -> list[tuple[bool, str]]:
    found = check(TESTED + f"tests:\n{tests}")
    assert found.policy is not None, found.problems
    return [(result.has_passed, result.message) for result in run_policy_tests(found)]


def test_a_test_passes_if_verdict_and_rule_are_as_expected() -> None:
    facts = "facts: {email.academic: true, tables.dua.state: valid}"
    assert _run(f"  - {{name: a, {facts}, want: {{then: accept, rule: ours}}}}\n") == [(True, "")]
    assert _run(f"  - {{name: a, {facts}, want: {{rule: rest}}}}\n") == [(False, "expected rest, got accept by ours")]


def test_a_fact_that_a_test_does_not_state_is_unknown_and_named_in_a_failure() -> None:
    [(passed, message)] = _run("  - {name: a, facts: {email.academic: true}, want: {then: accept}}\n")
    assert not passed
    assert message.endswith("the test does not state tables.dua.state")


@pytest.mark.parametrize(
    ("facts", "want", "fix"),
    [
        ("emial.academic: true", "then: accept", "email.academic"),
        ("email.academic: yes", "then: accept", "true"),
        ("tables.dua.state: signed", "then: accept", "valid"),
        ("person.account_days: 30 days", "then: accept", "30"),
        ("email.academic: true", "rule: our", "ours"),
    ],
)
def test_a_test_about_what_is_not_there_is_refused_with_what_was_meant(facts: str, want: str, fix: str) -> None:
    found = check(TESTED + f"tests:\n  - {{name: a, facts: {{{facts}}}, want: {{{want}}}}}\n")
    assert found.policy is None
    assert found.problems[0].fix == fix


# ---- ends of access --------------------------------------------------------------------------------------------------

TABLE = ""
TODAY = date(2026, 11, 27)


def accept_until(keys: str) -> CheckedPolicy:
    rule = f"- id: r\n  when: tables.dua\n  then: accept\n  {keys}\n- id: rest\n  then: human"
    return check_policy(parse_policy(write_policy(rule, TABLE), "p.yaml"), config=CONFIG, forms=FORMS, today=TODAY)


@pytest.mark.parametrize(
    ("keys", "code", "words"),
    [
        ("until: 2026-11-26", "past_end", "`until` is in the past (2026-11-26)"),
        ("until: tables.dua.state", "bad_until", "is not a date"),
        ("until: tables.dua", "bad_until", "is not a date"),
        ("until: tables.dva.expires", "bad_until", "there is no fact `tables.dva.expires`"),
        ("until: person.created_at", "bad_until", "is never in the future"),
        ("until: now", "bad_until", "is never in the future"),
        ("until: 30d\n  notice: [60d]", "early_notice", "a notice 60d before the end"),
        ("until: 2026-12-10\n  notice: [1mo]", "early_notice", "a notice 1mo before the end"),
        ("keep_while: person.followers > 3", "profile_in_keep_while", "profiles are not read again"),
        ("keep_while: tables.dua.state", "type", ""),
        ("until: 1y\n  grace: 7d", "no_effect", "`grace` goes with `keep_while`"),
        ("notice: [7d]", "no_until", "`notice` needs `until` or `keep_while`"),
        ("until: 1y\n  notice: [1d, 2d, 3d, 4d, 5d, 6d]", "too_many_notices", "at most 5"),
        ("until: 1y\n  notice: 7d", "not_a_list", "notice must be a list"),
    ],
)
def test_an_end_that_cannot_work_is_refused(keys: str, code: str, words: str) -> None:
    found = [problem for problem in accept_until(keys).problems if problem.is_error]
    assert code in {problem.code for problem in found}, found
    assert any(words in problem.message for problem in found), found


def test_a_past_date_is_no_error_in_a_policy_that_is_in_use() -> None:
    rule = "- id: r\n  when: tables.dua\n  then: accept\n  until: 2020-01-01\n- id: rest\n  then: human"
    assert check_policy(parse_policy(write_policy(rule, TABLE), "p.yaml"), config=CONFIG).policy is not None


def test_a_wrong_table_name_in_until_gets_the_right_one() -> None:
    (found,) = [problem for problem in accept_until("until: tables.dua").problems if problem.is_error]
    assert found.fix == "tables.dua.expires"
