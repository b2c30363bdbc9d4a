"""Random conditions and facts, and a simple second implementation of the evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from typing import TypeAlias, TypeVar

from hypothesis import strategies as st
from msgspec.structs import replace

from hf_gate.core.people.grants import Duration
from hf_gate.core.policy_model import Action, Fact, FactValue, Policy, PolicyMode, Rule, Trust, UnknownReason, Verdict
from hf_gate.policies.evaluation.evaluator import CompiledPolicy, compile_policy
from hf_gate.policies.facts.fact_table import fact_types

T = TypeVar("T")
DECLARED = fact_types(tables=("dua", "staff"))
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
ASKED = datetime(2026, 11, 15, 12, 0, tzinfo=UTC)

# ---- drawing ---------------------------------------------------------------------------------------------------------


class Choices:
    """Choices that are read from random bytes. To draw each choice from Hypothesis takes a hundred times as long."""

    def __init__(self, data: bytes) -> None:
        self._bytes = iter(data)

    def choose(self, options: Sequence[T]) -> T:
        return options[next(self._bytes, 0) % len(options)]


def draw_with(size: int, make: Callable[[Choices], T]) -> st.SearchStrategy[T]:
    """What `make` makes of so many random bytes; zeros make the simplest."""
    return st.binary(min_size=size, max_size=size).map(lambda data: make(Choices(data)))


# ---- facts -----------------------------------------------------------------------------------------------------------

VALUES: dict[str, tuple[FactValue, ...]] = {
    "email.free": (True, False),
    "email.academic": (True, False),
    "tables.dua": (True, False),
    "tables.staff": (True, False),
    "person.models": (0, 9),
    "email.domain": ("a.org", "b.org"),
    "person.orgs": ((), ("x",), ("y", "x")),
    "form": ({}, {"Use": "yes"}, {"Use": "no"}),
}


def fact(value: FactValue | None, why: UnknownReason | None = None) -> Fact:
    return Fact(value, Trust.ACCOUNT, "hub", NOW, why)


def facts(*, all_known: bool = False) -> st.SearchStrategy[dict[str, Fact]]:
    unknown = () if all_known else (UnknownReason.NOT_YET, UnknownReason.UNAVAILABLE)

    def make(choices: Choices) -> dict[str, Fact]:
        found = {"request.asked_at": fact(ASKED)}
        for name, values in VALUES.items():
            drawn = choices.choose((*values, *unknown))
            found[name] = fact(None, drawn) if isinstance(drawn, UnknownReason) else fact(drawn)
        return found

    return draw_with(len(VALUES), make)


@st.composite
def complete_facts(draw: st.DrawFn, some: Mapping[str, Fact]) -> dict[str, Fact]:
    """All known, the known ones as before."""
    full = draw(facts(all_known=True))
    return {name: each if each.value is not None else full[name] for name, each in some.items()}


# ---- conditions ------------------------------------------------------------------------------------------------------

LEAVES: dict[str, str] = {  # source to the fact it asks
    "email.free": "email.free",
    "email.academic": "email.academic",
    "tables.dua": "tables.dua",
    "tables.staff": "tables.staff",
    "person.models > 3": "person.models",
    'email.domain == "a.org"': "email.domain",
    'person.orgs.exists(o, o == "x")': "person.orgs",
    'form["Use"] == "yes"': "form",
    '"Use" in form': "form",
    "true": "",
    "false": "",
}


@dataclass(frozen=True)
class Tree:
    op: str  # a leaf's source, or && || ! ?:
    parts: tuple[Tree, ...] = ()

    @property
    def source(self) -> str:
        if not self.parts:
            return self.op
        inner = [f"({part.source})" if part.parts else part.source for part in self.parts]
        if self.op == "!":
            return f"!({self.parts[0].source})"
        return f"{inner[0]} ? {inner[1]} : {inner[2]}" if self.op == "?:" else f" {self.op} ".join(inner)

    @property
    def leaves(self) -> int:
        return sum(part.leaves for part in self.parts) if self.parts else 1

    def value(self, known: Mapping[str, Fact], forced: Mapping[str, bool] | None = None) -> bool | None:
        """Three values by the rules; `forced` are leaves that come out otherwise."""
        if not self.parts:
            return forced[self.op] if forced and self.op in forced else _leaf(self.op, known)
        values = [part.value(known, forced) for part in self.parts]
        if self.op == "!":
            return None if values[0] is None else not values[0]
        if self.op == "?:":
            return None if values[0] is None else values[1] if values[0] else values[2]
        decides = self.op == "||"
        return decides if decides in values else None if None in values else not decides


def _leaf(source: str, known: Mapping[str, Fact]) -> bool | None:
    name = LEAVES[source]
    value = known[name].value if name else None
    match source:
        case "true" | "false":
            return source == "true"
        case _ if value is None:
            return None
        case "person.models > 3":
            return value == 9
        case 'email.domain == "a.org"':
            return value == "a.org"
        case 'person.orgs.exists(o, o == "x")':
            return isinstance(value, tuple) and "x" in value
        case 'form["Use"] == "yes"':
            return value["Use"] == "yes" if isinstance(value, Mapping) and "Use" in value else None  # an error
        case '"Use" in form':
            return isinstance(value, Mapping) and "Use" in value
        case _:
            return value is True


def _tree(choices: Choices, most: int = 6) -> Tree:
    """A tree with at most so many leaves."""
    op = choices.choose(("", "", "", "!", "&&", "||", "?:")) if most > 1 else choices.choose(("", "", "", "!"))
    if not op:
        return Tree(choices.choose(tuple(LEAVES)))
    count = 1 if op == "!" else 3 if op == "?:" or (most > 2 and choices.choose((False, True))) else 2
    if count > most:
        return Tree(choices.choose(tuple(LEAVES)))
    parts: list[Tree] = []
    for left in range(count - 1, -1, -1):
        parts.append(_tree(choices, most - left))
        most -= parts[-1].leaves
    return Tree(op, tuple(parts))


def _tree_or_none(choices: Choices, *, is_often_none: bool = False) -> Tree | None:
    return _tree(choices) if choices.choose((False, False, True) if is_often_none else (False, True)) else None


def trees() -> st.SearchStrategy[Tree]:
    return draw_with(24, _tree)


# ---- policies --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DrawnPolicy:
    """A policy beside the trees that its rules were made of."""

    policy: Policy
    trees: tuple[tuple[Tree | None, Tree | None], ...]

    @property
    def compiled(self) -> CompiledPolicy:
        return compile_policy(self.policy, DECLARED)


def _rule(choices: Choices, place: int) -> tuple[Rule, tuple[Tree | None, Tree | None]]:
    then = choices.choose(tuple(Action))
    when, unless = _tree_or_none(choices), _tree_or_none(choices, is_often_none=True)
    rule = Rule(
        f"r{place}",
        then,
        when=when.source if when else None,
        unless=unless.source if unless else None,
        reason=f"reason {place}" if then in (Action.RESET, Action.REJECT) else None,
        at_most=choices.choose((Duration(5), Duration(30))) if then is Action.WAIT else None,
        after=choices.choose((Action.RESET, Action.REJECT, Action.HUMAN)) if then is Action.WAIT else None,
        until=choices.choose((None, Duration(30), Duration(0, 12))) if then is Action.ACCEPT else None,
        reviewers=choices.choose((1, 2)) if then in (Action.ACCEPT, Action.HUMAN) else 1,
    )
    return rule, (when, unless)


def policies(name: str = "p", mode: PolicyMode | None = PolicyMode.ENFORCE) -> st.SearchStrategy[DrawnPolicy]:
    def make(choices: Choices) -> DrawnPolicy:
        made = [_rule(choices, place) for place in range(choices.choose((1, 2, 3, 4)))]
        policy = Policy(
            name,
            ("acme/*",),
            tuple(rule for rule, _ in made),
            mode=mode or choices.choose(tuple(PolicyMode)),
            judges=choices.choose((("pending",), ("pending", "accepted"))),
            digest=name.ljust(64, "0"),
        )
        return DrawnPolicy(policy, tuple(pair for _, pair in made))

    return draw_with(160, make)


Outcome: TypeAlias = "Action | None"


def wanted_by(rule: Rule) -> Action:
    """The model's own clock: everybody has waited ten days."""
    waited_out = rule.then is Action.WAIT and rule.at_most is not None and rule.at_most.days <= 10
    return rule.after if waited_out and rule.after else rule.then


