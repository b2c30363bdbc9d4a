"""What policy files and hf-gate.yaml may contain, and the position of each problem."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_gate.base.ids import parse_repo
from hf_gate.base.yaml_parser import Scalar
from hf_gate.core.parsing.literals import Rate
from hf_gate.core.parsing.strict_yaml import ScalarSource, apply_fix, plain_or_quoted, quote_scalar, read_yaml
from hf_gate.core.people.grants import Duration
from hf_gate.core.policy_model import Action, PolicyMode, PolicyProblem
from hf_gate.policies.checks.reasons import fill_reason
from hf_gate.policies.parsing.config_parser import parse_config
from hf_gate.policies.parsing.policy_parser import ParsedPolicy, parse_policy
from hf_gate.settings.workspace_config import RunGuards

WHOLE = """\
version: 1
policy: eeg
applies_to: [datasets/acme/eeg-*, "dataset:acme/night"]
mode: enforce                      # counts
judges: [pending, accepted]
tables:
  dua: {file: tables/dua.csv, key: [user_id, email]}
  mit: ["@mit.edu", "@*.MIT.edu", ada-l]
roles: {affiliation: Institution   (Lab)}
let: {institutional: "email.academic || tables.mit"}
rules:
  - id: say-more
    when: answers.purpose.quality in ["empty", "junk"]
    then: reset
    reason: Please say more.
  - id: missing
    when: tables.dua.state != "valid"
    then: wait
    at_most: 30d
    after: reset
    reason: Please send us the agreement for {repo}.
  - id: signed
    when: institutional
    unless: person.account_days < 30
    then: accept
    until: 2027-06-30
    end_reason: The year is over.
    says: Institutes get access until June 2027.
  - id: rest
    then: human
    reviewers: 2
tests:
  - name: nobody
    facts: {answers.purpose.quality: empty, person.orgs: [a, b], form: {Label: x}}
    want: {then: reset, rule: say-more}
