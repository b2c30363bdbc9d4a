"""Cards and the text of a policy say the same: an edit changes only its piece, and its inverse restores every byte."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from hf_gate.base.display_text import make_visible
from hf_gate.policies.parsing.card_changes import CardChanges, ChangedText, apply_changes
from hf_gate.policies.parsing.card_text import CardError, TextEdit, add_rule, move_rule, remove_rule
from hf_gate.policies.parsing.cards import A_DATE, NEW_CONDITIONS, PolicyCards, change_value, new_rule, read_cards
from hf_gate.policies.parsing.policy_parser import parse_policy
from tests.kits.paths import ROOT

_WORDS = st.text(st.sampled_from("aZ0 äß漢😀'\"\\:#-{}[]&*!%@,"), min_size=1, max_size=12).filter(
    lambda text: bool(text.strip())
)
_CONDITIONS = st.sampled_from((
    "email.academic", "'!email.academic'", '"email.free"', "person.account_days > 30", "(person.account_days >= 7)",
    'answers.purpose.quality in ["good", "thin"]', "answers.purpose.quality != 'good'", "email.free && email.academic",
    "email.free || person.account_days < 3", ">-\n      email.free\n      && email.academic", 'email.domain == "a\\b.org"',
    "tables.t", "'!tables.t && email.free'", "tables.own && (tables.t)",
    "'history.accepted > 0 && person.username.startsWith(\"x\")'", "trusted && person.account_days > 30  # why",
))  # fmt: skip
_REASONS = st.one_of(
    _WORDS.map(lambda text: "'" + text.replace("'", "''") + "'"),
    st.sampled_from(
        (
            "Plain words",
            '"say \\"more\\""',
            "|\n      # no comment\n      two\n",
            "|+\n      kept\n\n",
            ">-\n      a\n\n      b",
        )
    ),
)
_DECISIONS = st.sampled_from(
    (
        ("then: reset",),
        ("then: accept",),
        ("then: accept  # at once", "until: 2027-06-30  # of the term"),
        ("until: 'tables.t.expires'", "then: accept"),
        ("then: accept", "until: 180d", "at_end: human"),
        ("then: accept", "until: {at_most: 1y}"),
    )
)
_GAPS = st.sampled_from(
    ("", "\n", "  # belongs below\n", "# belongs below\n", "\n  # stays\n\n", "      # deeper\n", "\n\n# a\n  # b\n")
)


@st.composite
def _policies(draw: st.DrawFn) -> str:
    indent = draw(st.sampled_from(("  ", "")))
    rules = []
    for number in range(draw(st.integers(1, 5))):
        if draw(st.integers(0, 9)) == 0:
            rules.append(f"{indent}- {{id: r{number}, then: human}}\n")
            continue
        lines = [f"id: r{number}", f"when: {draw(_CONDITIONS)}", *draw(_DECISIONS)]
        lines += [] if "reset" not in lines[-1] else [f"reason: {draw(_REASONS)}"]
        if draw(st.booleans()):
            lines.insert(
                1, f"says: {draw(_WORDS.map(lambda text: chr(39) + text.replace(chr(39), chr(39) * 2) + chr(39)))}"
            )
        dash = draw(st.sampled_from(("- ", f"-\n{indent}  ", "-   # on the dash\n" + indent + "  ")))
        rules.append(indent + dash + f"\n{indent}  ".join(lines) + "\n")
    body = "".join(draw(_GAPS) + rule for rule in rules)
    tail = draw(st.sampled_from(("", "\n", "# the end\n", "tests: []\n", "\n# about the tests\ntests: []", "...\n")))
    text = f"version: 1\n# ☃\npolicy: p\ntables: {{own: [ada]}}\nlet:\n  trusted: email.academic\nrules:  # in order\n{body}{tail}"
    text = draw(st.sampled_from((text, text.rstrip("\n"))))
    return text.replace("\n", "\r\n") if draw(st.booleans()) else text


def _try(make: Callable[[], TextEdit | None]) -> TextEdit | None:
    """Return an edit; None if there is none or if cards refuse it."""
    try:
        return make()
    except CardError:
        return None


def _read(text: str) -> PolicyCards:
    read = read_cards(text, "p.yaml", ["t", "u"])
    assume(not read.layout.document.problems)
    return read


@given(_policies(), st.data())
def test_a_moved_card_changes_only_the_order_and_moving_it_back_restores_every_byte(
    text: str, data: st.DataObject
) -> None:
    read = _read(text)
    index, to = (data.draw(st.integers(0, len(read.cards) - 1)) for _ in range(2))
    edit = _try(lambda: move_rule(read.layout, index, to))
    if edit is None:
        return
    moved = edit.apply(text)
    ids = [card.rule for card in read.cards]
    ids.insert(to, ids.pop(index))
    assert [card.rule for card in _read(moved).cards] == ids
    assert sorted(moved) == sorted(text)
    back = move_rule(_read(moved).layout, to, index)
    assert back is not None
    assert back.apply(moved) == text


@given(_policies(), st.data())
def test_an_added_card_stands_where_it_was_put_and_removing_it_restores_every_byte(
    text: str, data: st.DataObject
) -> None:
    read = _read(text)
    index = data.draw(st.integers(0, len(read.cards)))
    then, condition = (
        data.draw(st.sampled_from(("accept", "reset", "wait"))),
        data.draw(st.sampled_from(sorted(NEW_CONDITIONS))),
    )
    edit = _try(lambda: add_rule(read.layout, index, new_rule(read, then, condition)))
    if edit is None:
        return
    more = edit.apply(text)
    ids = [card.rule for card in read.cards]
    assert [card.rule for card in _read(more).cards] == [*ids[:index], f"{then}-1", *ids[index:]]
    assert remove_rule(_read(more).layout, index).apply(more) == text


@given(_policies(), st.data())
def test_a_changed_value_changes_nothing_else_and_its_inverse_restores_every_byte(
    text: str, data: st.DataObject
) -> None:
    read = _read(text)
    card = data.draw(st.sampled_from(read.cards))
    fields = list(card.fields)
    assume(fields)
    field = data.draw(st.sampled_from(fields))
    values = [choice for choice, _ in field.choices] or (
        ["1", "42"] if field.kind == "number" else ["x", "a: b #c", 'it\'s "so" \\']
    )
    value = data.draw(st.sampled_from(values))
    value = "2030-01-31" if field.kind == "end" and value == A_DATE else value
    edit = _try(lambda: change_value(read, card.number, field.key, value))
    if edit is None:
        return
    changed = edit.apply(text)
    after = _read(changed)
    assert edit.undo(text).apply(changed) == text
    assert next(each for each in after.cards[card.number].fields if each.key == field.key).value == value
    own = {(card.number, field.key), *([(card.number, "until")] if field.key == "then" else [])}
    before, now = (
        [
            (one.number, each.key, each.value)
            for one in cards
            for each in one.fields
            if (one.number, each.key) not in own
        ]
        for cards in (read.cards, after.cards)
    )
    assert now == before
    if field.key == "then" or field.kind == "number" or (field.kind == "end" and not field.value):
        back = change_value(after, card.number, field.key, field.value)
        assert back is not None
        assert back.apply(changed) == text


@given(_policies())
def test_cards_list_the_rules_of_the_text_in_order(text: str) -> None:
    read = _read(text)
    parsed = parse_policy(text, "p.yaml").policy
    if parsed is not None:
        assert [(card.rule, card.line) for card in read.cards] == [
            (rule.id, rule.position.line) for rule in parsed.rules
        ]


@given(_policies())
def test_a_page_whose_values_come_back_as_shown_changes_nothing(text: str) -> None:
    read = _read(text)
    shown = {
        (card.number, each.key): tuple(map(make_visible, each.chosen_values))
        for card in read.cards
        for each in card.fields
    }
    assert apply_changes(text, "p.yaml", CardChanges(shown), ["t", "u"]) == ChangedText(text)


@given(_policies(), st.data())
def test_whatever_is_entered_leaves_every_other_card_as_it_was(text: str, data: st.DataObject) -> None:
    read = _read(text)
    fields = [(card.number, each.key) for card in read.cards for each in card.fields]
    assume(fields)
    number, key = data.draw(st.sampled_from(fields))
    value = data.draw(
        st.one_of(st.text(max_size=30), st.sampled_from(("true", "false", "reset", "7", '"', "\u2028", "- id: x")))
    )
    changed = apply_changes(text, "p.yaml", CardChanges({(number, key): (value,)}), ["t", "u"])
    after = _read(changed.text)
    assert [card.rule for card in after.cards] == [card.rule for card in read.cards]
    assert [card for card in after.cards if card.number != number] == [
        replace(card, line=after.cards[card.number].line) for card in read.cards if card.number != number
    ]
    assert changed.text == text or not changed.problems


def test_a_moved_rule_takes_the_comment_lines_directly_above() -> None:
    text = "version: 1\nrules:\n  - id: a\n    then: human\n\n  # stays\n\n  # of b\n  - id: b  # too\n    then: human\n# end"
    edit = move_rule(read_cards(text, "p").layout, 1, 0)
    assert edit is not None
    assert edit.apply(text) == (
        "version: 1\nrules:\n  # of b\n  - id: b  # too\n    then: human\n\n  # stays\n\n  - id: a\n    then: human\n# end"
    )


def test_a_value_is_replaced_within_its_quotes_and_a_plain_one_gets_quotes_when_it_needs_them() -> None:
    text = "rules:\n- id: a\n  when: email.academic && person.account_days > 30 # note\n  then: accept\n"
    read = read_cards(text, "p")
    older = change_value(read, 0, "when.1.value", "7")
    assert older is not None
    assert older.apply(text) == text.replace("30", "7")
    negated = change_value(read, 0, "when.0", "false")
    assert negated is not None
    assert negated.apply(text) == text.replace(
        "email.academic && person.account_days > 30", '"!email.academic && person.account_days > 30"'
    )


def test_flow_rules_and_conditions_beyond_the_menus_are_edited_as_text() -> None:
    read = read_cards(
        "rules:\n- {id: a, then: human}\n- id: b\n  when: email.free || email.academic\n  then: human\n", "p"
    )
    assert [card.is_text for card in read.cards] == [True, False]
    assert not list(read.cards[0].fields)
    assert not read.cards[1].parts[0].fields
    flow = read_cards("rules: [{id: a, then: human}, {id: b, then: human}]\n", "p")
    assert not flow.can_move
    with pytest.raises(CardError, match="edit them as text"):
        move_rule(flow.layout, 0, 1)


@pytest.mark.parametrize("value", ["1\n2", "-1", "９", "1 || true", ""])
def test_a_number_field_takes_only_a_number(value: str) -> None:
    read = read_cards("rules:\n- id: a\n  when: person.account_days > 30\n  then: human\n", "p")
    with pytest.raises(CardError):
        change_value(read, 0, "when.0.value", value)


@pytest.mark.parametrize("value", ['"] || true || ["', "a\nthen: accept", "\u2028", "x" * 5_000])
def test_a_typed_text_never_leaves_its_value(value: str) -> None:
    text = "rules:\n- id: a\n  when: 'email.domain == \"a.org\"'\n  then: human\n"
    read = read_cards(text, "p")
    edit = _try(lambda: change_value(read, 0, "when.0.value", value))
    if edit is not None:
        after = read_cards(edit.apply(text), "p")
        assert [each.value for each in after.cards[0].fields] == ["human", "==", value]


def test_the_only_rule_cannot_be_removed() -> None:
    with pytest.raises(CardError, match="only rule"):
        remove_rule(read_cards("rules:\n- id: a\n  then: human\n", "p").layout, 0)


@pytest.mark.parametrize("file", sorted((ROOT / "src/hf_gate/examples").glob("*.yaml")), ids=lambda file: file.stem)
def test_the_rules_of_every_shipped_example_move_there_and_back(file: Path) -> None:
    text = file.read_bytes().decode()
    read = read_cards(text, file.name)
    for index in range(len(read.cards) - 1):
        edit = move_rule(read.layout, index, len(read.cards) - 1)
        assert edit is not None
        moved = edit.apply(text)
        back = move_rule(read_cards(moved, file.name).layout, len(read.cards) - 1, index)
        assert back is not None
        assert back.apply(moved) == text


# ---- lists and ends --------------------------------------------------------------------------------------------------

LISTED = "rules:\n- id: a\n  when: '!tables.old'\n  then: accept # at once\n  at_end: human\n- id: b\n  then: human\n"


def _change(text: str, values: dict[tuple[int, str], tuple[str, ...]]) -> ChangedText:
    return apply_changes(text, "p", CardChanges(values), ["partners", "old"])


def test_a_condition_names_another_list_by_a_menu_of_those_that_exist() -> None:
    fields = {each.key: each for each in read_cards(LISTED, "p", ["partners", "old"]).cards[0].fields}
    assert dict(fields["when.0"].choices) == {"true": "is on the list", "false": "is not on the list"}
    assert [value for value, _ in fields["when.0.table"].choices] == ["old", "partners"]
    changed = _change(LISTED, {(0, "when.0"): ("true",), (0, "when.0.table"): ("partners",)})
    assert changed.text == LISTED.replace("!tables.old", "tables.partners")
    refused = _change(LISTED, {(0, "when.0.table"): ("partners || true",)})
    assert (refused.text, refused.problems) == (LISTED, ("Rule a: Choose one of the values of List.",))


@pytest.mark.parametrize(
    ("entered", "line"),
    [
        (("date", "2027-06-30"), "until: 2027-06-30"),
        (("tables.partners.expires", ""), "until: tables.partners.expires"),
        (("1y", "2027-06-30"), "until: 1y"),
    ],
)
def test_an_end_is_a_line_of_its_own_and_goes_without_a_trace(entered: tuple[str, ...], line: str) -> None:
    changed = _change(LISTED, {(0, "until"): entered})
    assert changed.text == LISTED.replace("# at once\n", f"# at once\n  {line}\n")
    assert _change(changed.text, {(0, "until"): ("", "")}) == ChangedText(LISTED, (), "a")


@pytest.mark.parametrize(
    "entered", [("date", ""), ("date", "soon"), ("2027-13-01x",), ("tables.x.expires",), ("1d\n  x: y",)]
)
def test_an_end_that_is_no_choice_and_no_date_changes_nothing(entered: tuple[str, ...]) -> None:
    changed = _change(LISTED, {(0, "until"): entered})
    assert (changed.text, len(changed.problems)) == (LISTED, 1)


def test_only_a_rule_that_accepts_has_an_end() -> None:
    cards = read_cards(LISTED, "p", ["partners"]).cards
    assert [[each.key for each in card.terms] for card in cards] == [["until", "at_end"], []]


def test_a_new_card_asks_for_a_list_that_exists() -> None:
    read = read_cards("tables: {own: [ada]}\n" + LISTED, "p", ["partners"])
    assert dict(new_rule(read, "accept", "tables.own"))["when"] == "tables.own"
    with pytest.raises(CardError):
        new_rule(read, "accept", "tables.others")
