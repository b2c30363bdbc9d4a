"""Parses `rules:`. A table lists the actions with which each key is valid; planned keys are rejected."""

from __future__ import annotations

import re
from collections.abc import Mapping as Map

from ..domain.display_text import make_visible
from ..domain.grants import Duration
from ..domain.yaml_parser import Mapping, Node, Scalar
from .literals import parse_duration, parse_until
from .model import Action, FactEnd, Rule, SourcePosition, Until
from .node_reader import Keys, NodeReader
from .reasons import find_reason_faults
from .strict_yaml import ScalarSource, position_of

ACTIONS: Map[str, Action] = {action.value: action for action in (Action.ACCEPT, Action.HUMAN, Action.WAIT, Action.RESET, Action.REJECT)}  # fmt: skip
ACTION_SYNONYMS = {
    **dict.fromkeys(("allow", "approve", "grant", "ok", "yes", "accepted", "let_in", "pass"), "accept"),
    **dict.fromkeys(("deny", "refuse", "block", "no", "rejected", "ban", "decline"), "reject"),
    **dict.fromkeys(("manual", "review", "ask", "person", "queue", "escalate", "none", "skip"), "human"),
    **dict.fromkeys(("return", "send_back", "retry", "again", "cancel", "pending"), "reset"),
    **dict.fromkeys(("hold", "defer", "later", "delay"), "wait"),
}
_END_ACTIONS = ("reset", "reject", "human")
_REASON_ACTIONS = (Action.RESET, Action.REJECT)
_QUEUE_ACTIONS = (Action.HUMAN, Action.ACCEPT)

# the actions with which each key is valid
_KEY_ACTIONS: Map[str, tuple[Action, ...]] = {
    "reason": (*_REASON_ACTIONS, Action.WAIT),
    "reason_template": (*_REASON_ACTIONS, Action.WAIT),
    "at_most": (Action.WAIT,),
    "after": (Action.WAIT,),
    "until": (Action.ACCEPT,),
    "keep_while": (Action.ACCEPT,),
    "grace": (Action.ACCEPT,),
    "notice": (Action.ACCEPT,),
    "at_end": (Action.ACCEPT,),
    "end_reason": (Action.ACCEPT,),
    "queue": _QUEUE_ACTIONS,
    "due": _QUEUE_ACTIONS,
    "priority": _QUEUE_ACTIONS,
    "reviewers": _QUEUE_ACTIONS,
}
_KEYS = ("id", "when", "unless", "then", "says", *_KEY_ACTIONS)
MAX_NOTICES = 5  # the most times of `notice`
MAX_SAYS = 120  # the most characters of `says`
_SYNONYMS = {
    "name": "id",
    "rule": "id",
    "if": "when",
    "condition": "when",
    "match": "when",
    "expr": "when",
    "except": "unless",
    "unless_": "unless",
    "not": "unless",
    "action": "then",
    "decision": "then",
    "verdict": "then",
    "do": "then",
    "message": "reason",
    "text": "reason",
    "because": "reason",
    "template": "reason_template",
    "expires": "until",
    "expires_in": "until",
    "expiry": "until",
    "for": "until",
    "max": "at_most",
    "timeout": "at_most",
    "else": "after",
    "while": "keep_while",
    "only_while": "keep_while",
    "as_long_as": "keep_while",
    "grace_period": "grace",
    "notify": "notice",
    "remind": "notice",
    "reminders": "notice",
    "on_end": "at_end",
    "on_expiry": "at_end",
    "deadline": "due",
    "sla": "due",
    "prio": "priority",
    "reviewer": "reviewers",
    "say": "says",
    "description": "says",
    "explains": "says",
}
_PLANNED_KEYS = {
    "audit": "`audit` is not supported yet; send a share of requests to people with a separate rule.",
}
_FACT_PATTERN = re.compile(r"\s*(?:[a-z_]+(?:\.[A-Za-z0-9_]+)+|now)\s*\Z")  # the form of fact names
_DEFAULT_REASON = "Please complete your answers, then ask again."
_DEFAULT_REFUSAL = "Your request does not meet the terms of this repository."


def read_rules(reader: NodeReader, node: Node) -> tuple[Rule, ...]:
    """Return the rules in order and report duplicate ids."""
    found: list[Rule] = []
    seen: dict[str, SourcePosition] = {}
    for number, item in enumerate(reader.read_items(node, "rules", "`- id: rest` with `then: human`"), 1):
        rule = _read_rule(reader, item, number)
        if rule is None:
            continue
        if rule.id in seen and isinstance(item, Mapping):
            words = f"duplicate rule id `{rule.id}` (first used on line {seen[rule.id].line})."
            reader.add_problem(_value_of(item, "id") or item, "rule_twice", words, fix=f"{rule.id}-{number}")
        seen.setdefault(rule.id, rule.position)
        found.append(rule)
    return tuple(found)


def _value_of(node: Mapping, name: str) -> Node | None:
    return next((value for key, value in node.pairs if isinstance(key, Scalar) and key.text == name), None)


