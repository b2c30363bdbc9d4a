"""Checks what expressions refer to: constants, form labels and form roles."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from hf_gate.base.yaml_parser import Scalar
from hf_gate.core.forms.forms import GateForm, collapse_whitespace
from hf_gate.core.parsing.literals import glob_matches_path
from hf_gate.core.parsing.strict_yaml import YamlDocument, nodes_of_rules, pair_of, position_of, suggest, value_of
from hf_gate.core.policy_model import Policy, PolicyProblem
from hf_gate.policies.expressions.expression_parser import ExpressionNode, NodeKind
from hf_gate.policies.expressions.expressions import Expression
from hf_gate.policies.expressions.fact_conditions import FactCondition
from hf_gate.policies.facts.fact_table import find_declaration
from hf_gate.policies.facts.form_facts import form_roles

from .reasons import TextFault

_EQUAL = ("==", "!=", "in")
_SYNONYMS = {
    "answers.ROLE.quality": {
        **dict.fromkeys(("bad", "poor", "weak", "short", "low", "vague", "insufficient"), "thin"),
        **dict.fromkeys(("spam", "nonsense", "garbage", "random", "rubbish", "gibberish"), "junk"),
        **dict.fromkeys(("blank", "none", "nothing", ""), "empty"),
        **dict.fromkeys(("ok", "okay", "fine", "valid", "high", "great", "complete"), "good"),
        **dict.fromkeys(("absent", "null", "unknown", "unset"), "missing"),
    },
    "tables.NAME.state": {
        **dict.fromkeys(("ok", "signed", "active", "current", "true", "yes", "present", "listed"), "valid"),
        **dict.fromkeys(("old", "lapsed", "ended", "over", "outdated"), "expired"),
        **dict.fromkeys(("none", "absent", "unsigned", "false", "no", "unknown", ""), "missing"),
    },
    "request.status": {
        **dict.fromkeys(("approved", "granted", "open"), "accepted"),
        **dict.fromkeys(("denied", "refused"), "rejected"),
        **dict.fromkeys(("waiting", "new"), "pending"),
        **dict.fromkeys(("returned", "cancelled"), "reset"),
    },
    "history.last_decision": {
        **dict.fromkeys(("approved", "granted", "accept"), "accepted"),
        **dict.fromkeys(("denied", "refused", "reject"), "rejected"),
        **dict.fromkeys(("never", "", "null"), "none"),
    },
}


def check_constants(expression: Expression, policy: Policy, repos: Sequence[str]) -> Iterator[TextFault]:
    """Yield the problems of the constants in an expression, from left to right."""
    for comparison in sorted(expression.comparisons, key=lambda each: each.span):
        known = find_declaration(comparison.fact)
        if known is None:
            continue
        if known.values is not None and comparison.op in _EQUAL:
            yield from _check_values(comparison, known.name, known.values)
        elif comparison.fact in ("email.domain", "email.registrable", "email.address"):
            yield from _check_domain(comparison)
        elif comparison.fact == "answers.country.code" and comparison.op in _EQUAL:
            yield from _check_country(comparison)
        elif comparison.fact == "request.repo" and comparison.op in _EQUAL:
            yield from _check_repo(comparison, policy, repos)


def suggest_value(fact: str, value: str, values: tuple[str, ...]) -> str | None:
    """Return the declared value that was probably meant."""
    return suggest(value, values, _SYNONYMS.get(fact))


def _text_constants(comparison: FactCondition) -> Iterator[tuple[str, int, int]]:
    """Yield each text of a comparison with its offset and length."""
    for value, node in zip(comparison.values, comparison.literals, strict=True):
        if isinstance(value, str):
            yield value, *node.span


def _check_values(comparison: FactCondition, fact: str, values: tuple[str, ...]) -> Iterator[TextFault]:
    for value, offset, length in _text_constants(comparison):
        if value in values:
            continue
        near = suggest_value(fact, value, values)
        hint = f'Did you mean "{near}"?' if near else ""
        words = f"`{comparison.fact}` is never {value[:40]!r}; its values are {', '.join(values)}."
        yield TextFault("unknown_value", words, offset, length, near and f'"{near}"', hint)


_DOMAIN = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\Z")


def _check_domain(comparison: FactCondition) -> Iterator[TextFault]:
    """Check that a domain is in lower case and without @, and that a suffix begins with a dot."""
    for value, offset, length in _text_constants(comparison):
        plain = value.strip().lower()
        if comparison.op == "matches":
            continue
        if comparison.fact != "email.address" and plain.startswith("@") and comparison.op in (*_EQUAL, "endsWith"):
            yield from _at_sign_fault(comparison, value, plain, offset, length)
        elif plain != value:
            words = f"`{comparison.fact}` is in lower case: {value!r} never matches."
            yield TextFault("capitals", words, offset, length, f'"{plain}"', f'Write "{plain}".')
        elif comparison.op == "endsWith" and _DOMAIN.match(plain) and not plain.startswith((".", "@")):
            yield _suffix_fault(comparison, plain)


def _at_sign_fault(comparison: FactCondition, value: str, plain: str, offset: int, length: int) -> Iterator[TextFault]:
    bare = plain.removeprefix("@").removeprefix("*.")
    words = f"`{comparison.fact}` is the part after the @: {value!r} never matches."
    if comparison.op == "endsWith":
        yield TextFault("domain_at", words, *comparison.span, f'{comparison.fact} == "{bare}"', f'Write == "{bare}".')
    else:
        yield TextFault("domain_at", words, offset, length, f'"{bare}"', f'Write "{bare}".')


def _suffix_fault(comparison: FactCondition, plain: str) -> TextFault:
    words = f'endsWith("{plain}") also matches "evil{plain}": begin the suffix with a dot.'
    if comparison.fact == "email.address":
        fix = f'{comparison.fact}.endsWith("@{plain}")'
    elif "." in plain:
        fix = f'({comparison.fact} == "{plain}" || {comparison.fact}.endsWith(".{plain}"))'
    else:
        fix = f'{comparison.fact}.endsWith(".{plain}")'
    return TextFault("suffix_without_dot", words, *comparison.span, fix, f"Write `{fix}`.", is_error=False)


def _check_country(comparison: FactCondition) -> Iterator[TextFault]:
    for value, offset, length in _text_constants(comparison):
        if re.fullmatch(r"[A-Z]{2}", value) and value != "UK":
            continue
        upper = value.strip().upper()
        fix = "GB" if upper == "UK" else upper if re.fullmatch(r"[A-Z]{2}", upper) else _NAMES.get(upper)
        words = f"`{comparison.fact}` is a two-letter code (DE, CH, US): {value[:40]!r} never matches."
        yield TextFault("country_code", words, offset, length, fix and f'"{fix}"', f'Write "{fix}".' if fix else "")


_NAMES = {
    "GERMANY": "DE",
    "SWITZERLAND": "CH",
    "AUSTRIA": "AT",
    "FRANCE": "FR",
    "ITALY": "IT",
    "SPAIN": "ES",
    "CHINA": "CN",
    "RUSSIA": "RU",
    "INDIA": "IN",
    "JAPAN": "JP",
    "KOREA": "KR",
    "BRAZIL": "BR",
    "CANADA": "CA",
    "IRAN": "IR",
    "NORTH KOREA": "KP",
    "CUBA": "CU",
    "SYRIA": "SY",
    "USA": "US",
    "UNITED STATES": "US",
    "UNITED KINGDOM": "GB",
    "GREAT BRITAIN": "GB",
    "NETHERLANDS": "NL",
}


def _check_repo(comparison: FactCondition, policy: Policy, repos: Sequence[str]) -> Iterator[TextFault]:
    for value, offset, length in _text_constants(comparison):
        if any(glob_matches_path(glob, value) for glob in policy.applies_to):
            continue
        near = next(
            (
                r
                for r in (f"datasets/{value}", value.removeprefix("datasets/"), *_strip_repo_prefix(value))
                if any(glob_matches_path(g, r) for g in policy.applies_to)
            ),
            None,
        ) or suggest(value, repos)
        words = f"this policy does not cover the repo {value[:80]!r}: `request.repo` is ns/name or datasets/ns/name."
        yield TextFault(
            "unknown_repo",
            words,
            offset,
            length,
            near and f'"{near}"',
            f'Did you mean "{near}"?' if near else "",
            is_error=False,
        )


def _strip_repo_prefix(value: str) -> tuple[str, ...]:
    bare = re.sub(r"^(https?://[^/]+/|hf://|models/|model:|dataset:)", "", value)
    return (bare, f"datasets/{bare}")


# ---- labels and roles of forms ---------------------------------------------------------------------------------------


def check_labels(expression: Expression, forms: Mapping[str, GateForm]) -> Iterator[TextFault]:
    """Yield problems for labels that no covered form has, or that only some forms have."""
    for label, node in sorted(expression.labels.items(), key=lambda each: each[0]):
        if collapse_whitespace(label) != label:
            words = f"white space in labels is folded: {label[:60]!r} never matches."
            yield TextFault("label_blanks", words, *node.span, _write_label(node, collapse_whitespace(label)))
            continue
        have = [repo for repo, form in forms.items() if any(field.label == label for field in form.fields)]
        if not forms or len(have) == len(forms):
            continue
        if not have:
            yield _unknown_label(label, node, forms)
        elif not any(each.is_operator("in") and each.children[0].value == label for each in expression.root.walk()):
            without_label = next(repo for repo in forms if repo not in have)
            words = f"the form of {without_label} has no {label[:60]!r}: the rule fails there, and a person decides."
            hint = f'Guard it: `"{label[:60]}" in form && ...`.'
            yield TextFault("label_not_everywhere", words, *node.span, None, hint, is_error=False)


def _hint_label(near: str | None, labels: Sequence[str]) -> str:
    return f"Did you mean {near!r}?" if near else f"The labels are {', '.join(map(repr, labels[:8]))}."


def _unknown_label(label: str, node: ExpressionNode, forms: Mapping[str, GateForm]) -> TextFault:
    labels = sorted({field.label for form in forms.values() for field in form.fields})
    near = suggest(label, labels) or next((each for each in labels if each.lower() == label.lower()), None)
    near = near or _nearest_folded(label, labels)
    repos = ", ".join(list(forms)[:3])
    hint = _hint_label(near, labels)
    words = f"no form of {repos} has the label {label[:60]!r}."
    return TextFault("unknown_label", words, *node.span, near and _write_label(node, near), hint)


def _nearest_folded(label: str, labels: list[str]) -> str | None:
    by_fold = {each.lower(): each for each in labels}
    near = suggest(label.lower(), by_fold)
    return by_fold[near] if near else None


def _write_label(node: ExpressionNode, label: str) -> str:
    """Return what a node that names a label is replaced by: the text in quotes, also for `form.x`."""
    quoted = '"' + label.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"form[{quoted}]" if node.kind is NodeKind.FIELD else quoted


# ---- roles -----------------------------------------------------------------------------------------------------------


def check_roles(
    read: YamlDocument,
    policy: Policy,
    conditions: Mapping[tuple[str, str], Expression],
    forms: Mapping[str, GateForm],
) -> Iterator[PolicyProblem]:
    """Yield problems for `roles:` whose label no form has, and for rules about answers that a covered form lacks."""
    yield from _check_role_labels(read, policy, forms)
    nodes = nodes_of_rules(read)
    reported: set[tuple[str, str]] = set()
    for (rule, key), expression in conditions.items():
        for role in sorted({name.split(".")[1] for name in expression.facts if name.startswith("answers.")}):
            without_role = [repo for repo, form in forms.items() if role not in _roles_of(form, policy)]
            node = value_of(nodes.get(rule), key)
            if not without_role or node is None or (rule, role) in reported:
                continue
            reported.add((rule, role))
            words = (
                f"rule {rule}: the form of {without_role[0]} has no `{role}` field, so the answer is always "
                "missing there."
            )
            hint = f"Name the field: `roles: {{{role}: Label}}`, or remove the repo from `applies_to`."
            yield PolicyProblem("no_such_answer", words, policy.source, position_of(node), is_error=False, hint=hint)


def _roles_of(form: GateForm, policy: Policy) -> frozenset[str]:
    return frozenset(role.value for role in form_roles(form, policy.roles).roles.values())


def _check_role_labels(read: YamlDocument, policy: Policy, forms: Mapping[str, GateForm]) -> Iterator[PolicyProblem]:
    roles = value_of(read.root, "roles")
    labels = sorted({field.label for form in forms.values() for field in form.fields})
    for role, label in policy.roles.items():
        pair = pair_of(roles, role)
        if not forms or label in labels or pair is None or not isinstance(pair[1], Scalar):
            continue
        near = suggest(label, labels) or _nearest_folded(label, labels)
        hint = _hint_label(near, labels)
        words = f"roles: no covered form has the label {label[:60]!r}."
        yield read.source.problem_at(pair[1], "unknown_label", words, near, hint)
