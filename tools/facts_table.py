"""Measures the facts about mail domains against a set labelled by hand, and writes the figures into docs/facts.md.

`python tools/facts_table.py` prints the table; `--errors` names every error of the half that our own lists may be mended by.
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

from hf_gate.policy.fact_values import EmailFacts  # noqa: E402 - found in this checkout, installed or not
from hf_gate.sources.domain_lists import DomainLists  # noqa: E402

LABELLED: Final = ROOT / "tests" / "data" / "mail_domains.txt"
TRUE_OF: Final = {
    "academic": {"university", "institute"},
    "free": {"free", "relay", "disposable"},
    "disposable": {"disposable"},
}


@dataclass(frozen=True, slots=True)
class Labelled:
    """One domain with what it is. `is_held_out`: our own lists were never mended by it."""

    kind: str
    country: str
    domain: str

    @property
    def is_held_out(self) -> bool:
        return hashlib.sha256(self.domain.encode()).digest()[0] % 2 == 1

    @property
    def script(self) -> str:
        return "Latin" if self.domain.isascii() else "other"


def labelled() -> list[Labelled]:
    """The whole set."""
    rows = []
    for line in LABELLED.read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            kind, country, *domains = line.split()
            rows += [Labelled(kind, country, domain) for domain in domains]
    return rows


Asked = Callable[[Labelled], EmailFacts]


def asker(lists: DomainLists) -> Asked:
    """Asks for an invented address at the domain."""

    def ask(row: Labelled) -> EmailFacts:
        return lists.email(f"somebody@{row.domain}") or EmailFacts("")

    return ask


def errors(rows: Iterable[Labelled], fact: str, ask: Asked) -> tuple[list[Labelled], list[Labelled]]:
    """The rows for which a fact is wrongly true, and wrongly false."""
    said = [(row, getattr(ask(row), fact), row.kind in TRUE_OF[fact]) for row in rows]
    return [row for row, is_it, truth in said if is_it and not truth], [
        r for r, is_it, truth in said if truth and not is_it
    ]


def _line(name: str, rows: list[Labelled], fact: str, ask: Asked) -> str:
    wrong, missed = errors(rows, fact, ask)
    positive = sum(row.kind in TRUE_OF[fact] for row in rows)
    return f"| {name} | {len(rows)} | {positive} | {len(missed)} | {len(rows) - positive} | {len(wrong)} |"


def overview() -> str:
    """Fact by fact: the shipped lists alone, then with our own, on either half."""
    rows = labelled()
    held, tuned = [row for row in rows if row.is_held_out], [row for row in rows if not row.is_held_out]
    shipped = asker(DomainLists(use_own=False))
    blind = asker(DomainLists(without={row.domain for row in held}))
    ours = asker(DomainLists())
    lines = ["| fact, lists, half | domains | true | missed | false | wrongly true |", "|---|--:|--:|--:|--:|--:|"]
    for fact in TRUE_OF:
        lines += [
            _line(f"`email.{fact}`, shipped lists, tuned half", tuned, fact, shipped),
            _line(f"`email.{fact}`, shipped lists, held-out half", held, fact, shipped),
            _line(f"`email.{fact}`, with ours, tuned half", tuned, fact, ours),
            _line(f"`email.{fact}`, with ours, held-out half, without its own domains in our files", held, fact, blind),
            _line(f"`email.{fact}`, as shipped with hf-gate, all", rows, fact, ours),
        ]
    return "\n".join(lines)


def by_country() -> str:
    """Classes and countries: what is missed and what is wrongly true, as hf-gate ships it and as the held-out half sees it."""
    rows = labelled()
    ours = asker(DomainLists())
    blind = asker(DomainLists(without={row.domain for row in rows if row.is_held_out}))
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
        missed, missed_held = errors(of, "academic", ours)[1], errors(held, "academic", blind)[1]
        lines.append(f"| {country} | {len(of)} | {len(missed)} | {len(held)} | {len(missed_held)} |")
    return "\n".join(lines)


def wrong_ones() -> str:
    """Every domain that hf-gate gets wrong as it is shipped."""
    rows, ours = labelled(), asker(DomainLists())
    lines = []
    for fact in TRUE_OF:
        wrong, missed = errors(rows, fact, ours)
        lines.append(f"- `email.{fact}` wrongly true: {_names(wrong)}; missed: {_names(missed)}.")
    return "\n".join(lines)


def _names(rows: list[Labelled]) -> str:
    return ", ".join(f"`{row.domain}` ({row.kind})" for row in rows) or "none"


def main() -> int:
    """Print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--errors", action="store_true", help="name the errors of the half that may be mended")
    if not parser.parse_args().errors:
        print(overview(), by_country(), wrong_ones(), sep="\n\n")
        return 0
    ask = asker(DomainLists())
    for fact in TRUE_OF:
        wrong, missed = errors([row for row in labelled() if not row.is_held_out], fact, ask)
        print(f"{fact}: wrongly true: {_names(wrong)}\n  missed: {_names(missed)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
