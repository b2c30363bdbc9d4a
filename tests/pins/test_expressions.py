"""Every expression of examples, docs and tests: its value, its missing facts, its words; or why it is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Final
from zlib import crc32

from msgspec.structs import replace

from hf_gate.core.policy_model import Fact, FactValue, PolicyMode, Trust, TruthValue, UnknownReason, Verdict
from hf_gate.policies.checks.accept_requirements import accept_requirements
from hf_gate.policies.checks.policy_checker import CheckedPolicy, check_policy
from hf_gate.policies.evaluation.evaluator import Evaluator, compile_policy
from hf_gate.policies.expressions.expression_problems import ExpressionProblem
from hf_gate.policies.expressions.expressions import Expression, bind_facts, compile_expression, compile_lets
from hf_gate.policies.facts.fact_table import CelType, fact_types, find_declaration
from hf_gate.policies.parsing.config_parser import parse_config
from hf_gate.policies.parsing.policy_parser import parse_policy
from hf_gate.policies.words.descriptions import describe_policies
from hf_gate.policies.words.rule_phrases import describe_when
from tests.kits.golden_files import check_golden
from tests.kits.hostile_expressions import BIG, HOSTILE
from tests.kits.paths import ROOT
from tests.kits.wrong_expressions import MISTAKES
from tests.kits.wrong_policies import CONFIG, FORMS, WRONG_POLICIES

DECLARED: Final = fact_types(tables=("dua", "partners", "staff"))
NOW: Final = datetime(2026, 11, 25, 12, tzinfo=UTC)
EXAMPLES: Final = ("consumer", "academic", "medical", "class", "deny")
CORPUS_FILE: Final = Path(__file__).with_name("data") / "expressions.jsonl"
MORE: Final = (  # what the language has, and the other expressions do not use
    "person.models % 3 == 1",
    "person.models * 2 - 1 >= 9",
    "-person.models < 0 && !!email.free",
    "size(person.orgs) == 2 || person.orgs.size() == 0",
    "person.orgs[0] == 'uni'",
    "person.orgs[5] == 'uni'",
    "person.orgs == ['uni', 'lab']",
    "tables.dua.row.lab == 'A'",
    "tables.dua.row['lab'] != 'A'",
    "'lab' in tables.dua.row && tables.dua.row.lab.startsWith('A')",
    "has(form.Use) && form.Use == 'yes'",
    "form.Use.matches('(?i)^y.s$')",
    "form.all(label, form[label].size() < 20)",
    "person.orgs.all(o, o in ['uni', 'lab'] || o.endsWith('x'))",
    "['uni', 'eth'].exists(o, o in person.orgs)",
    "now - request.asked_at < duration('72h')",
    "request.asked_at + duration('24h30m') > now",
    "now - duration('720h') > person.created_at",
    "tables.dua.expires > now && tables.dua.expires < timestamp('2030-01-01T00:00:00+02:00')",
    "duration('1h') + duration('30m') == duration('90m')",
    "1.5 + 1.0 > 2.0",
    "answers.purpose.text.size() > 10 ? email.academic : email.free",
    "email.domain < 'b' && email.domain >= 'a'",
    "(email.free ? 'a' : 'b') + 'c' == 'ac'",
    "r'\\d' == '\\\\d' && \"\\u00fc\" == 'ü'",
    "'''a\nb'''.size() == 3",
    "9223372036854775807 + person.models > 0",
    "0x10 == 16",
    "person.orgs + person.verified_orgs == []",
    "(person.orgs + ['z']).size() == 3",
    "email.free == email.academic",
    "email.free == (email.academic || tables.dua)",
    "email.free != true",
    "!(email.free == true) == false",
    "history.last_decision in ['none', 'reset'] && history.accepted in [0, 1]",
)


def _values(*, is_poor: bool) -> dict[str, FactValue]:
    """A value for each fact; the poor ones differ from the others."""
    found: dict[str, FactValue] = {}
    for name, kind in DECLARED.items():
        declaration = find_declaration(name)
        few = None if declaration is None else declaration.values
        match kind:
            case CelType.BOOL:
                found[name] = not is_poor
            case CelType.INT:
                found[name] = 0 if is_poor else 40 if "days" in name else 4
            case CelType.STRING:
                text = "" if is_poor else {"country": "CH"}.get(name.split(".")[1], "a.org")
                found[name] = text if few is None else few[-1 if is_poor else 0]
            case CelType.TIMESTAMP:
                found[name] = NOW.replace(month=1 if is_poor else 10)
            case CelType.LIST:
                found[name] = () if is_poor else ("uni", "lab")
            case _:
                found[name] = {} if is_poor else {"Use": "yes", "A b": "x", "x": "a", "c": "y", "lab": "A1"}
    return {**found, "now": NOW, "tables.dua.expires": NOW.replace(year=2025 if is_poor else 2027)}


RICH: Final = _values(is_poor=False)
POOR: Final = _values(is_poor=True)
INPUTS: Final[Mapping[str, Mapping[str, FactValue]]] = {
    "rich": RICH,
    "poor": POOR,
    "none": {},
    "half": {name: value for name, value in RICH.items() if crc32(name.encode()) % 2},
    "other half": {name: value for name, value in POOR.items() if not crc32(name.encode()) % 2},
    "big": BIG,
}


# ---- single expressions -----------------------------------------------------------------------------------------------


def _sources() -> Iterator[tuple[str, dict[str, str]]]:
    for line in CORPUS_FILE.read_text("utf-8").splitlines():
        source, lets = json.loads(line)
        yield source, lets
    yield from ((source, {}) for source in (*(each[0] for each in MISTAKES), *HOSTILE.values(), *MORE))


def _describe_truth(truth: TruthValue) -> str:
    if truth.value is not None:
        return str(truth.value).lower()
    return " ".join(("unknown", *sorted(truth.missing), *(["(error)"] if truth.error else [])))


def _describe_tree(expression: Expression) -> str:
    if not expression.op:
        return expression.source
    return f"{expression.op}[{' | '.join(map(_describe_tree, expression.parts))}]"


def _describe(source: str, lets: dict[str, str]) -> Iterator[str]:
    yield f"=== {json.dumps(source[:300])} {json.dumps(lets) if lets else ''}"
    try:
        compiled = compile_lets(lets, DECLARED)
        expression = compile_expression(source, DECLARED, compiled, is_let=False)
    except ExpressionProblem as problem:
        piece = source[problem.offset : problem.offset + problem.length] if not problem.let else f"let {problem.let}"
        yield f"refused {problem.code}: {problem.message}"
        yield f"    at {json.dumps(piece[:80])}{'' if problem.fix is None else f' write {json.dumps(problem.fix)}'}"
        return
    yield f"tree {_describe_tree(expression)[:400]}"
    yield f"words {describe_when(source, lets)[:300]} / {describe_when(source, lets, holds=False)[:300]}"
    about = (*sorted(expression.labels), *(f"{each.fact} {each.op} {each.values}" for each in expression.comparisons))
    if about:
        yield f"constants {about}"[:400]
    for name, facts in _inputs_of(expression):
        yield f"{name}: {_describe_truth(expression.evaluate(bind_facts(facts, compiled)))}"


def _inputs_of(expression: Expression) -> Iterator[tuple[str, Mapping[str, FactValue]]]:
    yield from INPUTS.items()
    if 2 <= len(expression.facts) <= 5:
        for name in sorted(expression.facts):
            yield f"rich without {name}", {other: value for other, value in RICH.items() if other != name}


def test_expressions_give_the_values_and_missing_facts_and_refusals_that_are_written_down() -> None:
    written = dict.fromkeys((source, json.dumps(lets)) for source, lets in _sources())
    check_golden("expressions.txt", (line for source, lets in written for line in _describe(source, json.loads(lets))))


# ---- policies -----------------------------------------------------------------------------------------------------------


def _policies() -> Iterator[tuple[str, CheckedPolicy]]:
    for name in EXAMPLES:
        text = (files("hf_gate") / "examples" / f"{name}.yaml").read_text("utf-8")
        yield name, check_policy(parse_policy(text, f"{name}.yaml"))
    config = parse_config(
        "version: 1\nrepos: ['*/*', 'datasets/*/*']\ntables:\n"
        + "".join(f"  {name}: {{file: {name}.csv, key: email}}\n" for name in ("dua", "partners", "students"))
    ).config
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        blocks = re.findall(r"^```yaml\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
        for number, text in enumerate(block for block in blocks if "policy:" in block and "rules:" in block):
            yield f"{page.name} {number + 1}", check_policy(parse_policy(text, page.name), config=config)


def _facts(values: Mapping[str, FactValue], names: Iterable[str], why: UnknownReason) -> dict[str, Fact]:
    known = {name: Fact(values.get(name), Trust.ACCOUNT, "hub", NOW) for name in names}
    return {name: each if each.value is not None else replace(each, why=why) for name, each in known.items()}


def _describe_verdict(verdict: Verdict | None) -> str:
    if verdict is None:
        return "nothing"
    return f"{verdict.action} by {verdict.rule}, missing {[*verdict.missing]}, needs {[*verdict.needs]}"


def _describe_policy(name: str, checked: CheckedPolicy) -> Iterator[str]:
    yield f"=== {name}"
    for problem in checked.problems:
        at = f"{problem.position.line}:{problem.position.column}"
        yield f"{problem.code} {at} {problem.message} {problem.hint} {problem.fix}"
    if checked.policy is None:
        return
    policy = replace(checked.policy, mode=PolicyMode.ENFORCE, judges=("pending",))
    yield f"digest {checked.policy.digest}"
    yield from describe_policies([checked.policy])
    yield from (f"{each.rule} {each}" for each in accept_requirements(checked.policy, checked.conditions))
    evaluator = Evaluator([compile_policy(policy, checked.declared)])
    inputs = dict(INPUTS) | {
        f"rich without {fact}": {other: value for other, value in RICH.items() if other != fact}
        for fact in sorted(evaluator.facts)
    }
    for given, values in inputs.items():
        for why in UnknownReason if given != "rich" else (UnknownReason.NOT_YET,):
            facts = _facts(values, {*evaluator.facts, "request.asked_at"}, why)
            verdict = evaluator.evaluate(facts, now=NOW)
            traced = evaluator.evaluate_with_traces(facts, now=NOW)
            assert _describe_verdict(verdict) == _describe_verdict(traced)
            yield f"{given}, {why}: {_describe_verdict(verdict)}"


def test_policies_of_examples_and_docs_give_the_verdicts_that_are_written_down() -> None:
    check_golden("verdicts.txt", (line for name, checked in _policies() for line in _describe_policy(name, checked)))


def test_wrong_policies_are_refused_with_the_lines_that_are_written_down() -> None:
    checked = (
        (name, check_policy(parse_policy(text, "p.yaml"), config=CONFIG, forms=FORMS))
        for name, text in WRONG_POLICIES.items()
    )
    check_golden("wrong_policies.txt", (line for name, each in checked for line in _describe_policy(name, each)))
