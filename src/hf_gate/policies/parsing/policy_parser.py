"""Parses the text of a policy file. `policy_checker` checks the expressions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from msgspec.structs import replace

from hf_gate.base.ids import parse_repo
from hf_gate.base.yaml_parser import Mapping, Node, Scalar, Sequence
from hf_gate.core.lifecycle import Status
from hf_gate.core.parsing.literals import parse_glob
from hf_gate.core.parsing.node_reader import KnownKeys, NodeReader
from hf_gate.core.parsing.strict_yaml import SourceText, YamlDocument, position_of, read_yaml
from hf_gate.core.policy_model import (
    Policy,
    PolicyMode,
    PolicyProblem,
    PolicyTest,
    Rule,
    SourcePosition,
    TableSpec,
)
from hf_gate.errors import InvalidRepo
from hf_gate.policies.facts.fact_table import ANSWER_ROLES

from .policy_digest import policy_digest
from .rule_parser import ACTION_SYNONYMS, ACTIONS, read_rules

KEYS = ("version", "policy", "applies_to", "mode", "judges", "tables", "roles", "let", "rules", "tests")
_SYNONYMS = {
    **dict.fromkeys(("name", "id"), "policy"),
    **dict.fromkeys(("repos", "repo", "repositories", "targets", "appliesto"), "applies_to"),
    "lists": "tables",
    **dict.fromkeys(("vars", "variables", "define"), "let"),
    "checks": "rules",
    **dict.fromkeys(("statuses", "status"), "judges"),
    "examples": "tests",
}
_RESERVED = frozenset(
    [
        "request",
        "person",
        "email",
        "form",
        "answers",
        "tables",
        "history",
        "terms",
        "now",
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
        "namespace",
        "null",
        "package",
        "return",
        "size",
        "true",
        "var",
        "void",
        "while",
        "all",
        "exists",
        "exists_one",
        "filter",
        "map",
        "matches",
        "duration",
        "timestamp",
        "bool",
        "int",
        "uint",
        "double",
        "string",
        "bytes",
        "list",
        "type",
        "dyn",
    ]
)
"""Names that a `let` cannot have: the first parts of fact names, and reserved words of CEL."""


@dataclass(frozen=True, slots=True)
class ParsedPolicy:
    """The result of parsing. `policy` is None if any problem is an error; positions refer to `document`."""

    policy: Policy | None
    problems: tuple[PolicyProblem, ...]
    document: YamlDocument = field(repr=False, compare=False)
    repo_urls: tuple[Scalar, ...] = ()


def parse_policy(text: str, source: str = "policy.yaml") -> ParsedPolicy:
    """Parse one policy file; `source` is its name in messages. Never raises."""
    read = read_yaml(text, source)
    if read.problems:
        return ParsedPolicy(None, read.problems, read)
    reader = NodeReader(read.source)
    if read.root is None:
        return ParsedPolicy(None, (PolicyProblem("empty", "The file is empty.", source),), read)
    policy = _read_policy(reader, read.root, read.source)
    problems = reader.sorted_problems
    if policy is None or any(problem.is_error for problem in problems):
        return ParsedPolicy(None, problems, read)
    policy = replace(policy, digest=policy_digest(policy))
    return ParsedPolicy(policy, problems, read, tuple(reader.repo_urls))


def find_foreign_urls(repo_urls: Iterable[Scalar], source: str, endpoint: str) -> list[PolicyProblem]:
    """Return a problem for each repo in a file that is written as a URL of another host than the Hub at `endpoint`."""
    problems: list[PolicyProblem] = []
    for item in repo_urls:
        try:
            parse_repo(item.text, endpoint=endpoint)
        except InvalidRepo as problem:
            position = SourcePosition(item.line, item.column)
            problems.append(PolicyProblem("foreign_url", str(problem), source, position, hint=problem.hint))
    return problems


def read_version(reader: NodeReader, keys: KnownKeys, root: Node) -> None:
    """Check `version: 1`, with which policy files and hf-gate.yaml begin."""
    if "version" not in keys:
        first = root.pairs[0][0] if isinstance(root, Mapping) and root.pairs else None
        words = "The file has no version: begin it with `version: 1`."
        if isinstance(first, Scalar) and root.column == 1:
            reader.add_yaml_fix(first, "no_version", words, "version: 1\n", length=0)
        else:
            reader.add_problem(root, "no_version", words)
    elif (text := reader.read_text(keys["version"][1], "version")) is not None and text != "1":
        reader.add_problem(
            keys["version"][1], "bad_version", f"version {text[:20]} is not supported; use version 1.", fix="1"
        )


def _read_policy(reader: NodeReader, root: Node, source: SourceText) -> Policy | None:
    keys = reader.read_keys(root, "A policy", KEYS, synonyms=_SYNONYMS)
    if keys is None:
        return None
    read_version(reader, keys, root)
    name = _read_name(reader, keys, root)
    rules = _read_required_rules(reader, keys, root)
    mode = keys.read_value("mode", NodeReader.read_choice, tuple(PolicyMode), _MODE_SYNONYMS)
    policy = Policy(
        name=name or "",
        applies_to=_read_applies_to(reader, keys, root),
        rules=rules,
        mode=PolicyMode(mode) if mode else PolicyMode.SHADOW,
        judges=keys.read_part("judges", _read_judges, (Status.PENDING,)),
        tables=keys.read_part("tables", read_table_specs, ()),
        roles=keys.read_part("roles", _read_roles, {}),
        let=keys.read_part("let", _read_lets, {}),
        tests=keys.read_part("tests", _read_tests, ()),
        source=source.name,
    )
    return policy if name else None


_MODE_SYNONYMS = {
    **dict.fromkeys(("dry_run", "off", "test", "report", "observe"), "shadow"),
    **dict.fromkeys(("on", "live", "active", "enforced", "enforcing"), "enforce"),
}


def _read_name(reader: NodeReader, keys: KnownKeys, root: Node) -> str | None:
    if "policy" in keys:
        return reader.read_id(keys["policy"][1], "policy")
    if _are_all_keys_known(keys, root):
        reader.add_problem(root, "no_name", "The policy has no name.", hint="Write `policy: NAME`.")
    return None


def _read_applies_to(reader: NodeReader, keys: KnownKeys, root: Node) -> tuple[str, ...]:
    if "applies_to" not in keys:
        if _are_all_keys_known(keys, root):
            words = "The policy has no repos."
            reader.add_problem(root, "no_repos", words, hint="Write `applies_to: [ns/name]`.")
        return ()
    return read_globs(reader, keys["applies_to"][1], "applies_to")


def read_globs(reader: NodeReader, node: Node, what: str) -> tuple[str, ...]:
    """Read repo globs in their canonical form."""
    items = reader.read_items(node, what, f"`{what}: [datasets/ns/name-*, ns/name]`")
    reader.repo_urls += [item for item in items if isinstance(item, Scalar) and "://" in item.text]
    found = [reader.parse(item, what, "bad_glob", parse_glob) for item in items]
    return tuple(dict.fromkeys(each for each in found if each is not None))


def _read_required_rules(reader: NodeReader, keys: KnownKeys, root: Node) -> tuple[Rule, ...]:
    if "rules" in keys:
        return read_rules(reader, keys["rules"][1])
    if _are_all_keys_known(keys, root):
        hint = "Write `rules:` with at least `- id: rest` and `then: human`."
        reader.add_problem(root, "no_rules", "The policy has no rules.", hint=hint)
    return ()


def _are_all_keys_known(keys: KnownKeys, root: Node) -> bool:
    """Tell whether all keys are known. An unknown key is probably a misspelling of the missing key."""
    return isinstance(root, Mapping) and len(keys) == len(root.pairs)


def _read_judges(reader: NodeReader, node: Node) -> tuple[str, ...]:
    found = []
    for item in reader.read_items(node, "judges", "`judges: [pending, accepted]`"):
        text = item.text if isinstance(item, Scalar) else ""
        if text in (Status.REJECTED, Status.RESET):
            reader.add_problem(item, "bad_judges", f"policies do not cover {text} requests; write pending or accepted.")
            continue
        word = reader.read_choice(item, "judges", (Status.PENDING.value, Status.ACCEPTED.value))
        if word:
            found.append(word)
    return tuple(dict.fromkeys(found)) or (Status.PENDING,)


def _read_roles(reader: NodeReader, node: Node) -> dict[str, str]:
    roles: dict[str, str] = {}
    if not isinstance(node, Mapping):
        reader.add_problem(node, "not_a_map", "Write roles as `role: Label of the form` lines.")
        return roles
    known = reader.read_keys(node, "roles", ANSWER_ROLES, synonyms=_ROLE_SYNONYMS) or KnownKeys(reader)
    for role, (_, value) in known.items():
        label = reader.read_text(value, f"The label of {role}")
        if label is not None:
            roles[role] = " ".join(label.split())
    return roles


_ROLE_SYNONYMS = {
    **dict.fromkeys(("institution", "organisation", "organization", "company"), "affiliation"),
    **dict.fromkeys(("use", "intended_use", "usecase", "reason"), "purpose"),
    "mail": "email",
    **dict.fromkeys(("terms", "agreement"), "consent"),
    "birthday": "birth_date",
    "position": "job",
}


def _read_lets(reader: NodeReader, node: Node) -> dict[str, str]:
    lets: dict[str, str] = {}
    for key, value in reader.read_names(node, "let"):
        if key.text in _RESERVED:
            words = f"`{key.text}` is reserved in expressions; choose another name."
            reader.add_problem(key, "taken_name", words, fix=f"is_{key.text}")
        text = reader.read_text(value, f"let {key.text}")
        if text is not None:
            lets[key.text] = text.strip()
    return lets


# ---- tests -----------------------------------------------------------------------------------------------------------

_TEST_KEYS = ("name", "facts", "want")
_TEST_SYNONYMS = {"given": "facts", "expect": "want", "expected": "want", "then": "want", "id": "name", "title": "name"}


def _read_tests(reader: NodeReader, node: Node) -> tuple[PolicyTest, ...]:
    items = reader.read_items(node, "tests", "`- {name: ..., facts: {...}, want: {then: accept}}`")
    return tuple(test for item in items if (test := _read_test(reader, item)) is not None)


def _read_test(reader: NodeReader, node: Node) -> PolicyTest | None:
    keys = reader.read_keys(node, "A test", _TEST_KEYS, synonyms=_TEST_SYNONYMS)
    if keys is None:
        return None
    for key in _TEST_KEYS:
        if key not in keys:
            reader.add_problem(node, "test_incomplete", f"A test needs `{key}`.")
            return None
    name = reader.read_text(keys["name"][1], "name")
    facts = _read_facts(reader, keys["facts"][1])
    then, rule = _read_expectation(reader, keys["want"][1])
    if name is None or (then is None and rule is None):
        return None
    return PolicyTest(name, facts, ACTIONS[then] if then else None, rule, position_of(node))


def _read_expectation(reader: NodeReader, node: Node) -> tuple[str | None, str | None]:
    if isinstance(node, Scalar) and node.text in ACTIONS:
        reader.add_yaml_fix(node, "not_a_map", f"Write want as `{{then: {node.text}}}`.", f"{{then: {node.text}}}")
        return None, None
    keys = reader.read_keys(
        node, "want", ("then", "rule"), synonyms={"action": "then", "verdict": "then", "id": "rule"}
    )
    if not keys:
        if keys is not None:
            reader.add_problem(node, "empty", "want needs `then` or `rule`.")
        return None, None
    then = keys.read_value("then", NodeReader.read_choice, tuple(ACTIONS), ACTION_SYNONYMS)
    return then, keys.read_value("rule", NodeReader.read_id)


def _read_facts(reader: NodeReader, node: Node) -> dict[str, object]:
    """Return fact names with their values as source texts, or lists or maps of texts; `test_facts` converts them."""
    if not isinstance(node, Mapping):
        reader.add_problem(node, "not_a_map", "Write facts as `email.academic: true` lines.")
        return {}
    facts: dict[str, object] = {}
    for key, value in node.pairs:
        if not isinstance(key, Scalar):
            reader.add_problem(key, "odd_key", "Write a fact name as a plain word with dots.")
            continue
        facts[key.text] = _read_fact_value(reader, value)
    return facts


def _read_fact_value(reader: NodeReader, node: Node) -> object:
    if isinstance(node, Scalar):
        return node.text
    if isinstance(node, Sequence):
        return tuple(reader.read_text(item, "An item") or "" for item in node.items)
    if isinstance(node, Mapping):
        return {
            key.text: (value.text if isinstance(value, Scalar) else reader.read_text(value, key.text) or "")
            for key, value in node.pairs
            if isinstance(key, Scalar)
        }
    return ""


# ---- tables ----------------------------------------------------------------------------------------------------------


_NOT_IN_PATH = re.compile("[\x00\ud800-\udfff]")
_TABLE_KEYS = ("user_id", "username", "email")
_TABLE_KEY_SYNONYMS = {
    **dict.fromkeys(("id", "userid", "_id"), "user_id"),
    **dict.fromkeys(("user", "login", "name"), "username"),
    **dict.fromkeys(("mail", "e_mail", "address"), "email"),
}
_TABLE_EXAMPLES = 'name: {file: tables/name.csv, key: email}, name: {store: true} or name: ["@example.edu"]'
_DOMAIN = re.compile(
    r"@?(?:\*\.)?[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+\Z", re.IGNORECASE
)
_MAILBOX = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+\Z")
_USERNAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,95})\Z")


def read_table_specs(reader: NodeReader, node: Node) -> tuple[TableSpec, ...]:
    """Read the tables of a `tables:` map."""
    tables = []
    for key, value in reader.read_names(node, "tables"):
        table = _read_table(reader, key, value)
        if table is not None:
            tables.append(table)
    return tuple(tables)


def _read_table(reader: NodeReader, name: Scalar, node: Node) -> TableSpec | None:
    if isinstance(node, Sequence):
        rows = [row for item in node.items if (row := _read_row(reader, item)) is not None]
        if not node.items:
            reader.add_problem(node, "empty_table", f"table `{name.text}` has no rows; add at least one.")
        return TableSpec(name.text, ("username", "email"), rows=tuple(rows), position=position_of(name))
    if isinstance(node, Mapping):
        return _read_file_table(reader, name, node)
    fix = f"{{file: {node.text}, key: email}}" if isinstance(node, Scalar) and node.text.endswith(".csv") else None
    if fix:
        reader.add_yaml_fix(node, "not_a_table", f"Write a table as {_TABLE_EXAMPLES}.", fix)
    else:
        reader.add_problem(node, "not_a_table", f"Write a table as {_TABLE_EXAMPLES}.")
    return None


def _read_file_table(reader: NodeReader, name: Scalar, node: Mapping) -> TableSpec | None:
    keys = reader.read_keys(
        node,
        f"table `{name.text}`",
        ("file", "store", "key"),
        synonyms={
            "path": "file",
            "csv": "file",
            "by": "key",
            "column": "key",
            "on": "key",
        },
    )
    if keys is None:
        return None
    is_stored = keys.read_value("store", NodeReader.read_flag) or False
    if is_stored == ("file" in keys):
        if len(keys) == len(node.pairs):
            words = f"table `{name.text}` needs either `file` or `store: true`; write {_TABLE_EXAMPLES}."
            reader.add_problem(node, "no_file", words)
        return None
    if is_stored:
        kinds = _read_key(reader, keys["key"][1]) if "key" in keys else _TABLE_KEYS
        return TableSpec(name.text, kinds, is_stored=True, position=position_of(name)) if kinds else None
    file = reader.read_text(keys["file"][1], "file")
    if file is not None and not file.endswith((".csv", ".jsonl", ".ndjson")):
        words = "a table must be a .csv or .jsonl file."
        reader.add_problem(keys["file"][1], "bad_file", f"`{file[-40:]}`: {words}", hint="Export it as CSV (UTF-8).")
    if file is not None and _NOT_IN_PATH.search(file):
        reader.add_problem(
            keys["file"][1], "bad_file", "no file can have the name in `file`.", hint="Write a plain path."
        )
    if "key" not in keys:
        words = f"table `{name.text}` has no `key`, the column that identifies people: user_id, username or email."
        reader.add_missing_key(node, keys["file"][1], "no_key", words, "key: email")
        return None
    key = _read_key(reader, keys["key"][1])
    if not file or not key:
        return None
    return TableSpec(name.text, key, file=file, position=position_of(name))


def _read_key(reader: NodeReader, node: Node) -> tuple[str, ...]:
    nodes = list(node.items) if isinstance(node, Sequence) else [node]
    words = [reader.read_choice(each, "key", _TABLE_KEYS, _TABLE_KEY_SYNONYMS) for each in nodes]
    found = tuple(word for word in words if word is not None)
    if len(set(found)) < len(found):
        reader.add_problem(node, "twice", "key has a duplicate column.")
    return found if len(found) == len(nodes) else ()


def _read_row(reader: NodeReader, node: Node) -> str | None:
    """Read a row: `name`, `a@b.org`, `@b.org` or `@*.b.org`."""
    text = reader.read_text(node, "A row of a table")
    if text is None:
        return None
    text = text.strip()
    domain = text.removeprefix("*@") if text.startswith("*@") else text
    if text.startswith("@") and "." not in text:
        reader.add_problem(
            node, "bad_row", f"`{text[:60]}` is not a domain.", fix=text[1:] or None, hint="Write a username without @."
        )
    elif text.startswith("@*") and not text.startswith("@*."):
        reader.add_problem(
            node, "bad_row", f"`{text[:60]}`: `*` only matches whole parts of a domain.", fix=f"@*.{text[2:]}"
        )
    elif text.startswith("@") and _DOMAIN.match(text):
        return text.lower()
    elif text != domain or (_DOMAIN.match(text) and "@" not in text):
        words = f"`{text[:60]}` looks like a domain; start it with @."
        reader.add_problem(node, "bad_row", words, fix=f"@{domain}")
    elif _MAILBOX.match(text) and "*" not in text:
        return text.lower()
    elif _USERNAME.match(text):
        return text
    else:
        words = f"`{text[:60]}` is not a row; write a username, an address, @domain or @*.domain."
        reader.add_problem(node, "bad_row", words)
    return None
