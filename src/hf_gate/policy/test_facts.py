"""The facts of `tests:` read as the types that the facts have; whatever a test does not say is unknown in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from .fact_table import CelType, find_declaration
from .model import Fact, Facts, FactValue, Policy, PolicyProblem, PolicyTest, Trust, UnknownReason
from .reference_checks import suggest_value
from .strictyaml import Scalar, ScalarSource, YamlDocument, nodes_of_tests, pair_of, position_of, suggest, value_of

NOT_STATED = "the test does not say"
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?)?(?:Z|[+-]\d{2}:\d{2})?\Z")


class FactValueError(ValueError):
    """A value that a fact cannot have; `fix` is what was probably meant."""

    def __init__(self, message: str, fix: str | None = None) -> None:
        super().__init__(message)
        self.fix = fix


def build_test_facts(test: PolicyTest, known: Mapping[str, CelType]) -> Facts:
    """The facts of a test; those that it does not say are unknown. Raises WrongFactError (never once checked)."""
    values = {name: parse_fact_value(name, value, known) for name, value in test.facts.items()}
    for name in [each for each in values if each.startswith("tables.")]:
        _add_implied_table_facts(values, name, known)
    return {name: _fact(name, values.get(name)) for name in known}


def _add_implied_table_facts(values: dict[str, FactValue], name: str, known: Mapping[str, CelType]) -> None:
    """What a test says of a table in one way holds in the other: listed is `valid`."""
    table = ".".join(name.split(".")[:2])
    if name == f"{table}.state" and table in known:
        values.setdefault(table, values[name] == "valid")
    elif name == table and values[name] is True and f"{table}.state" in known:
        values.setdefault(f"{table}.state", "valid")


def _fact(name: str, value: FactValue | None) -> Fact:
    law = find_declaration(name)
    trust = law.trust if law else Trust.CLAIMED
    if value is None:
        return Fact(None, trust, "test", why=UnknownReason.UNAVAILABLE, note=NOT_STATED)
    return Fact(value, trust, "test")


def parse_fact_value(name: str, written: object, known: Mapping[str, CelType]) -> FactValue:
    """A fact's value from its source text. Raises WrongFactError."""
    if name not in known:
        near = suggest(name, known)
        law = find_declaration(name)
        later = " belongs to a later version" if law is not None and law.is_planned else " is no fact"
        raise FactValueError(f"`{name[:60]}`{later}.", near)
    kind = known[name]
    if kind is CelType.LIST:
        if isinstance(written, str):
            raise FactValueError(f"{name} is a list.", f"[{written}]")
        return tuple(written) if isinstance(written, tuple) else ()
    if kind is CelType.MAP:
        if not isinstance(written, Mapping):
            raise FactValueError(f"{name} is a map: {{Label: text}}.")
        return {str(key): str(value) for key, value in written.items()}
    if not isinstance(written, str):
        raise FactValueError(f"{name} is one value, not a list or a map.")
    return _simple(name, written, kind)


def _simple(name: str, written: str, kind: CelType) -> FactValue:
    if kind is CelType.BOOL:
        if written in ("true", "false"):
            return written == "true"
        low = written.lower()
        fix = "true" if low in ("yes", "on", "1", "true") else "false" if low in ("no", "off", "0", "false") else None
        raise FactValueError(f"{name} is true or false, not `{written[:40]}`.", fix)
    if kind is CelType.INT:
        if re.fullmatch(r"-?\d{1,12}", written):
            return int(written)
        digits = re.match(r"\d{1,12}", written)
        raise FactValueError(f"{name} is a whole number, not `{written[:40]}`.", digits[0] if digits else None)
    if kind is CelType.TIMESTAMP:
        return _moment(name, written)
    law = find_declaration(name)
    if law is not None and law.values is not None and written not in law.values:
        near = suggest_value(law.name, written, law.values)
        raise FactValueError(f"{name} is {', '.join(law.values)}, not `{written[:40]}`.", near)
    return written


def _moment(name: str, written: str) -> datetime:
    if _MOMENT.match(written):
        try:
            found = datetime.fromisoformat(written)
        except ValueError:
            pass
        else:
            return found if found.tzinfo else found.replace(tzinfo=UTC)
    raise FactValueError(f"{name} is a moment, as 2026-11-25 or 2026-11-25T10:00:00Z, not `{written[:40]}`.")


def check_tests(read: YamlDocument, policy: Policy, known: Mapping[str, CelType]) -> Iterator[PolicyProblem]:
    """Tests that name what is not there: facts, values, rules."""
    nodes = nodes_of_tests(read)
    rules = {rule.id: rule for rule in policy.rules}
    for test, node in zip(policy.tests, nodes, strict=False):
        facts = value_of(node, "facts")
        for name, written in test.facts.items():
            try:
                parse_fact_value(name, written, known)
            except FactValueError as problem:
                key, value = pair_of(facts, name) or (None, None)
                at = key if name not in known else value
                if isinstance(at, Scalar):
                    hint = f"Did you mean `{problem.fix}`?" if problem.fix else ""
                    words = f"test {test.name!r}: {problem}"
                    yield ScalarSource(read.source, at).problem("test_fact", words, fix=problem.fix, hint=hint)
                else:
                    yield PolicyProblem(
                        "test_fact", f"test {test.name!r}: {problem}", policy.source, position_of(at or node)
                    )
        rule_node = value_of(value_of(node, "want"), "rule")
        if test.rule and test.rule != "none" and test.rule not in rules and isinstance(rule_node, Scalar):
            near = suggest(test.rule, rules)
            hint = f"Did you mean `{near}`?" if near else ""
            words = f"test {test.name!r}: there is no rule `{test.rule}`."
            yield ScalarSource(read.source, rule_node).problem("test_rule", words, fix=near, hint=hint)
