"""`tables:` of a policy or hf-gate.yaml as values; what a later version will read is refused in one line."""

from __future__ import annotations

import re

from .model import TableSpec
from .shape import NodeReader
from .strictyaml import Mapping, Node, Scalar, Sequence, position_of

KEYS = ("user_id", "username", "email")
KEY_SYNONYMS = {
    "id": "user_id",
    "userid": "user_id",
    "_id": "user_id",
    "user": "username",
    "login": "username",
    "name": "username",
    "mail": "email",
    "e_mail": "email",
    "address": "email",
}
_LATER = {
    "register": "`register:` belongs to a later version: export the agreements to a CSV and write `file:` and `key:`.",
    "match": "fuzzy tables (`match:`) belong to a later version: list user ids, usernames or addresses.",
}
_SHAPES = 'name: {file: tables/name.csv, key: email} or name: ["@example.edu"]'
_DOMAIN = re.compile(
    r"@?(?:\*\.)?[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+\Z", re.IGNORECASE
)
_MAILBOX = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+\Z")
_USERNAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,95})\Z")


def read_tables(shape: NodeReader, node: Node) -> tuple[TableSpec, ...]:
    """The tables of one `tables:` map, by name."""
    found = []
    for key, value in shape.names(node, "tables"):
        table = _table(shape, key, value)
        if table is not None:
            found.append(table)
    return tuple(found)


def _table(shape: NodeReader, name: Scalar, node: Node) -> TableSpec | None:
    if isinstance(node, Sequence):
        rows = [row for item in node.items if (row := _row(shape, item)) is not None]
        if not node.items:
            shape.add_problem(
                node, "empty_table", f"table `{name.text}` has no rows: everybody would be missing from it."
            )
        return TableSpec(name.text, ("username", "email"), rows=tuple(rows), position=position_of(name))
    if isinstance(node, Mapping):
        return _file_table(shape, name, node)
    fix = f"{{file: {node.text}, key: email}}" if isinstance(node, Scalar) and node.text.endswith(".csv") else None
    if fix:
        shape.add_yaml_fix(node, "not_a_table", f"A table is written as {_SHAPES}.", fix)
    else:
        shape.add_problem(node, "not_a_table", f"A table is written as {_SHAPES}.")
    return None


def _file_table(shape: NodeReader, name: Scalar, node: Mapping) -> TableSpec | None:
    keys = shape.keys(node, f"table `{name.text}`", ("file", "key"), meant={"path": "file", "csv": "file", "by": "key", "column": "key", "on": "key"}, later=_LATER)  # fmt: skip
    if keys is None:
        return None
    said_later = any(isinstance(key, Scalar) and key.text in _LATER for key, _ in node.pairs)
    if "file" not in keys:
        if not said_later and len(keys) == len(node.pairs):
            shape.add_problem(node, "no_file", f"table `{name.text}` has no `file`: write {_SHAPES}.")
        return None
    file = shape.text(keys["file"][1], "file")
    if file is not None and not file.endswith((".csv", ".jsonl", ".ndjson")):
        words = "a table is a .csv or a .jsonl file."
        shape.add_problem(keys["file"][1], "bad_file", f"`{file[-40:]}`: {words}", hint="Export it as CSV (UTF-8).")
    if "key" not in keys:
        words = f"table `{name.text}` does not say by which column people are found: user_id, username or email."
        shape.add_missing_key(node, keys["file"][1], "no_key", words, "key: email")
        return None
    key = _key(shape, keys["key"][1])
    return TableSpec(name.text, key, file=file, position=position_of(name)) if file and key else None


def _key(shape: NodeReader, node: Node) -> tuple[str, ...]:
    nodes = list(node.items) if isinstance(node, Sequence) else [node]
    words = [shape.one_of(each, "key", KEYS, KEY_SYNONYMS) for each in nodes]
    found = tuple(word for word in words if word is not None)
    if len(set(found)) < len(found):
        shape.add_problem(node, "twice", "key names a column twice.")
    return found if len(found) == len(nodes) else ()


def _row(shape: NodeReader, node: Node) -> str | None:
    """`name`, `a@b.org`, `@b.org` or `@*.b.org`."""
    text = shape.text(node, "A row of a table")
    if text is None:
        return None
    text = text.strip()
    domain = text.removeprefix("*@") if text.startswith("*@") else text
    if text.startswith("@") and "." not in text:
        shape.add_problem(
            node, "bad_row", f"`{text[:60]}` is no domain.", fix=text[1:] or None, hint="A username stands without @."
        )
    elif text.startswith("@*") and not text.startswith("@*."):
        shape.add_problem(
            node, "bad_row", f"`{text[:60]}`: `*` stands for whole parts of a domain.", fix=f"@*.{text[2:]}"
        )
    elif text.startswith("@") and _DOMAIN.match(text):
        return text.lower()
    elif text != domain or (_DOMAIN.match(text) and "@" not in text):
        words = f"`{text[:60]}` would be a username: a domain begins with @."
        shape.add_problem(node, "bad_row", words, fix=f"@{domain}")
    elif _MAILBOX.match(text) and "*" not in text:
        return text.lower()
    elif _USERNAME.match(text):
        return text
    else:
        words = f"`{text[:60]}` is no username, no address, no @domain and no @*.domain."
        shape.add_problem(node, "bad_row", words)
    return None
