"""A policy file's text as a Policy, or what is wrong with it: shape and spelling only; `checking` reads expressions."""

from __future__ import annotations

from collections.abc import Mapping as Map
from dataclasses import dataclass, field, replace

from ..domain.lifecycle import Status
from .canonical import policy_digest
from .fact_table import ANSWER_ROLES
from .model import Policy, PolicyMode, PolicyProblem, PolicyTest, Rule
from .rules import ACTION_SYNONYMS, ACTIONS, read_rules
from .shape import NodeReader
from .spelling import parse_glob
from .strictyaml import Mapping, Node, Scalar, Sequence, SourceText, YamlDocument, position_of, read_yaml
from .tablespec import read_tables

KEYS = ("version", "policy", "applies_to", "mode", "judges", "tables", "roles", "let", "rules", "tests")
_SYNONYMS = {
    "name": "policy",
    "id": "policy",
    "repos": "applies_to",
    "repo": "applies_to",
    "repositories": "applies_to",
    "targets": "applies_to",
    "appliesto": "applies_to",
    "lists": "tables",
    "vars": "let",
    "variables": "let",
    "define": "let",
    "checks": "rules",
    "statuses": "judges",
    "status": "judges",
    "examples": "tests",
}
_RESERVED = frozenset({"request", "person", "email", "form", "answers", "tables", "history", "terms", "now"}) | {
    *(
        "as",
        "break",
        "const",
        "continue",
        "else",
        "false",
        "for",
        "function",
        "has",
        "if",
        "import",
        "in",
        "let",
        "loop",
    ),
    *("namespace", "null", "package", "return", "size", "true", "var", "void", "while", "all", "exists", "exists_one"),
    *("filter", "map", "matches", "duration", "timestamp", "bool", "int", "uint", "double", "string", "bytes", "list"),
    *("type", "dyn"),
}
"""The first parts of facts, and the words of CEL: no `let` may hide them."""


@dataclass(frozen=True, slots=True)
class ParsedPolicy:
    """`policy` is None when any of the problems is an error; `read` is the file that its places count in."""

    policy: Policy | None
    problems: tuple[PolicyProblem, ...]
    document: YamlDocument = field(repr=False, compare=False)


def parse_policy(text: str, source: str = "policy.yaml") -> ParsedPolicy:
    """Read one policy file; `source` is its name for messages. Never raises."""
    read = read_yaml(text, source)
    if read.problems:
        return ParsedPolicy(None, read.problems, read)
    shape = NodeReader(read.source)
    if read.root is None:
        return ParsedPolicy(None, (PolicyProblem("empty", "There is nothing in this file.", source),), read)
    policy = _policy(shape, read.root, read.source)
    problems = tuple(sorted(shape.problems, key=lambda each: (each.position.line, each.position.column)))
    if policy is None or any(each.is_error for each in problems):
        return ParsedPolicy(None, problems, read)
    return ParsedPolicy(replace(policy, digest=policy_digest(policy)), problems, read)


def read_version(shape: NodeReader, keys: Map[str, tuple[Scalar, Node]], root: Node) -> None:
    """`version: 1`, as both kinds of file begin."""
    if "version" not in keys:
        first = root.pairs[0][0] if isinstance(root, Mapping) and root.pairs else None
        words = "The file does not say its version: begin it with `version: 1`."
        if isinstance(first, Scalar) and root.column == 1:
            shape.add_yaml_fix(first, "no_version", words, "version: 1\n", length=0)
        else:
            shape.add_problem(root, "no_version", words)
    elif (text := shape.text(keys["version"][1], "version")) is not None and text != "1":
        shape.add_problem(
            keys["version"][1], "bad_version", f"version {text[:20]} is not known here: this reads 1.", fix="1"
        )


