"""Parses `rules:`. A table lists the actions with which each key is valid."""

from __future__ import annotations

import re
from collections.abc import Mapping as Map

from hf_gate.base.display_text import make_visible
from hf_gate.base.yaml_parser import Mapping, Node, Scalar
from hf_gate.core.parsing.literals import parse_duration, parse_until
from hf_gate.core.parsing.node_reader import KnownKeys, NodeReader
from hf_gate.core.parsing.strict_yaml import ScalarSource, position_of, value_of
from hf_gate.core.people.grants import Duration
from hf_gate.core.policy_model import Action, FactEnd, Rule, SourcePosition, Until
from hf_gate.core.requests import REASON_LIMIT
from hf_gate.policies.checks.reasons import SUGGESTED_REASONS, find_reason_faults

ACTIONS: Map[str, Action] = {
    action.value: action for action in (Action.ACCEPT, Action.HUMAN, Action.WAIT, Action.RESET, Action.REJECT)
}
ACTION_SYNONYMS = {
    **dict.fromkeys(("allow", "approve", "grant", "ok", "yes", "accepted", "let_in", "pass"), "accept"),
    **dict.fromkeys(("deny", "refuse", "block", "no", "rejected", "ban", "decline"), "reject"),
    **dict.fromkeys(("manual", "review", "ask", "person", "queue", "escalate", "none", "skip"), "human"),
    **dict.fromkeys(("return", "send_back", "retry", "again", "cancel", "pending"), "reset"),
    **dict.fromkeys(("hold", "defer", "later", "delay"), "wait"),
}
_REASON_ACTIONS = (Action.RESET, Action.REJECT)

# the actions with which each key is valid
_KEY_ACTIONS: Map[str, tuple[Action, ...]] = {
    **dict.fromkeys(("reason", "reason_template"), (*_REASON_ACTIONS, Action.WAIT)),
    **dict.fromkeys(("at_most", "after"), (Action.WAIT,)),
    **dict.fromkeys(("until", "keep_while", "grace", "notice", "at_end", "end_reason"), (Action.ACCEPT,)),
    "reviewers": (Action.HUMAN, Action.ACCEPT),
}
_KEYS = ("id", "when", "unless", "then", "says", *_KEY_ACTIONS)
MAX_NOTICES = 5  # the most times of `notice`
MAX_SAYS = 120  # the most characters of `says`
_SYNONYMS = {
    **dict.fromkeys(("name", "rule"), "id"),
    **dict.fromkeys(("if", "condition", "match", "expr"), "when"),
    **dict.fromkeys(("except", "unless_", "not"), "unless"),
    **dict.fromkeys(("action", "decision", "verdict", "do"), "then"),
    **dict.fromkeys(("message", "text", "because"), "reason"),
    "template": "reason_template",
    **dict.fromkeys(("expires", "expires_in", "expiry", "for"), "until"),
    **dict.fromkeys(("max", "timeout"), "at_most"),
    "else": "after",
    **dict.fromkeys(("while", "only_while", "as_long_as"), "keep_while"),
    "grace_period": "grace",
    **dict.fromkeys(("notify", "remind", "reminders"), "notice"),
    **dict.fromkeys(("on_end", "on_expiry"), "at_end"),
    "reviewer": "reviewers",
    **dict.fromkeys(("say", "description", "explains"), "says"),
}
_FACT_PATTERN = re.compile(r"\s*(?:[a-z_]+(?:\.[A-Za-z0-9_]+)+|now)\s*\Z")  # the form of fact names


def read_rules(reader: NodeReader, node: Node) -> tuple[Rule, ...]:
    """Return the rules in order and report duplicate ids."""
    rules: list[Rule] = []
    seen: dict[str, SourcePosition] = {}
    for number, item in enumerate(reader.read_items(node, "rules", "`- id: rest` with `then: human`"), 1):
        rule = _read_rule(reader, item, number)
        if rule is None:
            continue
        if rule.id in seen and isinstance(item, Mapping):
            words = f"duplicate rule id `{rule.id}` (first used on line {seen[rule.id].line})."
            reader.add_problem(value_of(item, "id") or item, "rule_twice", words, fix=f"{rule.id}-{number}")
        seen.setdefault(rule.id, rule.position)
        rules.append(rule)
    return tuple(rules)


