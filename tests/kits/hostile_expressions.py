"""Expressions written to stall, crash or deceive the evaluator; `BIG` facts make them as costly as possible."""

from __future__ import annotations

from hf_gate.core.policy_model import FactValue

BIG: dict[str, FactValue] = {
    "person.orgs": ("a" * 40,) * 5000,
    "person.verified_orgs": ("a" * 40,) * 1000,
    "form": {
        "x": "a" * 100_000,
        "y": "ab" * 50_000,
        "spaces": " " * 8192,
        "digits": "2026-01-01T00:00:00." + "1" * 8000,
    },
    "answers.purpose.text": "a" * 1_000_000,
    "email.domain": "a" * 8192,
    "email.free": False,
}
_TEN = "[1,2,3,4,5,6,7,8,9,10]"
_LONG = "[" + ",".join("1" * 1 for _ in range(600)) + "]"
_X = 'form["x"]'


def _nest_on_the_left() -> str:
    """Return sums that are each the first operand of another: no operand is deep, but the tree is."""
    source = "person.models"
    for number in range(40):
        source = f"({source}{'+1' * (22 + number)})"
    return source + " == 0"


HOSTILE: dict[str, str] = {
    "brackets without end": "(" * 2000 + "true" + ")" * 2000,
    "lists in lists": "[" * 1500 + "]" * 1500 + " == []",
    "maps in maps": '{"a":' * 600 + "1" + "}" * 600 + " == {}",
    "a chain of sums": "+".join(["1"] * 2000) + " > 0",
    "a chain of choices": "email.free ? true : " * 190 + "true",
    "choices in conditions": "(" * 180 + "email.free" + " ? true : false)" * 180,
    "fields of fields": "form" + ".x" * 2000,
    "keys of keys": "form" + '["x"]' * 700,
    "minus minus": "1 " + "- -" * 1300 + "1 == 0 && form.x == 'x'",
    "a megabyte": "email.free || " * 80_000 + "true",
    "a text without end": '"' + "a" * 4000,
    "a text of escapes": '"' + "\\U0010ffff" * 400 + '" == form.x',
    "a number beyond all": "1" * 4000 + " > 0",
    "an exponent beyond all": "1e999999999 > 1.0 && form.x == 'x'",
    "three loops": f"{_TEN}.all(a, {_TEN}.all(b, {_TEN}.all(c, a + b + c > 0)))",
    "nine loops": "".join(f"[1,2].exists({v}, " for v in "abcdefghi") + "false" + ")" * 9,
    "two loops over long lists": f"{_LONG}.all(a, {_LONG}.all(b, a == b))",
    "two loops over facts": "person.orgs.all(a, person.orgs.all(b, a == b))",
    "a list looked up in loops": f"{_LONG}.all(a, {_LONG}.all(b, b in {_LONG}))",
    "long texts compared in loops": f"person.orgs.all(a, person.orgs.all(b, {_X} == {_X}))",
    "texts searched in loops": f"person.orgs.all(a, person.orgs.all(b, {_X}.contains(b)))",
    "texts that grow in a loop": f"person.orgs.map(a, {'+'.join([_X] * 9)}).size() > 3",
    "lists that grow in a loop": f"person.orgs.map(a, {'+'.join(['person.orgs'] * 9)}).size() > 3",
    "lists of lists of lists": "person.orgs.map(a, person.orgs.map(b, person.orgs)).size() > 3",
    "patterns in loops": f'person.orgs.all(a, person.orgs.all(b, {_X}.matches("(a|aa)+$")))',
    "a pattern that backtracks elsewhere": f'{_X}.matches("^(a+)+$b")',
    "a pattern that explodes": f'{_X}.matches("((a{{1000}}){{1000}}){{1000}}")',
    "a pattern of many repeats": f'{_X}.matches("' + "(a?){50}" * 30 + '")',
    "a pattern of two thousand letters": f'{_X}.matches("' + "a?" * 1000 + '")',
    "a pattern of all letters": f'{_X}.matches("' + "[\\\\pL\\\\pN]{90}" * 8 + '")',
    "all repeats that are allowed": f'{_X}.matches("' + "(a?){99}" * 8 + 'b$")',
    "repeats of repeats": f'{_X}.matches("((((((((a{{9}}){{9}}){{9}}){{9}}){{9}}){{9}}){{9}}){{9}})b")',
    "any of anything": f'{_X}.matches("' + "(.*a)?" * 40 + 'b$")',
    "ninety patterns": " || ".join([f'{_X}.matches("(a|b|ab)*(c|d)$")'] * 90),
    "a pattern from a stranger": f'{_X}.matches(form["y"])',
    "a broken pattern": f'{_X}.matches("(((((")',
    "letters from the right": "email.free \u202e|| true",
    "a letter without width": "email\u200b.free || true",
    "a letter of another script": "\u0435mail.free || true",
    "wide letters": "\uff54\uff52\uff55\uff45",
    "a null": "true\x00 || false",
    "half a letter": '"\ud800" == form.x || true',
    "asking for the unknown": "!has(tables.dua)",
    "asking for the unknown, spread": "!has /*\n*/ (tables.dua)",
    "asking for the unknown, over lines": "!has // x\n (tables.dua)",
    "the engine's own functions": "@not_strictly_false(tables.dua)",
    "the engine's old functions": "__not_strictly_false__(tables.dua)",
    "bytes of a text": "bytes(form.x) == b'x' || true",
    "any type at all": "dyn(tables.dua) == dyn('x') || true",
    "messages": "google.protobuf.BoolValue{value: true} == true",
    "messages that are null": "google.protobuf.BoolValue{} == null",
    "null in a list": "[tables.dua, null][1] == null",
    "types of facts": "type(tables.dua) == bool || type(null) == null_type",
    "a loop that hides facts": "[true].exists(email, email)",
    "out of brackets": "tables.dua) || (true",
    "a division by nothing": "1 / (size(form) - size(form)) > 0",
    "an overflow": "9223372036854775807 + size(form) > 0",
    "a moment beyond time": 'now + duration("87600000h") > now && duration("999999999999999999h") > duration("1h")',
    "a fact as a function": "email.free()",
    "a list of everything": "[tables.dua, form, 1, 'a', 2.0, b'c'].size() == 6",
    "sums in brackets on the left": _nest_on_the_left(),
    "marks that are never closed": '"\\' * 2000,
    "unknown facts in a loop": f"{_LONG}.exists(i, {' || '.join(['tables.dua', 'email.academic'] * 60)})",
    "unknown sums in a loop": f"{_LONG}.exists(i, {'+'.join(['person.models', 'person.datasets'] * 30)} == i)",
    "spaces that are no time": f'{_LONG}.exists(i, timestamp(form["spaces"]) > now)',
    "digits that are no time": f'{_LONG}.exists(i, timestamp(form["digits"]) > now)',
    "a key that is not there": 'form["nobody"] == "" || form["no"] != ""',
}