def _policy(shape: NodeReader, root: Node, source: SourceText) -> Policy | None:
    keys = shape.keys(root, "A policy", KEYS, meant=_SYNONYMS)
    if keys is None:
        return None
    read_version(shape, keys, root)
    name = _name(shape, keys, root)
    rules = _required_rules(shape, keys, root)
    mode = shape.one_of(keys["mode"][1], "mode", tuple(PolicyMode), _MODES) if "mode" in keys else PolicyMode.SHADOW
    policy = Policy(
        name=name or "",
        applies_to=_globs(shape, keys, root),
        rules=rules,
        mode=PolicyMode(mode) if mode else PolicyMode.SHADOW,
        judges=_judges(shape, keys["judges"][1]) if "judges" in keys else (Status.PENDING,),
        tables=read_tables(shape, keys["tables"][1]) if "tables" in keys else (),
        roles=_roles(shape, keys["roles"][1]) if "roles" in keys else {},
        let=_let(shape, keys["let"][1]) if "let" in keys else {},
        tests=_tests(shape, keys["tests"][1]) if "tests" in keys else (),
        source=source.name,
    )
    return policy if name else None


_MODES = {
    "dry_run": "shadow",
    "off": "shadow",
    "test": "shadow",
    "report": "shadow",
    "observe": "shadow",
    "on": "enforce",
    "live": "enforce",
    "active": "enforce",
    "enforced": "enforce",
    "enforcing": "enforce",
}


def _name(shape: NodeReader, keys: Map[str, tuple[Scalar, Node]], root: Node) -> str | None:
    if "policy" in keys:
        return shape.id(keys["policy"][1], "policy")
    if _all_known(keys, root):
        shape.add_problem(root, "no_name", "The policy has no name.", hint="Write `policy: NAME`.")
    return None


def _globs(shape: NodeReader, keys: Map[str, tuple[Scalar, Node]], root: Node) -> tuple[str, ...]:
    if "applies_to" not in keys:
        if _all_known(keys, root):
            words = "The policy does not say which repos it is for."
            shape.add_problem(root, "no_repos", words, hint="Write `applies_to: [ns/name]`.")
        return ()
    return read_globs(shape, keys["applies_to"][1], "applies_to")


def read_globs(shape: NodeReader, node: Node, what: str) -> tuple[str, ...]:
    """Globs of repos in their one spelling."""
    items = shape.items(node, what, f"`{what}: [datasets/ns/name-*, ns/name]`")
    found = [shape.parse(item, what, "bad_glob", parse_glob) for item in items]
    return tuple(dict.fromkeys(each for each in found if each is not None))


def _required_rules(shape: NodeReader, keys: Map[str, tuple[Scalar, Node]], root: Node) -> tuple[Rule, ...]:
    if "rules" in keys:
        return read_rules(shape, keys["rules"][1])
    if _all_known(keys, root):
        hint = "Write `rules:` with at least `- id: rest` and `then: human`."
        shape.add_problem(root, "no_rules", "The policy has no rules.", hint=hint)
    return ()


def _all_known(keys: Map[str, tuple[Scalar, Node]], root: Node) -> bool:
    """Whether no key was unknown: one that was is probably the one that seems to be missing."""
    return isinstance(root, Mapping) and len(keys) == len(root.pairs)


def _judges(shape: NodeReader, node: Node) -> tuple[str, ...]:
    found = []
    for item in shape.items(node, "judges", "`judges: [pending, accepted]`"):
        text = item.text if isinstance(item, Scalar) else ""
        if text in (Status.REJECTED, Status.RESET):
            shape.add_problem(item, "bad_judges", f"people who are {text} are never judged: pending or accepted.")
            continue
        word = shape.one_of(item, "judges", (Status.PENDING.value, Status.ACCEPTED.value))
        if word:
            found.append(word)
    return tuple(dict.fromkeys(found)) or (Status.PENDING,)


def _roles(shape: NodeReader, node: Node) -> dict[str, str]:
    found: dict[str, str] = {}
    if not isinstance(node, Mapping):
        shape.add_problem(node, "not_a_map", "roles is written as `role: Label of the form` lines.")
        return found
    known = shape.keys(node, "roles", ANSWER_ROLES, meant=_ROLES_MEANT) or {}
    for role, (_, value) in known.items():
        label = shape.text(value, f"The label of {role}")
        if label is not None:
            found[role] = " ".join(label.split())
    return found


