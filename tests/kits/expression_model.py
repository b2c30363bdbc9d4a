"""Random typed expressions, and a reference interpreter that follows the table of three values in docs/policies.md."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from hf_gate.core.policy_model import FactValue
from hf_gate.policies.facts.fact_table import fact_types
from tests.kits.evaluation_model import Choices

DECLARED: Final = fact_types(tables=("dua",))
LETS: Final = {
    "trusted": "tables.dua || email.academic",
    "where": "email.domain",
    "tried": "request.attempt",
    "answers_here": "form",
}
_ITEM: Final = "item"
_INT_LIMIT: Final = 1 << 63


@dataclass(frozen=True)
class Unknown:
    """An unknown value: the facts that it lacks, and whether something in it failed."""

    missing: frozenset[str] = frozenset()
    has_error: bool = False


ERROR: Final = Unknown(has_error=True)


@dataclass(frozen=True)
class Term:
    """A node of a random expression. `value` is a constant, or the name of a fact, `let` or method."""

    op: str
    parts: tuple[Term, ...] = ()
    value: Any = None

    @property
    def source(self) -> str:  # noqa: C901, PLR0911 - one case for each operator
        parts = [part.source for part in self.parts]
        match self.op:
            case "const":
                return _write(self.value)
            case "name":
                return str(self.value)
            case "!":
                return f"!({parts[0]})"
            case "negative":
                return f"-({parts[0]})"
            case "?:":
                return f"(({parts[0]}) ? ({parts[1]}) : ({parts[2]}))"
            case "size":
                return f"size({parts[0]})"
            case "duration" | "timestamp":
                return f'{self.op}("{self.value}")'
            case "[]":
                return f"{parts[0]}[{parts[1]}]"
            case "has":
                return f"has({parts[0]}.{self.value})"
            case "method":
                return f"({parts[0]}).{self.value}({parts[1]})"
            case "exists" | "all":
                return f"{parts[0]}.{self.op}({_ITEM}, {parts[1]})"
            case _:
                return "(" + f" {self.op} ".join(f"({part})" for part in parts) + ")"

    @property
    def names(self) -> frozenset[str]:
        own = frozenset((str(self.value),)) if self.op == "name" else frozenset[str]()
        return own.union(*(part.names for part in self.parts))


def _write(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_write, value))}]"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    return str(value)


# ---- the interpreter -------------------------------------------------------------------------------------------------


def interpret(term: Term, known: Mapping[str, FactValue], item: object = None) -> Any:  # noqa: C901, PLR0911 - as above
    """Return the value of an expression, or Unknown."""
    match term.op:
        case "const":
            return term.value
        case "name":
            return _read_name(term.value, known, item)
        case "duration":
            return timedelta(hours=int(term.value.removesuffix("h")))
        case "timestamp":
            return datetime.fromisoformat(term.value)
        case "!":
            found = interpret(term.parts[0], known, item)
            return found if isinstance(found, Unknown) else not found
        case "&&" | "||":
            return _decide(term.op, [interpret(part, known, item) for part in term.parts])
        case "?:":
            test, *branches = term.parts
            chosen = interpret(test, known, item)
            if isinstance(chosen, Unknown):
                return _lack([chosen, *(interpret(branch, known, item) for branch in branches)])
            return interpret(branches[0 if chosen else 1], known, item)
        case "exists" | "all":
            many = interpret(term.parts[0], known, item)
            if isinstance(many, Unknown):
                names = [_read_name(each, known, None) for each in term.parts[1].names if each != _ITEM]
                return _lack_strictly([many, *names])
            rounds = [interpret(term.parts[1], known, each) for each in many]
            return _decide("||" if term.op == "exists" else "&&", rounds)
        case _:
            return _apply_strictly(term, [interpret(part, known, item) for part in term.parts])


def _read_name(name: str, known: Mapping[str, FactValue], item: object) -> Any:
    if name == _ITEM:
        return item
    if name == "trusted":
        parts = tuple(Term("name", value=part) for part in ("tables.dua", "email.academic"))
        return interpret(Term("||", parts), known)
    name = LETS.get(name, name)
    value = known.get(name, Unknown(frozenset((name,))))
    return list(value) if isinstance(value, tuple) else value


def _decide(op: str, values: list[Any]) -> Any:
    """One part that decides is enough, whatever the others are; otherwise all must be known."""
    decisive = op == "||"
    if any(value is decisive for value in values):
        return decisive
    return _lack(values) if any(isinstance(value, Unknown) for value in values) else not decisive


def _lack(values: list[Any]) -> Unknown:
    unknown = [value for value in values if isinstance(value, Unknown)]
    return Unknown(frozenset[str]().union(*(each.missing for each in unknown)), any(each.has_error for each in unknown))


def _lack_strictly(values: list[Any]) -> Unknown:
    """A fact that is missing is reported before an error."""
    lack = _lack(values)
    return Unknown(lack.missing, lack.has_error and not lack.missing)


def _apply_strictly(term: Term, values: list[Any]) -> Any:
    """Whatever uses an unknown value is unknown."""
    if any(isinstance(value, Unknown) for value in values):
        return _lack_strictly(values)
    try:
        found = _STRICT[term.op](*values) if term.op not in ("method", "has") else _call(term, values)
    except (LookupError, OverflowError, ZeroDivisionError):
        return ERROR
    is_too_large = type(found) is int and not -_INT_LIMIT <= found < _INT_LIMIT
    return ERROR if is_too_large else found


def _call(term: Term, values: list[Any]) -> bool:
    if term.op == "has":
        return term.value in values[0]
    text, part = values
    methods: dict[str, Callable[[], bool]] = {
        "contains": lambda: part in text,
        "startsWith": lambda: text.startswith(part),
        "endsWith": lambda: text.endswith(part),
    }
    return methods[term.value]()


def _index(many: Any, key: Any) -> Any:
    if isinstance(many, list) and key < 0:
        raise IndexError(key)
    return many[key]


def _modulo(left: int, right: int) -> int:
    """Return the remainder with the sign of the first number."""
    return abs(left) % abs(right) * (1 if left >= 0 else -1)


_STRICT: Final[Mapping[str, Callable[..., Any]]] = {
    "negative": operator.neg, "-": operator.sub,
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "+": operator.add, "*": operator.mul, "%": _modulo, "size": len, "[]": _index,
    "in": lambda one, many: one in many,
}  # fmt: skip


# ---- random expressions ----------------------------------------------------------------------------------------------

WORDS: Final = ("", "a", "ab", "b a", "Accept", "k s", "ü", "a.b", "a\nb", "-", "x" * 40)
_ORDER: Final = ("==", "!=", "<", "<=", ">", ">=")


def const(value: object) -> Term:
    return Term("const", value=value)


def name(text: str) -> Term:
    return Term("name", value=text)


def make_condition(choices: Choices, *, in_loop: bool = False, depth: int = 3) -> Term:
    kinds = ("leaf", "leaf", "!", "&&", "||", "?:", "==", "loop")
    kind = choices.choose(kinds) if depth else "leaf"
    if kind == "loop" and not in_loop:
        many = choices.choose((name("form"), name("person.orgs"), name("answers_here"), const(["a", "ab"])))
        return Term(choices.choose(("exists", "all")), (many, make_condition(choices, in_loop=True, depth=depth - 1)))
    if kind in ("leaf", "loop"):
        return _make_leaf(choices, in_loop, depth)
    parts = [make_condition(choices, in_loop=in_loop, depth=depth - 1) for _ in range(3)]
    if kind == "!":
        return Term("!", (parts[0],))
    return Term(
        kind, tuple(parts if kind == "?:" else parts[: choices.choose((2, 2, 3) if kind in ("&&", "||") else (2,))])
    )


def _make_leaf(choices: Choices, in_loop: bool, depth: int) -> Term:
    text, other = (_make_text(choices, in_loop, depth) for _ in range(2))
    number, second = (_make_number(choices, in_loop, depth) for _ in range(2))
    moment, later = (_make_moment(choices) for _ in range(2))
    order, method = choices.choose(_ORDER), choices.choose(("contains", "startsWith", "endsWith"))
    many = choices.choose((name("form"), name("person.orgs"), const(["a", "ab", "ü"])))
    return choices.choose((
        name(choices.choose(("email.free", "tables.dua", "trusted"))), const(value=True), const(value=False),
        Term(order, (text, other)), Term(order, (number, second)), Term(order, (moment, later)),
        Term(order, (Term("-", (moment, later)), Term("duration", value=choices.choose(("0h", "24h", "720h"))))),
        Term("in", (text, many)), Term("in", (number, const([0, 3]))), Term("method", (text, other), method),
        Term("has", (name("form"),), "a"), Term("==", (name("person.orgs"), const(["a"]))),
    ))  # fmt: skip


def _make_text(choices: Choices, in_loop: bool, depth: int) -> Term:
    texts = [name("email.domain"), name("answers.purpose.text"), name("where"), const(choices.choose(WORDS))]
    texts += [Term("[]", (name("form"), const("a"))), Term("[]", (name("person.orgs"), const(0)))]
    if in_loop:
        texts += [name(_ITEM), name(_ITEM), Term("[]", (name("form"), name(_ITEM)))]
    elif depth:
        texts.append(Term("+", (_make_text(choices, in_loop, 0), _make_text(choices, in_loop, 0))))
    if depth and choices.choose((False, False, True)):
        test = make_condition(choices, in_loop=in_loop, depth=0)
        return Term("?:", (test, choices.choose(texts), choices.choose(texts)))
    return choices.choose(texts)


def _make_number(choices: Choices, in_loop: bool, depth: int) -> Term:
    numbers = [name("person.models"), name("request.attempt"), name("tried"), const(choices.choose((0, 3, 7)))]
    numbers += [const(9223372036854775807), Term("negative", (const(1),))]
    numbers.append(
        Term("size", (choices.choose((name("form"), name("person.orgs"), _make_text(choices, in_loop, 0))),))
    )
    if depth:
        pair = (_make_number(choices, in_loop, 0), _make_number(choices, in_loop, 0))
        numbers.append(Term(choices.choose(("+", "-", "*", "%")), pair))
    return choices.choose(numbers)


def _make_moment(choices: Choices) -> Term:
    fixed = Term("timestamp", value="2026-10-01T00:00:00+00:00")
    moment = choices.choose((name("now"), name("request.asked_at"), fixed))
    shift = Term("duration", value=choices.choose(("1h", "720h")))
    return choices.choose((moment, Term(choices.choose(("+", "-")), (moment, shift))))


_ASKED: Final = (datetime(2026, 11, 24, 12, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))


def make_facts(choices: Choices, *, all_known: bool = False) -> dict[str, FactValue]:
    def word() -> str:
        return choices.choose(WORDS)

    unknown = () if all_known else (None,)
    found: dict[str, FactValue | None] = {
        "email.free": choices.choose((True, False, *unknown)),
        "email.academic": choices.choose((True, False, *unknown)),
        "tables.dua": choices.choose((True, False, *unknown)),
        "person.models": choices.choose((0, 3, 4, *unknown)),
        "request.attempt": choices.choose((1, 3, 9223372036854775807, *unknown)),
        "email.domain": choices.choose((word(), *unknown)),
        "answers.purpose.text": choices.choose((word(), word(), *unknown)),
        "person.orgs": choices.choose(((), (word(),), (word(), word()), *unknown)),
        "form": choices.choose(({}, {"a": word()}, {word(): word(), "b": word()}, *unknown)),
        "now": choices.choose((datetime(2026, 11, 25, 12, tzinfo=UTC), *unknown)),
        "request.asked_at": choices.choose((*_ASKED, *unknown)),
    }  # fmt: skip
    return {key: value for key, value in found.items() if value is not None}