def _read_rule(reader: NodeReader, node: Node, number: int) -> Rule | None:
    keys = reader.read_keys(node, "A rule", _KEYS, synonyms=_SYNONYMS, planned=_PLANNED_KEYS)
    if keys is None or not isinstance(node, Mapping):
        return None
    name = _read_id(reader, keys, node, number)
    action = _read_action(reader, keys, node)
    if action is None or name is None:
        return None
    then = ACTIONS[action]
    _check_key_fits_action(reader, keys, node, then)
    _check_required_keys(reader, keys, node, then)
    until = _read_until(reader, keys)
    at_end = _read_choice(reader, keys, "at_end", _END_ACTIONS, _END_SYNONYMS)
    return Rule(
        id=name,
        then=then,
        when=_read_expression(reader, keys, "when"),
        unless=_read_expression(reader, keys, "unless"),
        reason=_read_texts(reader, keys, "reason"),
        reason_template=_read_name(reader, keys, "reason_template"),
        at_most=_read_duration(reader, keys, "at_most"),
        after=_read_choice(reader, keys, "after", _END_ACTIONS, ACTION_SYNONYMS),
        until=until,
        keep_while=_read_expression(reader, keys, "keep_while"),
        grace=_read_duration(reader, keys, "grace"),
        at_end=at_end or (Action.RESET if until is not None or "keep_while" in keys else None),
        end_reason=_read_one_text(reader, keys, "end_reason"),
        notice=_read_notice(reader, keys),
        queue=reader.read_id(keys["queue"][1], "queue") if "queue" in keys else None,
        due=_read_duration(reader, keys, "due"),
        priority=reader.read_number(keys["priority"][1], "priority", 1, 3) if "priority" in keys else None,
        reviewers=(reader.read_number(keys["reviewers"][1], "reviewers", 1, 2) or 1) if "reviewers" in keys else 1,
        says=_read_sentence(reader, keys, "says"),
        position=position_of(node),
        key_positions={key: position_of(value) for key, (_, value) in keys.items()},
    )


_END_SYNONYMS = {
    **ACTION_SYNONYMS,
    "revoke": "reset",
    "remove": "reset",
    "end": "reset",
    "expire": "reset",
    "renew": "reset",
}


def _read_id(reader: NodeReader, keys: Keys, node: Mapping, number: int) -> str | None:
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


def _read_action(reader: NodeReader, keys: Keys, node: Mapping) -> str | None:
    if "then" in keys:
        return reader.read_choice(keys["then"][1], "then", tuple(ACTIONS), ACTION_SYNONYMS)
    if len(keys) == len(node.pairs):
        reader.add_problem(node, "no_then", "The rule has no action.", hint=f"Write `then:` {', '.join(ACTIONS)}.")
    return None


def _check_key_fits_action(reader: NodeReader, keys: Keys, node: Mapping, then: Action) -> None:
    for name, (key, value) in keys.items():
        if name in _KEY_ACTIONS and then not in _KEY_ACTIONS[name]:
            fits = " or ".join(action.value for action in _KEY_ACTIONS[name])
            _add_no_effect(reader, node, key, value, f"`{name}` goes with {fits}; it has no effect with {then.value}.")
    if then is not Action.ACCEPT:
        return
    if "grace" in keys and "keep_while" not in keys:
        words = "`grace` goes with `keep_while`; it has no effect without it."
        _add_no_effect(reader, node, *keys["grace"], words)
    lonely = next((name for name in ("at_end", "end_reason", "notice") if name in keys), None)
    if lonely and "until" not in keys and "keep_while" not in keys:
        words = f"`{lonely}` needs `until` or `keep_while`: this access has no end."
        reader.add_missing_key(node, keys[lonely][1], "no_until", words, "until: 1y")


def _add_no_effect(reader: NodeReader, node: Mapping, key: Scalar, value: Node, words: str) -> None:
    flow = reader.source.text[reader.source.index(node)] == "{"
    if flow or not isinstance(value, Scalar) or reader.source.line(key.line)[: key.column - 1].strip():
        reader.add_problem(key, "no_effect", words, hint="Remove it.")
        return
    length = ScalarSource(reader.source, value).end - reader.source.index(key)
    reader.add_yaml_fix(key, "no_effect", words, "", hint="Remove it.", length=length)


def _check_required_keys(reader: NodeReader, keys: Keys, node: Mapping, then: Action) -> None:
    action_node = keys["then"][1]
    if then is Action.WAIT:
        missing = [
            added for name, added in (("at_most", "at_most: 14d"), ("after", "after: human")) if name not in keys
        ]
        if missing:
            words = "`wait` needs `at_most`, the longest wait, and `after`, the action then."
            joint = ", " if reader.source.text[reader.source.index(node)] == "{" else "\n" + " " * (node.column - 1)
            reader.add_missing_key(node, action_node, "wait_incomplete", words, joint.join(missing), hint=f"Add {' and '.join(f'`{each}`' for each in missing)}.")  # fmt: skip
    after = keys["after"][1] if "after" in keys else None
    ends = after.text if isinstance(after, Scalar) else ""
    if then in _REASON_ACTIONS or (then is Action.WAIT and ends in ("reset", "reject")):
        _require_reason(reader, keys, node, then.value if then in _REASON_ACTIONS else ends)
    elif then is Action.WAIT and ends == "human":
        for name in ("reason", "reason_template"):
            if name in keys:
                _add_no_effect(reader, node, *keys[name], f"`{name}` has no effect with `after: human`.")