def _read_rule(reader: NodeReader, node: Node, number: int) -> Rule | None:
    keys = reader.read_keys(node, "A rule", _KEYS, synonyms=_SYNONYMS)
    if keys is None or not isinstance(node, Mapping):
        return None
    name = _read_id(reader, keys, node, number)
    action = _read_action(reader, keys, node)
    if action is None or name is None:
        return None
    then = ACTIONS[action]
    _check_key_fits_action(reader, keys, node, then)
    _check_required_keys(reader, keys, node, then)
    until = _read_until(reader, keys["until"][1]) if "until" in keys else None
    at_end = keys.read_value("at_end", _read_end, _REASON_ACTIONS, _END_SYNONYMS)
    return Rule(
        id=name,
        then=then,
        when=_read_expression(keys, "when"),
        unless=_read_expression(keys, "unless"),
        reason=keys.read_value("reason", read_text_for_people),
        reason_template=keys.read_value("reason_template", NodeReader.read_id),
        at_most=keys.read_value("at_most", _read_duration),
        after=keys.read_value("after", _read_end, (*_REASON_ACTIONS, Action.HUMAN), ACTION_SYNONYMS),
        until=until,
        keep_while=_read_expression(keys, "keep_while"),
        grace=keys.read_value("grace", _read_duration),
        at_end=at_end or (Action.RESET if until is not None or "keep_while" in keys else None),
        end_reason=keys.read_value("end_reason", read_text_for_people),
        notice=keys.read_value("notice", _read_notice) or (),
        reviewers=keys.read_value("reviewers", NodeReader.read_number, 2) or 1,
        says=keys.read_value("says", _read_sentence),
        position=position_of(node),
        key_positions={key: position_of(value) for key, (_, value) in keys.items()},
    )


_END_SYNONYMS = {**ACTION_SYNONYMS, **dict.fromkeys(("revoke", "remove", "end", "expire", "renew"), "reset")}


def _read_id(reader: NodeReader, keys: KnownKeys, node: Mapping, number: int) -> str | None:
    if "id" in keys:
        name = reader.read_id(keys["id"][1], "id")
        if name == "none":
            reader.add_problem(
                keys["id"][1],
                "taken_name",
                "`none` is reserved for verdicts without a rule; choose another id.",
                fix="rest",
            )
        return name
    first = node.pairs[0][0] if node.pairs else None
    words = "The rule has no id. Plans and the audit log need it."
    if isinstance(first, Scalar) and len(keys) == len(node.pairs):
        joint = ", " if reader.source.text[reader.source.index(node)] == "{" else "\n" + " " * (node.column - 1)
        reader.add_yaml_fix(
            first, "no_id", words, f"id: rule-{number}{joint}", length=0, hint=f"Add `id: rule-{number}`."
        )
    elif len(keys) == len(node.pairs):
        reader.add_problem(node, "no_id", words, hint="Write `id: NAME`.")
    return None


def _read_action(reader: NodeReader, keys: KnownKeys, node: Mapping) -> str | None:
    if "then" in keys:
        return reader.read_choice(keys["then"][1], "then", tuple(ACTIONS), ACTION_SYNONYMS)
    if len(keys) == len(node.pairs):
        reader.add_problem(node, "no_then", "The rule has no action.", hint=f"Write `then:` {', '.join(ACTIONS)}.")
    return None


def _check_key_fits_action(reader: NodeReader, keys: KnownKeys, node: Mapping, then: Action) -> None:
    for name, (key, _) in keys.items():
        if name in _KEY_ACTIONS and then not in _KEY_ACTIONS[name]:
            fits = " or ".join(action.value for action in _KEY_ACTIONS[name])
            words = f"`{name}` goes with {fits}; it has no effect with {then.value}."
            reader.add_problem(key, "no_effect", words, hint="Remove it.")
    if then is not Action.ACCEPT:
        return
    if "grace" in keys and "keep_while" not in keys:
        words = "`grace` goes with `keep_while`; it has no effect without it."
        reader.add_problem(keys["grace"][0], "no_effect", words, hint="Remove it.")
    lonely = next((name for name in ("at_end", "end_reason", "notice") if name in keys), None)
    if lonely and "until" not in keys and "keep_while" not in keys:
        words = f"`{lonely}` needs `until` or `keep_while`: this access has no end."
        reader.add_missing_key(node, keys[lonely][1], "no_until", words, "until: 1y")


