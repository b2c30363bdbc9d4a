"""Why a rule came out as it did: every branch with its value and its facts, and what would have to be different."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice, product

from ..domain.text import visible
from .expressions import Bound, Expression, Truth
from .model import Because, Facts, Flip, Rule, Tried

WAYS_SHOWN = 3  # of becoming different, the shortest
_TRIED = 64  # combinations looked at

_Way = tuple[Flip, ...]


def traced(
    policy: str,
    rule: Rule,
    condition: tuple[Expression | None, Expression | None],
    truth: Truth,
    bound: Bound,
    facts: Facts,
) -> Tried:
    """One rule with its branches."""
    when, unless = condition
    because = [because_of(when, bound, facts)] if when else []
    if unless:
        inside = because_of(unless, bound, facts)
        because.append(_negated(inside))
    differ: tuple[_Way, ...] = ()
    if truth.value is not True:
        sides = [flips(when, wanted=True, bound=bound)] if when else []
        sides += [flips(unless, wanted=False, bound=bound)] if unless else []
        differ = _all_of(sides)
    return Tried(policy, rule.id, rule.then, truth.value, tuple(because), differ)


def _negated(inside: Because) -> Because:
    value = None if inside.value is None else not inside.value
    return Because(f"!({inside.expr})", value, note=inside.note, parts=(inside,))


def because_of(expression: Expression, bound: Bound, facts: Facts) -> Because:
    """The branch and all below it, in the order written; below a name of `let` stands what it means."""
    truth = expression.evaluate(bound)
    used = {name: facts[name] for name in sorted(expression.facts_here) if name in facts} if not expression.op else {}
    parts = tuple(because_of(part, bound, facts) for part in expression.parts)
    if not expression.op:
        parts = tuple(_let(name, let, bound, facts) for name, let in expression.uses.items())
    return Because(expression.source, truth.value, used, _note(truth, facts), parts)


def _let(name: str, let: Expression, bound: Bound, facts: Facts) -> Because:
    if let.type == "bool":
        inside = because_of(let, bound, facts)
        return inside if inside.parts else Because(inside.expr, inside.value, inside.facts, inside.note)
    used = {each: facts[each] for each in sorted(let.facts_here) if each in facts}
    known = name in bound.values
    note = f"= {visible(str(bound.values[name]), one_line=True)}" if known else _note(let.compute(bound)[1], facts)
    return Because(let.source, None, used, note, tuple(_let(*each, bound, facts) for each in let.uses.items()))


def _note(truth: Truth, facts: Facts) -> str:
    """Why it is unknown: the facts that are missing, or what went wrong."""
    if truth.value is not None:
        return ""
    lacking = [_lacking(name, facts) for name in sorted(truth.missing)]
    if truth.error:
        lacking.append(f"error: {visible(truth.error, one_line=True)[:200]}")
    return "; ".join(lacking)


def _lacking(name: str, facts: Facts) -> str:
    fact = facts.get(name)
    why = fact.why.value if fact is not None and fact.why is not None else "unavailable"
    return f"{name} {why}" + (f" ({visible(fact.note, one_line=True)})" if fact is not None and fact.note else "")


# ---- what would have to be different -------------------------------------------------------------------------------------


def flips(expression: Expression, *, wanted: bool, bound: Bound) -> tuple[_Way, ...]:
    """The shortest ways in which it would come out as wanted; `((),)` when it does."""
    if expression.evaluate(bound).value is wanted:
        return ((),)
    match expression.op:
        case "!":
            return flips(expression.parts[0], wanted=not wanted, bound=bound)
        case "&&" | "||":
            parts = [flips(part, wanted=wanted, bound=bound) for part in expression.parts]
            needs_all = (expression.op == "&&") is wanted
            return _all_of(parts) if needs_all else _shortest(way for part in parts for way in part)
        case "?:":
            condition, yes, no = expression.parts
            ways = [
                _all_of([flips(condition, wanted=taken, bound=bound), flips(branch, wanted=wanted, bound=bound)])
                for taken, branch in ((True, yes), (False, no))
            ]
            return _shortest(way for some in ways for way in some)
        case _:
            return _leaf(expression, wanted, expression.uses, bound)


def _leaf(expression: Expression, wanted: bool, uses: Mapping[str, Expression], bound: Bound) -> tuple[_Way, ...]:
    if len(uses) == 1 and expression.source in uses and uses[expression.source].type == "bool":
        return flips(uses[expression.source], wanted=wanted, bound=bound)
    if expression.source in ("true", "false"):
        return ()  # no request can change it
    return ((Flip(expression.source, wanted),),)


def _all_of(sides: list[tuple[_Way, ...]]) -> tuple[_Way, ...]:
    some = islice(product(*sides), _TRIED)
    joined = (tuple(dict.fromkeys(flip for way in ways for flip in way)) for ways in some)
    return _shortest(way for way in joined if _possible(way))


def _possible(way: _Way) -> bool:
    """Nothing comes out both ways."""
    return all(Flip(flip.expr, not flip.value) not in way for flip in way)


def _shortest(ways: Iterable[_Way]) -> tuple[_Way, ...]:
    return tuple(sorted(dict.fromkeys(ways), key=len)[:WAYS_SHOWN])
