"""Where the parts of a policy stand in its file, so that what is found in an expression later points to its letters."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping as Map

from .strictyaml import Mapping, Node, Scalar, Sequence, YamlDocument


def value_of(node: Node | None, name: str) -> Node | None:
    """The value of a key of a map."""
    pair = pair_of(node, name)
    return pair[1] if pair else None


def pair_of(node: Node | None, name: str) -> tuple[Scalar, Node] | None:
    """A key of a map with its value."""
    return next(((key, value) for key, value in pairs_of(node) if key.text == name), None)


def pairs_of(node: Node | None) -> Iterator[tuple[Scalar, Node]]:
    """The pairs of a map; nothing for anything else."""
    if isinstance(node, Mapping):
        yield from ((key, value) for key, value in node.pairs if isinstance(key, Scalar))


def items_of(node: Node | None) -> tuple[Node, ...]:
    """The items of a list; nothing for anything else."""
    return node.items if isinstance(node, Sequence) else ()


def nodes_of_rules(read: YamlDocument) -> Map[str, Node]:
    """Each rule's map by its id."""
    found: dict[str, Node] = {}
    for rule in items_of(value_of(read.root, "rules")):
        name = value_of(rule, "id")
        if isinstance(name, Scalar):
            found.setdefault(name.text, rule)
    return found


def nodes_of_lets(read: YamlDocument) -> Map[str, Scalar]:
    """Each `let`'s expression by its name."""
    return {key.text: value for key, value in pairs_of(value_of(read.root, "let")) if isinstance(value, Scalar)}


def nodes_of_tests(read: YamlDocument) -> tuple[Node, ...]:
    """The maps of the tests, in their order."""
    return items_of(value_of(read.root, "tests"))
