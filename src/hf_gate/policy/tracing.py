"""Why a rule came out as it did: every branch with its value and its facts, and what would have to be different."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice, product

from ..domain.text import visible
from .expressions import Bound, Expression, Truth
from .model import Because, Facts, Flip, Rule, Tried

WAYS_SHOWN = 3  # of becoming different, the shortest
_KEPT = 12  # while they are put together
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
    differ: tuple[_Way, ...] = ()
    if truth.value is not True:
        sides = [flips(when, wanted=True, bound=bound)] if when else []
        sides += [flips(unless, wanted=False, bound=bound)] if unless else []
        differ = tuple(way for way in _all_of(sides) if _would_match(condition, way, bound))[:WAYS_SHOWN]
    return Tried(policy, rule.id, rule.then, truth.value, branches(condition, bound, facts), differ)


def branches(condition: tuple[Expression | None, Expression | None], bound: Bound, facts: Facts) -> tuple[Because, ...]:
    """Both sides of a rule's condition."""
    when, unless = condition
    because = [because_of(when, bound, facts)] if when else []
    if unless:
        because.append(_negated(because_of(unless, bound, facts)))
    return tuple(because)


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
            return _leaf(expression, bound, wanted=wanted)


def _leaf(expression: Expression, bound: Bound, *, wanted: bool) -> tuple[_Way, ...]:
    let = _let_behind(expression)
    if let is not None:
        return flips(let, wanted=wanted, bound=bound)
    if expression.source in ("true", "false"):
        return ()  # no request can change it
    return ((Flip(expression.source, wanted),),)


def _let_behind(expression: Expression) -> Expression | None:
    """The true-or-false `let` that this leaf is, and nothing more."""
    let = expression.uses.get(expression.source)
    return let if let is not None and let.type == "bool" else None


def _would_match(condition: tuple[Expression | None, Expression | None], way: _Way, bound: Bound) -> bool:
    """Whether it does what it promises: a branch may stand twice, and be good in one place as it is."""
    when, unless = condition
    forced = {flip.expr: flip.value for flip in way}
    held = when is None or _with(when, forced, bound) is True
    return held and (unless is None or _with(unless, forced, bound) is False)


def _with(expression: Expression, forced: Mapping[str, bool], bound: Bound) -> bool | None:
    """What would come out if these leaves came out so."""
    if not expression.op:
        let = _let_behind(expression)
        if let is not None:
            return _with(let, forced, bound)
        return forced[expression.source] if expression.source in forced else expression.evaluate(bound).value
    values = [_with(part, forced, bound) for part in expression.parts]
    match expression.op:
        case "!":
            return None if values[0] is None else not values[0]
        case "?:":
            return None if values[0] is None else values[1] if values[0] else values[2]
        case _:
            decides = expression.op == "||"
            return decides if decides in values else None if None in values else not decides


def _all_of(sides: list[tuple[_Way, ...]]) -> tuple[_Way, ...]:
    some = islice(product(*sides), _TRIED)
    joined = (tuple(dict.fromkeys(flip for way in ways for flip in way)) for ways in some)
    return _shortest(way for way in joined if _possible(way))


def _possible(way: _Way) -> bool:
    """Nothing comes out both ways."""
    return all(Flip(flip.expr, not flip.value) not in way for flip in way)


def _shortest(ways: Iterable[_Way]) -> tuple[_Way, ...]:
    return tuple(sorted(dict.fromkeys(ways), key=len)[:_KEPT])