"""


def problems(text: str) -> tuple[PolicyProblem, ...]:
    return parse_policy(text).problems


def one(old: str, new: str) -> PolicyProblem:
    """The first problem after one change of the whole policy."""
    assert old in WHOLE
    parsed = parse_policy(WHOLE.replace(old, new))
    assert parsed.policy is None, f"{new!r} was taken"
    return parsed.problems[0]


def read(text: str) -> ParsedPolicy:
    parsed = parse_policy(text)
    assert parsed.problems == ()
    return parsed


def test_everything_that_a_policy_may_say_is_read() -> None:
    policy = read(WHOLE).policy
    assert policy is not None
    assert policy.applies_to == ("datasets/acme/eeg-*", "datasets/acme/night")
    assert (policy.mode, policy.judges) == (PolicyMode.ENFORCE, ("pending", "accepted"))
    assert [(table.name, table.key, table.file, table.rows) for table in policy.tables] == [
        ("dua", ("user_id", "email"), "tables/dua.csv", ()),
        ("mit", ("username", "email"), None, ("@mit.edu", "@*.mit.edu", "ada-l")),
    ]
    assert policy.roles == {"affiliation": "Institution (Lab)"}
    assert policy.let == {"institutional": "email.academic || tables.mit"}
    say_more, missing, signed, rest = policy.rules
    assert say_more.reason == "Please say more."
    assert (missing.at_most, missing.after) == (Duration(days=30), Action.RESET)
    assert (signed.until, signed.at_end, signed.unless) == (
        date(2027, 6, 30),
        Action.RESET,
        "person.account_days < 30",
    )
    assert signed.says == "Institutes get access until June 2027."
    assert rest.reviewers == 2
    assert policy.tests[0].facts == {
        "answers.purpose.quality": "empty",
        "person.orgs": ("a", "b"),
        "form": {"Label": "x"},
    }


UNKNOWN = (
    ("    until: 2027-06-30\n", "    until: 1y\n    audit: 1%\n", "audit"),
    ("{file: tables/dua.csv, key: [user_id, email]}", "{register: dua, key: email}", "register"),
    ("{file: tables/dua.csv, key: [user_id, email]}", "{file: a.csv, key: email, match: {on: [fullname]}}", "match"),
)


@pytest.mark.parametrize(("old", "new", "word"), UNKNOWN)
def test_unknown_keys_are_refused_and_never_ignored(old: str, new: str, word: str) -> None:
    problem = one(old, new)
    assert problem.code == "unknown_key"
    assert f"`{word}`" in problem.message


REFUSED = (
    ("version: 1\n", "version: 2\n", "bad_version"),
    ("version: 1\n", "", "no_version"),
    ("policy: eeg", "policy: EEG study", "bad_id"),
    ("mode: enforce", "mode: live", "bad_value"),
    ("judges: [pending, accepted]", "judges: [rejected]", "bad_judges"),
    ("judges: [pending, accepted]", "judges: pending", "not_a_list"),
    ('"@mit.edu"', "mit.edu", "bad_row"),
    ('"@mit.edu"', '"@*mit.edu"', "bad_row"),
    ("tables/dua.csv, key: [user_id, email]", "tables/dua.csv", "no_key"),
    ("tables/dua.csv", "tables/dua.xlsx", "bad_file"),
    ("tables/dua.csv", '"tables/dua\\0.csv"', "bad_file"),
    ("key: [user_id, email]", "key: [user_id, mail]", "bad_value"),
    ("  dua: {", "  Dua: {", "bad_name"),
    ("roles: {affiliation:", "roles: {institution:", "unknown_key"),
    ("let: {institutional:", "let: {email:", "taken_name"),
    ("let: {institutional:", "let: {size:", "taken_name"),
    ("id: missing", "id: say-more", "rule_twice"),
    ("id: missing", "id: none", "taken_name"),
    ("- id: missing\n    when", "- when", "no_id"),
    ("then: reset\n", "then: cancel\n", "bad_value"),
    ("    reason: Please say more.\n", "", "no_reason"),
    ("Please say more.", "Dear {username}", "bad_placeholder"),
    ("reason: Please say more.", "reason: {en: Please say more.}", "not_text"),
    ("Please say more.", "x" * 201, "reason_too_long"),
    ("Please say more.", "\N{PARTY POPPER}" * 101, "reason_too_long"),
    ("    at_most: 30d\n", "", "wait_incomplete"),
    ("    after: reset\n", "", "wait_incomplete"),
    ("after: reset", "after: accept", "bad_value"),
    ("after: reset", "after: cancel", "cancel_no_end"),
    ("at_most: 30d", "at_most: 0d", "bad_span"),
    ("until: 2027-06-30", "until: 2027-02-30", "bad_until"),
    ("    until: 2027-06-30\n", "    at_end: reject\n", "no_until"),
    ("    until: 2027-06-30\n", "    until: 1y\n    at_most: 3d\n", "no_effect"),
    ("    reviewers: 2\n", "    reviewers: 2\n    until: 1y\n", "no_effect"),
    ("reviewers: 2", "reviewers: 3", "bad_number"),
    ("says: Institutes get access until June 2027.", "says: ''", "empty"),
    ("Institutes get access until June 2027.", "x" * 121, "says_too_long"),
    ("says: Institutes get access until June 2027.", "says: |\n      two\n      lines", "bad_says"),
    ("Institutes get access until June 2027.", '"a\\u202eb"', "bad_says"),
    ("Institutes get access until June 2027.", '"a\\x1b[31mb"', "bad_says"),
    ("Institutes get access until June 2027.", "[a, b]", "not_text"),
    ("says: Institutes", "explains: Institutes", "unknown_key"),
    ("when: institutional", "when:", "empty"),
    ("when: institutional", "when: ~", "empty"),
    ("want: {then: reset, rule: say-more}", "want: reset", "not_a_map"),
    ("    want: {then: reset, rule: say-more}\n", "", "test_incomplete"),
    ("rules:\n", "rules:\n  - just a text\n", "not_a_map"),
    ("    at_most: 30d\n", "    at_most: 30d\n    at_most: 3w\n", "duplicate_key"),
    ("    at_most: 30d\n", "    at_most: &x 30d\n", "yaml_anchor"),
    ("    at_most: 30d\n", "    at_most: !!str 30d\n", "yaml_tag"),
    ("    at_most: 30d\n", "    at_most: *x\n", "yaml_alias"),
    ("[datasets/acme/eeg-*,", "[spaces/acme/eeg-*,", "bad_glob"),
    ("[datasets/acme/eeg-*,", "[acme,", "bad_glob"),
)


@pytest.mark.parametrize(("old", "new", "code"), REFUSED)
def test_a_problem_has_the_line_of_its_cause(old: str, new: str, code: str) -> None:
    problem = one(old, new)
    assert problem.code == code
    lines = WHOLE.replace(old, new).split("\n")
    assert 1 <= problem.position.line <= len(lines)
    assert "\n" not in problem.message


def test_all_problems_are_reported_at_once_in_file_order() -> None:
    text = WHOLE.replace("mode: enforce", "mode: live").replace("reviewers: 2", "reviewers: 9")
    assert [problem.code for problem in problems(text)] == ["bad_value", "bad_number"]


def test_a_fix_takes_the_place_of_the_marked_letters_and_of_no_others() -> None:
    text = WHOLE.replace("at_most: 30d", "at_most: 30 days")
    mended = apply_fix(text, problems(text)[0])
    assert mended == WHOLE


def test_the_words_of_a_fix_are_said_once() -> None:
    (problem,) = read_yaml("nonsense: [\n", "f").problems
    assert (problem.message, problem.hint) == ('YAML cannot parse this line. Write `nonsense: "["`.', "")


def test_quotes_are_offered_only_where_they_take_the_trouble_away() -> None:
    text = "version: 1\npolicy: p\napplies_to: [a/b]\nrules:\n  - id: r\n   then: human\n"
    problem = problems(text)[0]
    assert (problem.code, problem.fix) == ("yaml_indent", None)


def test_a_missing_key_is_pasted_into_a_rule_on_one_line_too() -> None:
    text = "version: 1\npolicy: p\napplies_to: [a/b]\nrules:\n- {id: r, then: wait}\n"
    mended = apply_fix(text, problems(text)[0])
    assert mended is not None
    assert "{id: r, then: wait, at_most: 14d, after: human}" in mended
    read(mended)


# ---- places and quotes -----------------------------------------------------------------------------------------------

_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=30)


@given(_TEXT)
def test_a_text_put_in_quotes_reads_back_as_the_same(text: str) -> None:
    for written in (quote_scalar(text), plain_or_quoted(text)):
        root = read_yaml(f"k: {written}\n", "f").root
        assert root is not None
        value = root.pairs[0][1]  # type: ignore[union-attr]
        assert isinstance(value, Scalar)
        assert value.text == text


SPELLINGS = (
    "k: email.free && x\n",
    "k: 'it''s email.free'\n",
    'k: "say \\"hi\\" email.free"\n',
    'k: "\\u00e4 email.free"\n',
    "k: email.academic\n  && email.free\n",
    "k: >-\n  email.academic ||\n  email.free\n",
    "k: |\n    email.academic ||\n      email.free\n",
    'k: "email.academic \\\n  || email.free"\n',
    "k: 'a\n\n  email.free'\n",
)


@pytest.mark.parametrize("text", SPELLINGS)
def test_each_letter_of_a_scalar_is_found_in_the_file_however_it_is_written(text: str) -> None:
    read_text = read_yaml(text, "f")
    assert read_text.root is not None
    node = read_text.root.pairs[0][1]  # type: ignore[union-attr]
    assert isinstance(node, Scalar)
    spelling = ScalarSource(read_text.source, node)
    start = spelling.index(node.text.index("email.free"))
    assert text[start : start + len("email.free")] == "email.free"


@pytest.mark.parametrize("text", SPELLINGS)
def test_a_piece_mended_in_place_leaves_the_rest_as_it_was(text: str) -> None:
    read_text = read_yaml(text, "f")
    node = read_text.root.pairs[0][1]  # type: ignore[union-attr]
    assert isinstance(node, Scalar)
    offset = node.text.index("email.free")
    problem = ScalarSource(read_text.source, node).problem("c", "m", offset, 10, fix="\"quo\" 'ted'")
    mended = apply_fix(text, problem)
    assert mended is not None
    again = read_yaml(mended, "f").root.pairs[0][1]  # type: ignore[union-attr]
    assert isinstance(again, Scalar)
    assert again.text.rstrip("\n") == node.text.replace("email.free", "\"quo\" 'ted'").rstrip("\n")


# ---- the digest ------------------------------------------------------------------------------------------------------

OTHER = (
    ("mode: enforce", "mode: shadow"),
    ("until: 2027-06-30", "until: 2027-07-01"),
    ('"empty", "junk"', '"empty",  "junk", "thin"'),
    ('"empty", "junk"', '"empty", "jun k"'),
    ("reviewers: 2", "reviewers: 1"),
    ("Please say more.", "Please say  more."),
    ("@mit.edu", "@mit.org"),
    ("at_most: 30d", "at_most: 1mo"),
    ("policy: eeg", "policy: eeg-2"),
    ("judges: [pending, accepted]", "judges: [pending]"),
    ("key: [user_id, email]", "key: [email]"),
    ("Institution   (Lab)", "Institution"),
)


@pytest.mark.parametrize(("old", "new"), OTHER)
def test_whatever_changes_a_verdict_or_its_terms_changes_the_digest(old: str, new: str) -> None:
    assert old in WHOLE
    before, after = read(WHOLE).policy, read(WHOLE.replace(old, new)).policy
    assert before is not None
    assert after is not None
    assert after.digest != before.digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (r'email.free && r"\" != "//"', r'email.free && r"\" != "//" || true'),
        (r'form.Lab == R"\" + "a  b"', r'form.Lab == R"\" + "a b"'),
    ],
)
def test_a_backslash_at_the_end_of_a_raw_text_hides_no_change_from_the_digest(old: str, new: str) -> None:
    before, after = (
        read(WHOLE.replace('"email.academic || tables.mit"', f"'{source}'")).policy for source in (old, new)
    )
    assert before is not None
    assert after is not None
    assert after.let != before.let
    assert after.digest != before.digest


# ---- reasons ---------------------------------------------------------------------------------------------------------


def test_a_reason_is_filled_with_repo_person_and_rule_and_with_nothing_else() -> None:
    assert fill_reason("{user}: {repo} ({rule}) {x} {}", repo="a/b", user="ada", rule="r") == "ada: a/b (r) {x} {}"


@given(st.text(max_size=300), st.text(max_size=120))
def test_a_filled_reason_never_passes_what_the_hub_takes(text: str, user: str) -> None:
    filled = fill_reason(text + "{user}", repo="a/b", user=user, rule="r")
    assert len(filled.encode("utf-16-le", "surrogatepass")) // 2 <= 200


# ---- hf-gate.yaml ----------------------------------------------------------------------------------------------------

DESK = """\
version: 1
store: sqlite:///desk.db
repos: [datasets/acme/eeg-*, acme/med-7b]
policies: [policies/*.yaml]
tables: {partners: {file: tables/partners.csv, key: email}}
timezone: Europe/Zurich
guards: {accept: 20000/h, reset: 200/h, reject: 50/h, remove: 25/day, protected: [eval-robot]}
templates: {say-more: "Please say more about {repo}."}
"""


def test_a_desk_file_is_read_and_what_it_leaves_out_has_its_default() -> None:
    desk = parse_config(DESK, list_zones=lambda: {"Europe/Zurich"}).config
    least = parse_config("version: 1\nrepos: [acme/x]\n").config
    assert desk is not None
    assert least is not None
    assert desk.guards == RunGuards(protected=("eval-robot",))
    assert desk.templates == {"say-more": "Please say more about {repo}."}
    assert desk.includes(parse_repo("datasets/acme/eeg-1"))
    assert not desk.includes(parse_repo("acme/eeg-1"))
    assert (least.store, least.policies, least.timezone) == ("sqlite:///desk.db", ("policies/*.yaml",), "UTC")
    assert least.guards.remove == Rate(25, int(timedelta(days=1).total_seconds()))


@pytest.mark.parametrize(
    ("old", "new", "code", "fix"),
    [
        ("sqlite:///desk.db", "desk.db", "bad_store", "sqlite:///desk.db"),
        ("sqlite:///desk.db", "postgres://h/db", "bad_store", "postgresql://h/db"),
        ("sqlite:///desk.db", "hf://datasets/a/b", "later", None),
        ("Europe/Zurich", "Zurich", "bad_timezone", "Europe/Zurich"),
        ("25/day", "25 per day", "bad_rate", "25/day"),
        ("guards: {accept:", "guards: {accepts:", "unknown_key", "accept"),
        ("[eval-robot]", '["@eval-robot"]', "bad_username", '"eval-robot"'),
        ("store:", "database:", "unknown_key", "store"),
        ("repos: [datasets/acme/eeg-*, acme/med-7b]\n", "", "no_repos", None),
        ("{repo}", "{repository}", "bad_placeholder", "{repo}"),
        ("policies: [policies/*.yaml]", "policies: policies/*.yaml", "not_a_list", "[policies/*.yaml]"),
    ],
)
def test_what_is_wrong_in_a_desk_file_is_refused_with_what_was_meant(
    old: str, new: str, code: str, fix: str | None
) -> None:
    parsed = parse_config(DESK.replace(old, new), list_zones=lambda: {"Europe/Zurich"})
    assert parsed.config is None
    problem = parsed.problems[0]
    assert (problem.code, problem.fix) == (code, fix)


@pytest.mark.parametrize(
    ("desk", "may", "codes"),
    [
        ("{may_write_tables: true}", True, []),
        ("{may_write_tables: false}", False, []),
        ("{}", False, []),
        ("{may_write_tables: yes}", None, ["bad_flag"]),
        ("{may_write_everything: true}", None, ["unknown_key"]),
        ("true", None, ["not_a_map"]),
    ],
)
def test_only_true_lets_the_desk_write_tables(desk: str, may: bool | None, codes: list[str]) -> None:
    parsed = parse_config(f"version: 1\nrepos: [a/b]\ndesk: {desk}\n")
    assert [each.code for each in parsed.problems] == codes
    assert (None if parsed.config is None else parsed.config.may_write_tables) is may
