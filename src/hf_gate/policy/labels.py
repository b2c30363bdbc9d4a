"""What a policy asks of forms against the forms that its repos really have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ..domain.forms import GateForm, fold
from .constants import ExpressionFault
from .expressions import Expression
from .form_facts import form_roles
from .model import Policy, PolicyProblem, SourcePosition
from .places import nodes_of_rules, pair_of, value_of
from .strictyaml import Scalar, ScalarSource, YamlDocument, suggest


def check_labels(expression: Expression, source: str, forms: Mapping[str, GateForm]) -> Iterator[ExpressionFault]:
    """Labels that no governed form has, or that some of them lack."""
    for label in sorted(expression.labels):
        at = _label_at(source, label)
        if fold(label) != label:
            yield ExpressionFault("label_blanks", f"blanks of labels are folded: {label[:60]!r} is never there.", *at, f'"{_escape(fold(label))}"')  # fmt: skip
            continue
        have = [repo for repo, form in forms.items() if any(field.label == label for field in form.fields)]
        if not forms or len(have) == len(forms):
            continue
        if not have:
            yield _unknown_label(label, at, forms)
        elif not re.search(rf"[\"']{re.escape(_escape(label))}[\"']\s+in\s+form", source):
            lacks = next(repo for repo in forms if repo not in have)
            words = f"the form of {lacks} has no {label[:60]!r}: there this is an error, and a person decides."
            hint = f'Guard it: `"{label[:60]}" in form && ...`.'
            yield ExpressionFault("label_not_everywhere", words, *at, None, hint, is_error=False)


def _unknown_label(label: str, at: tuple[int, int], forms: Mapping[str, GateForm]) -> ExpressionFault:
    labels = sorted({field.label for form in forms.values() for field in form.fields})
    near = suggest(label, labels) or next((each for each in labels if each.lower() == label.lower()), None)
    near = near or _nearest_folded(label, labels)
    repos = ", ".join(list(forms)[:3])
    hint = f"Did you mean {near!r}?" if near else f"Its labels are {', '.join(repr(each) for each in labels[:8])}."
    words = f"no form of {repos} asks for {label[:60]!r}."
    return ExpressionFault("unknown_label", words, *at, near and f'"{_escape(near)}"', hint)


def _nearest_folded(label: str, labels: list[str]) -> str | None:
    by_fold = {each.lower(): each for each in labels}
    near = suggest(label.lower(), by_fold)
    return by_fold[near] if near else None


def _label_at(source: str, label: str) -> tuple[int, int]:
    for written in (f'"{_escape(label)}"', f"'{label}'"):
        at = source.find(written)
        if at >= 0:
            return at, len(written)
    return 0, len(source)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


# ---- roles -----------------------------------------------------------------------------------------------------------


def check_roles(
    read: YamlDocument,
    policy: Policy,
    conditions: Mapping[tuple[str, str], Expression],
    forms: Mapping[str, GateForm],
) -> Iterator[PolicyProblem]:
    """`roles:` that name no label, and rules about answers that a governed form does not ask for."""
    yield from _check_role_labels(read, policy, forms)
    nodes = nodes_of_rules(read)
    said: set[tuple[str, str]] = set()
    for (rule, key), expression in conditions.items():
        for role in sorted({name.split(".")[1] for name in expression.facts if name.startswith("answers.")}):
            lacks = [repo for repo, form in forms.items() if role not in _roles_of(form, policy)]
            node = value_of(nodes.get(rule), key)
            if not lacks or node is None or (rule, role) in said:
                continue
            said.add((rule, role))
            words = (
                f"rule {rule}: the form of {lacks[0]} has no field for `{role}`, so its answer is always missing there."
            )
            hint = f"Say which one it is: `roles: {{{role}: Label}}`, or leave the repo out."
            yield PolicyProblem(
                "no_such_answer",
                words,
                policy.source,
                SourcePosition(node.line, node.column),
                is_error=False,
                hint=hint,
            )


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
        hint = f"Did you mean {near!r}?" if near else f"Labels are {', '.join(repr(each) for each in labels[:8])}."
        words = f"roles: no governed form has the label {label[:60]!r}."
        yield ScalarSource(read.source, pair[1]).problem("unknown_label", words, fix=near, hint=hint)