def outcome(drawn: DrawnPolicy, known: Mapping[str, Fact]) -> tuple[Outcome, bool]:
    """What the policy wants, and whether that is because it is open; by trying all ways of all unknown rules."""
    values = [_condition(pair, known) for pair in drawn.trees]
    soft = [value is None and _is_soft(pair, known) for value, pair in zip(values, drawn.trees, strict=True)]
    ends = _ends(drawn, values)
    if len(ends) == 1:
        return ends.pop(), False
    resolved = product(*[(True, False) if each else (value,) for value, each in zip(values, soft, strict=True)])
    may_settle = any(soft) and any(len(_ends(drawn, list(each))) == 1 for each in resolved)
    return (Action.WAIT if may_settle else Action.HUMAN), True


def _ends(drawn: DrawnPolicy, values: list[bool | None]) -> set[Outcome]:
    found: set[Outcome] = set()
    for way in product(*[(True, False) if value is None else (value,) for value in values]):
        matching = [wanted_by(rule) for rule, value in zip(drawn.policy.rules, way, strict=True) if value]
        found.add(matching[0] if matching else None)
    return found


def _condition(pair: tuple[Tree | None, Tree | None], known: Mapping[str, Fact]) -> bool | None:
    when, unless = pair
    parts = [when or Tree("true"), Tree("!", (unless,)) if unless else Tree("true")]
    return Tree("&&", tuple(parts)).value(known)


def _is_soft(pair: tuple[Tree | None, Tree | None], known: Mapping[str, Fact]) -> bool:
    """Whether it lacks a fact that can still be fetched where it is unknown."""
    return any(_lacks(tree, known) for tree in pair if tree is not None and tree.value(known) is None)


def _lacks(tree: Tree, known: Mapping[str, Fact]) -> bool:
    if not tree.parts:
        name = LEAVES[tree.op]
        return bool(name) and known[name].why is UnknownReason.NOT_YET
    parts = tree.parts
    if tree.op == "?:" and parts[0].value(known) is not None:
        parts = (parts[1] if parts[0].value(known) else parts[2],)
    return any(_lacks(part, known) for part in parts if part.value(known) is None)


def strip_explanation(verdict: Verdict | None) -> Verdict | None:
    """Without what only the slow way tells."""
    if verdict is None:
        return None
    return replace(
        verdict,
        opinions=tuple(replace(each, rule_traces=()) for each in verdict.opinions),
        shadow=tuple(replace(each, rule_traces=()) for each in verdict.shadow),
        abstentions=tuple(replace(each, rule_traces=()) for each in verdict.abstentions),
        wait_end=None,
    )