def _require_reason(reader: NodeReader, keys: Keys, node: Mapping, action: str) -> None:
    if "reason" in keys and "reason_template" in keys:
        reader.add_problem(
            keys["reason_template"][0], "reason_twice", "Use either `reason` or `reason_template`, not both."
        )
    elif "reason" not in keys and "reason_template" not in keys:
        words = f"`{action}` needs a `reason` for the person (at most 200 characters)."
        text = _DEFAULT_REFUSAL if action == "reject" else _DEFAULT_REASON
        reader.add_missing_key(node, keys["then"][1], "no_reason", words, f"reason: {text}")


# ---- single keys -----------------------------------------------------------------------------------------------------


def _read_expression(reader: NodeReader, keys: Keys, name: str) -> str | None:
    text = reader.read_text(keys[name][1], name) if name in keys else None
    return None if text is None else text.strip()


def _read_duration(reader: NodeReader, keys: Keys, name: str) -> Duration | None:
    return reader.parse(keys[name][1], name, "bad_span", parse_duration) if name in keys else None


def _read_until(reader: NodeReader, keys: Keys) -> Until | None:
    if "until" not in keys:
        return None
    node = keys["until"][1]
    if isinstance(node, Scalar) and _FACT_PATTERN.match(node.text):
        return FactEnd(node.text.strip())
    return reader.parse(node, "until", "bad_until", parse_until)


def _read_notice(reader: NodeReader, keys: Keys) -> tuple[Duration, ...]:
    """Read the times before the end at which the person is notified, the longest first."""
    if "notice" not in keys:
        return ()
    items = reader.read_items(keys["notice"][1], "notice", "`notice: [30d, 7d]`")
    found = [step for item in items if (step := reader.parse(item, "notice", "bad_span", parse_duration)) is not None]
    if len(found) > MAX_NOTICES:
        words = f"notice: {len(found)} times; at most {MAX_NOTICES} are allowed. Remove {len(found) - MAX_NOTICES}."
        reader.add_problem(keys["notice"][1], "too_many_notices", words)
    return tuple(sorted({str(step): step for step in found}.values(), key=lambda step: (-step.months, -step.days)))


def _read_choice(
    reader: NodeReader, keys: Keys, name: str, known: tuple[str, ...], synonyms: Map[str, str]
) -> Action | None:
    if name not in keys:
        return None
    node = keys[name][1]
    if isinstance(node, Scalar) and node.text == "cancel":
        words = f"{name}: `cancel` does not end access: an accept rule would accept the person again."
        reader.add_problem(node, "cancel_no_end", words, fix="reset", hint="Did you mean `reset`?")
        return None
    word = reader.read_choice(node, name, known, synonyms)
    return ACTIONS[word] if word else None


def _read_name(reader: NodeReader, keys: Keys, name: str) -> str | None:
    return reader.read_id(keys[name][1], name) if name in keys else None


def _read_one_text(reader: NodeReader, keys: Keys, name: str) -> str | None:
    return read_reason(reader, keys[name][1], name) if name in keys else None


def _read_sentence(reader: NodeReader, keys: Keys, name: str) -> str | None:
    """Read one line of text. Characters that hide or reorder other characters are not allowed."""
    if name not in keys:
        return None
    node = keys[name][1]
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


def _read_texts(reader: NodeReader, keys: Keys, name: str) -> str | dict[str, str] | None:
    return read_reasons(reader, keys[name][1], name) if name in keys else None


def read_reasons(reader: NodeReader, node: Node, what: str) -> str | dict[str, str] | None:
    """Read one text for people, or one for each language."""
    if not isinstance(node, Mapping):
        return read_reason(reader, node, what)
    found: dict[str, str] = {}
    for key, value in node.pairs:
        if not isinstance(key, Scalar) or not _is_language(key.text):
            reader.add_problem(key, "bad_language", f"{what}: write a language code such as `en`, `de` or `zh`.")
            continue
        text = read_reason(reader, value, f"{what} in {key.text}")
        if text is not None:
            found[key.text] = text
    return found or None


def _is_language(text: str) -> bool:
    return 2 <= len(text) <= 3 and text.isascii() and text.isalpha() and text.islower()


def read_reason(reader: NodeReader, node: Node, what: str) -> str | None:
    """Read one text for people and check its placeholders and its length."""
    text = reader.read_text(node, what)
    if text is None or not isinstance(node, Scalar):
        return None
    spelling = ScalarSource(reader.source, node)
    for fault in find_reason_faults(text):
        words = f"{what}: {fault.message}"
        reader.problems.append(spelling.problem(fault.code, words, fault.offset, fault.length, fix=fault.fix))
    return text.strip()