_ROLES_MEANT = {
    "institution": "affiliation",
    "organisation": "affiliation",
    "organization": "affiliation",
    "company": "affiliation",
    "use": "purpose",
    "intended_use": "purpose",
    "usecase": "purpose",
    "reason": "purpose",
    "mail": "email",
    "terms": "consent",
    "agreement": "consent",
    "birthday": "birth_date",
    "position": "job",
}


def _let(shape: NodeReader, node: Node) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in shape.names(node, "let"):
        if key.text in _RESERVED:
            words = f"`{key.text}` already means something in expressions: take another name."
            shape.add_problem(key, "taken_name", words, fix=f"is_{key.text}")
        text = shape.text(value, f"let {key.text}")
        if text is not None:
            found[key.text] = text.strip()
    return found


# ---- tests beside the rules ------------------------------------------------------------------------------------------

_TEST_KEYS = ("name", "facts", "want")
_TEST_MEANT = {"given": "facts", "expect": "want", "expected": "want", "then": "want", "id": "name", "title": "name"}


def _tests(shape: NodeReader, node: Node) -> tuple[PolicyTest, ...]:
    items = shape.items(node, "tests", "`- {name: ..., facts: {...}, want: {then: accept}}`")
    return tuple(test for item in items if (test := _test(shape, item)) is not None)


def _test(shape: NodeReader, node: Node) -> PolicyTest | None:
    keys = shape.keys(node, "A test", _TEST_KEYS, meant=_TEST_MEANT)
    if keys is None:
        return None
    for key in _TEST_KEYS:
        if key not in keys:
            shape.add_problem(node, "test_incomplete", f"A test needs `{key}`.")
            return None
    name = shape.text(keys["name"][1], "name")
    facts = _facts(shape, keys["facts"][1])
    then, rule = _want(shape, keys["want"][1])
    if name is None or (then is None and rule is None):
        return None
    return PolicyTest(name, facts, ACTIONS[then] if then else None, rule, position_of(node))


def _want(shape: NodeReader, node: Node) -> tuple[str | None, str | None]:
    if isinstance(node, Scalar) and node.text in ACTIONS:
        shape.add_yaml_fix(node, "not_a_map", f"want is written as `{{then: {node.text}}}`.", f"{{then: {node.text}}}")
        return None, None
    keys = shape.keys(node, "want", ("then", "rule"), meant={"action": "then", "verdict": "then", "id": "rule"})
    if not keys:
        if keys is not None:
            shape.add_problem(node, "empty", "want says neither `then` nor `rule`.")
        return None, None
    then = shape.one_of(keys["then"][1], "then", tuple(ACTIONS), ACTION_SYNONYMS) if "then" in keys else None
    rule = shape.id(keys["rule"][1], "rule") if "rule" in keys else None
    return then, rule


def _facts(shape: NodeReader, node: Node) -> dict[str, object]:
    """Dotted names to source texts, lists or maps of them; `checking` reads them as the types of the facts."""
    if not isinstance(node, Mapping):
        shape.add_problem(node, "not_a_map", "facts is written as `email.academic: true` lines.")
        return {}
    found: dict[str, object] = {}
    for key, value in node.pairs:
        if not isinstance(key, Scalar):
            shape.add_problem(key, "odd_key", "A fact's name is a plain word with dots.")
            continue
        found[key.text] = _fact_value(shape, value)
    return found


def _fact_value(shape: NodeReader, node: Node) -> object:
    if isinstance(node, Scalar):
        return node.text
    if isinstance(node, Sequence):
        return tuple(shape.text(item, "An item") or "" for item in node.items)
    if isinstance(node, Mapping):
        return {
            key.text: (value.text if isinstance(value, Scalar) else shape.text(value, key.text) or "")
            for key, value in node.pairs
            if isinstance(key, Scalar)
        }
    return ""
