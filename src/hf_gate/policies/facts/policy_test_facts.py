"""Reads the facts of `tests:` as typed values. A fact that a test does not state is unknown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from hf_gate.base.yaml_parser import Scalar
from hf_gate.core.parsing.literals import InvalidLiteralError
from hf_gate.core.parsing.strict_yaml import YamlDocument, nodes_of_tests, pair_of, suggest, value_of
from hf_gate.core.policy_model import Fact, Facts, FactValue, Policy, PolicyProblem, PolicyTest, Trust, UnknownReason
from hf_gate.policies.checks.reference_checks import suggest_value

from .fact_table import CelType, find_declaration

NOT_STATED = "the test does not state it"
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?)?(?:Z|[+-]\d{2}:\d{2})?\Z")


class FactValueError(InvalidLiteralError):
    """A value that a fact cannot have; `fix` is the value that was probably meant."""


def build_test_facts(test: PolicyTest, known: Mapping[str, CelType]) -> Facts:
    """Return the facts of a test. Raises FactValueError for an invalid value, which a checked policy does not have."""
    values = {name: parse_fact_value(name, value, known) for name, value in test.facts.items()}
    for name in [each for each in values if each.startswith("tables.")]:
        _add_implied_table_facts(values, name, known)
    return {name: _make_fact(name, values.get(name)) for name in known}


def _add_implied_table_facts(values: dict[str, FactValue], name: str, known: Mapping[str, CelType]) -> None:
    """Derive `tables.x` from `tables.x.state` and the reverse: a listed person has the state `valid`."""
    table = ".".join(name.split(".")[:2])
    if name == f"{table}.state" and table in known:
        values.setdefault(table, values[name] == "valid")
    elif name == table and values[name] is True and f"{table}.state" in known:
        values.setdefault(f"{table}.state", "valid")


def _make_fact(name: str, value: FactValue | None) -> Fact:
    declaration = find_declaration(name)
    trust = declaration.trust if declaration else Trust.CLAIMED
    if value is None:
        return Fact(None, trust, "test", why=UnknownReason.UNAVAILABLE, note=NOT_STATED)
    return Fact(value, trust, "test")


def parse_fact_value(name: str, written: object, known: Mapping[str, CelType]) -> FactValue:
    """Parse the value of a fact. Raises FactValueError."""
    if name not in known:
        raise FactValueError(f"`{name[:60]}` is not a fact.", suggest(name, known))
    kind = known[name]
    if kind is CelType.LIST:
        if isinstance(written, str):
            raise FactValueError(f"{name} must be a list.", f"[{written}]")
        return tuple(written) if isinstance(written, tuple) else ()
    if kind is CelType.MAP:
        if not isinstance(written, Mapping):
            raise FactValueError(f"{name} must be a map: {{Label: text}}.")
        return {str(key): str(value) for key, value in written.items()}
    if not isinstance(written, str):
        raise FactValueError(f"{name} must be one value, not a list or a map.")
    return parse_scalar(name, written, kind)


def parse_scalar(name: str, written: str, kind: CelType) -> FactValue:
    """Parse the value of a fact that is not a list or a map. Raises FactValueError."""
    if kind is CelType.BOOL:
        if written in ("true", "false"):
            return written == "true"
        low = written.lower()
        fix = "true" if low in ("yes", "on", "1", "true") else "false" if low in ("no", "off", "0", "false") else None
        raise FactValueError(f"{name} must be true or false, not `{written[:40]}`.", fix)
    if kind is CelType.INT:
        if re.fullmatch(r"-?\d{1,12}", written):
            return int(written)
        digits = re.match(r"\d{1,12}", written)
        raise FactValueError(f"{name} must be a whole number, not `{written[:40]}`.", digits[0] if digits else None)
    if kind is CelType.TIMESTAMP:
        return _parse_timestamp(name, written)
    declaration = find_declaration(name)
    if declaration is not None and declaration.values is not None and written not in declaration.values:
        near = suggest_value(declaration.name, written, declaration.values)
        raise FactValueError(f"{name} must be one of {', '.join(declaration.values)}, not `{written[:40]}`.", near)
    return written


def _parse_timestamp(name: str, written: str) -> datetime:
    if _MOMENT.match(written):
        try:
            found = datetime.fromisoformat(written)
        except ValueError:
            pass
        else:
            return found if found.tzinfo else found.replace(tzinfo=UTC)
    raise FactValueError(f"{name} must be a date or a timestamp such as 2026-11-25T10:00:00Z, not `{written[:40]}`.")


def check_tests(read: YamlDocument, policy: Policy, known: Mapping[str, CelType]) -> Iterator[PolicyProblem]:
    """Yield problems for tests that use unknown facts, values or rules."""
    nodes = nodes_of_tests(read)
    rules = {rule.id: rule for rule in policy.rules}
    for test, node in zip(policy.tests, nodes, strict=False):
        facts = value_of(node, "facts")
        for name, written in test.facts.items():
            try:
                parse_fact_value(name, written, known)
            except FactValueError as problem:
                key, value = pair_of(facts, name) or (None, None)
                at = (key if name not in known else value) or node
                hint = f"Did you mean `{problem.fix}`?" if problem.fix else ""
                yield read.source.problem_at(at, "test_fact", f"test {test.name!r}: {problem}", problem.fix, hint)
        rule_node = value_of(value_of(node, "want"), "rule")
        if test.rule and test.rule != "none" and test.rule not in rules and isinstance(rule_node, Scalar):
            near = suggest(test.rule, rules)
            hint = f"Did you mean `{near}`?" if near else ""
            words = f"test {test.name!r}: unknown rule `{test.rule}`."
            yield read.source.problem_at(rule_node, "test_rule", words, near, hint)
