"""`python -m bench.automation_rate`: measures how many generated requests the example policies decide without a person."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.resources import files

from msgspec.structs import replace

from hf_gate.base.ids import Person, Repo, RepoType
from hf_gate.core.forms.forms import parse_gate_form
from hf_gate.core.policy_model import Action, PolicyMode
from hf_gate.core.requests import AccessRequest
from hf_gate.localhub.population.generator import GeneratedData, GeneratedRequest, generate_data
from hf_gate.policies.checks.policy_checker import check_policy
from hf_gate.policies.drivers.table_files import parse_table
from hf_gate.policies.evaluation.evaluator import Evaluator, compile_policy
from hf_gate.policies.facts.facts import FactReader
from hf_gate.policies.facts.form_facts import form_roles
from hf_gate.policies.facts.tables import Table
from hf_gate.policies.parsing.policy_parser import parse_policy
from hf_gate.verdicts.drivers.domain_lists import DomainLists

TARGETS = {"consumer": 0.99, "class": 0.95, "medical": 0.60}
SIGNED = 0.8  # share of the people who could sign the agreement for medical data and did
NOW = datetime(2026, 11, 25, tzinfo=UTC)
_MS = 1000


@dataclass(slots=True)
class AutomationResult:
    """The verdicts on the pending requests of one world. `pairs` counts (our verdict, the oracle's)."""

    preset: str
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    accepted_hostile: int = 0
    rules: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        return self.pairs.total()

    @property
    def needs_person(self) -> int:
        """The number of requests that a person must review."""
        return sum(count for (ours, _), count in self.pairs.items() if ours == Action.HUMAN)

    @property
    def rate(self) -> float:
        """The share that is decided without a person; requests on hold do not count as decided."""
        waits = sum(count for (ours, _), count in self.pairs.items() if ours == Action.WAIT)
        return 1 - (self.needs_person + waits) / max(1, self.total)

    @property
    def bad_accepts(self) -> int:
        """The number of accepted people whom the oracle would reject."""
        return self.pairs[Action.ACCEPT, "reject"]

    @property
    def agreement(self) -> float:
        """The share of verdicts that equal the oracle's."""
        return sum(count for (ours, oracle), count in self.pairs.items() if ours == oracle) / max(1, self.total)


def expect_decision(row: GeneratedRequest) -> str:
    """Return the decision of the oracle, a sensible reviewer: accept, reset, reject or human.

    The first rule that matches decides.
    """
    quality = row.quality
    persona = row.persona
    if quality is None:
        return "accept"
    if persona.kind == "bot" or row.hostile_kind in {"injection", "evidence"}:
        return "reject"
    is_odd = persona.mail in {"lookalike", "disposable", "odd"}
    if row.hostile_kind is not None or is_odd or "under 18" in row.manner.values():
        return "human"
    for part in row.gate.fields:
        if part.role == "consent" and row.manner.get(part.label) == "not ticked":
            return "reset"
        if part.role in {"purpose", "affiliation"} and quality.get(part.label, "good") != "good":
            return "reset"
    return "human" if row.gate.is_for_institutions and persona.mail not in {"academic", "company"} else "accept"


def measure(preset: str, requests: int = 20_000, repos: int = 3, seed: int = 7) -> AutomationResult:
    """Evaluate every pending request of a generated world with the example for its preset."""
    world = generate_data(seed, requests, repos, preset, int(NOW.timestamp() * _MS))
    checked = check_policy(parse_policy(read_example(preset), f"{preset}.yaml"))
    if checked.policy is None:
        raise ValueError(f"the example {preset} is not a valid policy: {checked.problems[0].message}")
    judge = Evaluator([compile_policy(replace(checked.policy, mode=PolicyMode.ENFORCE), checked.declared)])
    lists = DomainLists()
    reader = FactReader(judge.facts, lists.countries)
    tables = {table.name: table for table in _tables(preset, world)}
    forms = [form_roles(parse_gate_form(gate.card)) for gate in world.gates]
    found = AutomationResult(preset)
    for row in world.rows:
        if row.status != "pending" or row.answers is None:
            continue
        request = build_request(world, row)
        email = lists.email(request.email)
        address = email.address if email else None
        hits = {name: table.find(request.person, address, now=NOW) for name, table in tables.items()}
        facts = reader.compute_facts(request, now=NOW, form=forms[row.repo_index], email=email, tables=hits)
        verdict = judge.evaluate(facts, now=NOW)
        if verdict is None:
            raise ValueError("a pending request has no verdict")
        found.pairs[verdict.action, expect_decision(row)] += 1
        found.rules[verdict.rule] += 1
        if verdict.action is Action.ACCEPT and row.hostile_kind is not None:
            found.accepted_hostile += 1
    return found


def read_example(name: str) -> str:
    """Return the text of a shipped example."""
    return (files("hf_gate") / "examples" / f"{name}.yaml").read_text("utf-8")


def build_request(world: GeneratedData, row: GeneratedRequest) -> AccessRequest:
    """Return a generated row as the client would read it."""
    account, gate = world.accounts[row.person_index], world.gates[row.repo_index]
    return AccessRequest(
        repo=Repo(RepoType(gate.repo_type), gate.namespace, gate.name),
        status=row.status,
        asked_at=datetime.fromtimestamp(row.asked_ms / _MS, UTC),
        person=Person(account.id, account.username, account.fullname),
        request_id=row.request_id,
        email=account.email,
        answers=row.answers or {},
        has_form=row.answers is not None,
        raw_json=_build_record(account.is_pro, account.verified_orgs),
    )


def _build_record(is_pro: bool, orgs: Sequence[str]) -> bytes:
    names = ",".join(f'"{name}"' for name in orgs)
    return f'{{"user":{{"isPro":{str(is_pro).lower()},"verifiedOrgNames":[{names}]}}}}'.encode()


def _tables(preset: str, world: GeneratedData) -> Iterator[Table]:
    """Yield the owner's tables: the roster of the course, or the signed agreements."""
    if preset == "class":
        yield parse_table(_build_csv(_iterate_roster(world), "email"), "roster", ["email"], now=NOW)
    if preset == "medical":
        yield parse_table(_build_csv(_iterate_signers(world), "user_id"), "agreements", ["user_id", "email"], now=NOW)


def _build_csv(keys: Iterator[str], column: str) -> bytes:
    return "\n".join([column, *keys]).encode()


def _iterate_roster(world: GeneratedData) -> Iterator[str]:
    """Yield the university addresses of the students of any university."""
    for account, persona in zip(world.accounts, world.personas, strict=True):
        if persona.mail == "academic" and account.email and persona.kind in ("student", "academic"):
            yield account.email


def _iterate_signers(world: GeneratedData) -> Iterator[str]:
    """Yield the account ids of four of five people with an institution; bots sign nothing."""
    for number, (account, persona) in enumerate(zip(world.accounts, world.personas, strict=True)):
        if persona.kind != "bot" and persona.institution is not None and (number * 7919 % 100) < SIGNED * 100:
            yield account.id


def main(args: Sequence[str]) -> int:
    """Print a line for each preset; return 1 if a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench.automation_rate", description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument(
        "--detail", action="store_true", help="compare every verdict with the oracle's, and count every rule"
    )
    asked = parser.parse_args(args)
    missed = False
    for preset, aim in TARGETS.items():
        touch = measure(preset, asked.requests, seed=asked.seed)
        ok = touch.rate >= aim and touch.bad_accepts == 0
        missed = missed or not ok
        print(
            f"{preset:9} {touch.rate:7.2%} decided without a person (aim {aim:.0%}), "
            f"{touch.bad_accepts} accepts that the oracle would reject, {touch.accepted_hostile} hostile texts "
            f"accepted, {touch.agreement:.1%} as the oracle, of {touch.total:,}"
        )
        if asked.detail:
            for (ours, oracle), count in sorted(touch.pairs.items()):
                print(f"    {ours:7} where the oracle says {oracle:7} {count:7,}")
            print(f"    {dict(touch.rules.most_common())}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