def _check_required_keys(reader: NodeReader, keys: KnownKeys, node: Mapping, then: Action) -> None:
    action_node = keys["then"][1]
    if then is Action.WAIT:
        missing = [
            added for name, added in (("at_most", "at_most: 14d"), ("after", "after: human")) if name not in keys
        ]
        if missing:
            words = "`wait` needs `at_most`, the longest wait, and `after`, the action then."
            joint = ", " if reader.source.text[reader.source.index(node)] == "{" else "\n" + " " * (node.column - 1)
            reader.add_missing_key(
                node,
                action_node,
                "wait_incomplete",
                words,
                joint.join(missing),
                hint=f"Add {' and '.join(f'`{each}`' for each in missing)}.",
            )
    after = keys["after"][1] if "after" in keys else None
    ends = after.text if isinstance(after, Scalar) else ""
    if then in _REASON_ACTIONS or (then is Action.WAIT and ends in ("reset", "reject")):
        _require_reason(reader, keys, node, then.value if then in _REASON_ACTIONS else ends)
    elif then is Action.WAIT and ends == "human":
        for name in ("reason", "reason_template"):
            if name in keys:
                words = f"`{name}` has no effect with `after: human`."
                reader.add_problem(keys[name][0], "no_effect", words, hint="Remove it.")


def _require_reason(reader: NodeReader, keys: KnownKeys, node: Mapping, action: str) -> None:
    if "reason" in keys and "reason_template" in keys:
        reader.add_problem(
            keys["reason_template"][0], "reason_twice", "Use either `reason` or `reason_template`, not both."
        )
    elif "reason" not in keys and "reason_template" not in keys:
        words = f"`{action}` needs a `reason` for the person (at most {REASON_LIMIT} characters)."
        added = f"reason: {SUGGESTED_REASONS[Action(action)]}"
        reader.add_missing_key(node, keys["then"][1], "no_reason", words, added)


# ---- single keys -----------------------------------------------------------------------------------------------------


def _read_expression(keys: KnownKeys, name: str) -> str | None:
    text = keys.read_value(name, NodeReader.read_text)
    return None if text is None else text.strip()


def _read_duration(reader: NodeReader, node: Node, name: str) -> Duration | None:
    return reader.parse(node, name, "bad_span", parse_duration)


def _read_until(reader: NodeReader, node: Node) -> Until | None:
    if isinstance(node, Scalar) and _FACT_PATTERN.match(node.text):
        return FactEnd(node.text.strip())
    return reader.parse(node, "until", "bad_until", parse_until)


def _read_notice(reader: NodeReader, node: Node, name: str) -> tuple[Duration, ...]:
    """Read the times before the end at which the person is notified, the longest first."""
    items = reader.read_items(node, name, "`notice: [30d, 7d]`")
    found = [step for item in items if (step := _read_duration(reader, item, name)) is not None]
    if len(found) > MAX_NOTICES:
        words = f"notice has {len(found)} times; at most {MAX_NOTICES} are allowed. Remove {len(found) - MAX_NOTICES}."
        reader.add_problem(node, "too_many_notices", words)
    return tuple(sorted({str(step): step for step in found}.values(), key=lambda step: (-step.months, -step.days)))


def _read_end(
    reader: NodeReader, node: Node, name: str, actions: tuple[Action, ...], synonyms: Map[str, str]
) -> Action | None:
    if isinstance(node, Scalar) and node.text == "cancel":
        words = f"{name}: `cancel` does not end access: an accept rule would accept the person again."
        reader.add_problem(node, "cancel_no_end", words, fix="reset", hint="Did you mean `reset`?")
        return None
    word = reader.read_choice(node, name, actions, synonyms)
    return ACTIONS[word] if word else None


def _read_sentence(reader: NodeReader, node: Node, name: str) -> str | None:
    """Read one line of text. Characters that hide or reorder other characters are not allowed."""
    text = reader.read_text(node, name)
    if text is None:
        return None
    text = text.strip()
    if make_visible(text, one_line=True) != text:
        fix = " ".join(text.split())
        words = f"{name}: write one line without line breaks, tabs and invisible characters."
        reader.add_problem(node, "bad_says", words, fix=fix if make_visible(fix, one_line=True) == fix else None)
    elif len(text) > MAX_SAYS:
        words = f"{name}: {len(text)} characters; at most {MAX_SAYS} are shown. Shorten it by {len(text) - MAX_SAYS}."
        reader.add_problem(node, "says_too_long", words)
    return text


def read_text_for_people(reader: NodeReader, node: Node, what: str) -> str | None:
    """Read one text for people and check its placeholders and its length."""
    text = reader.read_text(node, what)
    if text is None or not isinstance(node, Scalar):
        return None
    spelling = ScalarSource(reader.source, node)
    for fault in find_reason_faults(text):
        words = f"{what}: {fault.message}"
        reader.problems.append(spelling.problem(fault.code, words, fault.offset, fault.length, fix=fault.fix))
    return text.strip()
