"""Measures the facts about mail domains against a hand-labelled set, and prints the tables for docs/facts.md.

`python tools/facts_table.py` prints the tables. `--errors` names every error of the tuned half: our own lists may be
corrected by that half only.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from hf_gate.policies.facts.fact_values import EmailFacts  # noqa: E402 - found in this checkout, installed or not
from hf_gate.verdicts.drivers.domain_lists import DomainLists  # noqa: E402

LABELLED: Final = ROOT / "tests" / "data" / "mail_domains.txt"
TRUE_OF: Final = {
    "academic": {"university", "institute"},
    "free": {"free", "relay", "disposable"},
    "disposable": {"disposable"},
}


@dataclass(frozen=True, slots=True)
class LabelledDomain:
    """A domain with its kind. `is_held_out`: our own lists were never corrected by it."""

    kind: str
    country: str
    domain: str

    @property
    def is_held_out(self) -> bool:
        return hashlib.sha256(self.domain.encode()).digest()[0] % 2 == 1

    @property
    def script(self) -> str:
        return "Latin" if self.domain.isascii() else "other"


def read_labelled() -> list[LabelledDomain]:
    """Return the complete set."""
    rows = []
    for line in LABELLED.read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            kind, country, *domains = line.split()
            rows += [LabelledDomain(kind, country, domain) for domain in domains]
    return rows


FactLookup = Callable[[LabelledDomain], EmailFacts]


def create_lookup(lists: DomainLists) -> FactLookup:
    """Return a function that computes the facts of an invented address at a domain."""

    def ask(row: LabelledDomain) -> EmailFacts:
        return lists.email(f"somebody@{row.domain}") or EmailFacts("")

    return ask


def find_errors(
    rows: Iterable[LabelledDomain], fact: str, ask: FactLookup
) -> tuple[list[LabelledDomain], list[LabelledDomain]]:
    """Return the rows for which a fact is wrongly true, and those for which it is wrongly false."""
    said = [(row, getattr(ask(row), fact), row.kind in TRUE_OF[fact]) for row in rows]
    return [row for row, is_it, truth in said if is_it and not truth], [
        r for r, is_it, truth in said if truth and not is_it
    ]


def _build_line(name: str, rows: list[LabelledDomain], fact: str, ask: FactLookup) -> str:
    wrong, missed = find_errors(rows, fact, ask)
    positive = sum(row.kind in TRUE_OF[fact] for row in rows)
    return f"| {name} | {len(rows)} | {positive} | {len(missed)} | {len(rows) - positive} | {len(wrong)} |"


def build_overview() -> str:
    """Return the errors of each fact, with the shipped lists alone and with our own, on each half."""
    rows = read_labelled()
    held, tuned = [row for row in rows if row.is_held_out], [row for row in rows if not row.is_held_out]
    shipped = create_lookup(DomainLists(use_own=False))
    blind = create_lookup(DomainLists(without={row.domain for row in held}))
    ours = create_lookup(DomainLists())
    lines = ["| fact, lists, half | domains | true | missed | false | wrongly true |", "|---|--:|--:|--:|--:|--:|"]
    for fact in TRUE_OF:
        lines += [
            _build_line(f"`email.{fact}`, shipped lists, tuned half", tuned, fact, shipped),
            _build_line(f"`email.{fact}`, shipped lists, held-out half", held, fact, shipped),
            _build_line(f"`email.{fact}`, with ours, tuned half", tuned, fact, ours),
            _build_line(
                f"`email.{fact}`, with ours, held-out half, without its own domains in our files", held, fact, blind
            ),
            _build_line(f"`email.{fact}`, as shipped with hf-gate, all", rows, fact, ours),
        ]
    return "\n".join(lines)


def build_country_table() -> str:
    """Return the errors by class and by country, as shipped and for the held-out half."""
    rows = read_labelled()
    ours = create_lookup(DomainLists())
    blind = create_lookup(DomainLists(without={row.domain for row in rows if row.is_held_out}))
    kinds = dict.fromkeys(row.kind for row in rows)
    lines = ["| class | domains | `academic` | `free` | `disposable` |", "|---|--:|--:|--:|--:|"]
    for kind in kinds:
        of = [row for row in rows if row.kind == kind]
        cells = " | ".join(str(sum(getattr(ours(row), fact) for row in of)) for fact in TRUE_OF)
        lines.append(f"| {kind} | {len(of)} | {cells} |")
    lines += ["", "| academic, by country | domains | missed | of them held out | missed |", "|---|--:|--:|--:|--:|"]
    academic = [row for row in rows if row.kind in TRUE_OF["academic"]]
    for country in sorted({row.country for row in academic}):
        of = [row for row in academic if row.country == country]
        held = [row for row in of if row.is_held_out]
        missed, missed_held = find_errors(of, "academic", ours)[1], find_errors(held, "academic", blind)[1]
        lines.append(f"| {country} | {len(of)} | {len(missed)} | {len(held)} | {len(missed_held)} |")
    return "\n".join(lines)


def build_error_list() -> str:
    """Return every domain for which the shipped lists are wrong."""
    rows, ours = read_labelled(), create_lookup(DomainLists())
    lines = []
    for fact in TRUE_OF:
        wrong, missed = find_errors(rows, fact, ours)
        lines.append(f"- `email.{fact}` wrongly true: {_format_names(wrong)}; missed: {_format_names(missed)}.")
    return "\n".join(lines)


def _format_names(rows: list[LabelledDomain]) -> str:
    return ", ".join(f"`{row.domain}` ({row.kind})" for row in rows) or "none"


def main() -> int:
    """Print the tables, or the errors of the tuned half."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--errors", action="store_true", help="name the errors of the tuned half")
    if not parser.parse_args().errors:
        print(build_overview(), build_country_table(), build_error_list(), sep="\n\n")
        return 0
    ask = create_lookup(DomainLists())
    for fact in TRUE_OF:
        wrong, missed = find_errors([row for row in read_labelled() if not row.is_held_out], fact, ask)
        print(f"{fact}: wrongly true: {_format_names(wrong)}\n  missed: {_format_names(missed)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
