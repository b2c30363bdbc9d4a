"""Names say what they mean: a class name exists once, and no function is called by a lone participle."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from tests.kits.paths import ROOT
from tests.kits.source_files import iterate_child_statements

PACKAGE: Final = ROOT / "src" / "hf_gate"
IRREGULAR: Final = frozenset(
    [
        "asked",
        "begun",
        "bound",
        "came",
        "chosen",
        "cut",
        "done",
        "drawn",
        "fallen",
        "found",
        "given",
        "gone",
        "grown",
        "heard",
        "held",
        "kept",
        "known",
        "led",
        "left",
        "let",
        "lost",
        "made",
        "meant",
        "put",
        "read",
        "said",
        "seen",
        "sent",
        "set",
        "shown",
        "sought",
        "spent",
        "taken",
        "told",
        "written",
    ]
)
VERBS_AND_NOUNS: Final = frozenset({"embed", "feed", "need", "seed"})
"""They end like a participle and are none."""
INTERFACES: Final = frozenset({"_DeadlineStream.read", "ListingHead.quarantined"})
"""Their names are given by another library, or by a public class."""
OLD_NAMES: Final = [
    "Court",
    "Bench",
    "Judge",
    "Visit",
    "Office",
    "Shield",
    "Door",
    "Keeper",
    "Looks",
    "Pulse",
    "Carrier",
    "Flight",
    "Clearing",
    "Counsel",
    "Picks",
    "Heap",
    "Hall",
    "Hearing",
]
"""Private words of earlier versions. What they meant has a standard name now."""


def _definitions() -> Iterator[tuple[str, str, ast.AST]]:
    """Each class and function of the package: file, qualified name, node."""

    def walk(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.AST]]:
        for child in iterate_child_statements(node):
            if isinstance(child, ast.ClassDef):
                yield child.name, child
                yield from walk(child, f"{child.name}.")
            elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{prefix}{child.name}", child
                yield from walk(child, prefix)
            else:
                yield from walk(child, prefix)

    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        yield from ((path.relative_to(PACKAGE).as_posix(), name, node) for name, node in walk(tree, ""))


def _is_lone_participle(name: str) -> bool:
    word = name.rpartition(".")[2].strip("_")
    is_regular = re.fullmatch(r"[a-z]+ed", word) is not None and word not in VERBS_AND_NOUNS
    return is_regular or word in IRREGULAR


def test_a_class_name_is_defined_once_in_the_package() -> None:
    homes = defaultdict(list)
    for path, name, node in _definitions():
        if isinstance(node, ast.ClassDef):
            homes[name].append(path)
    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}


def test_no_function_is_named_by_a_lone_participle() -> None:
    functions = [(path, name) for path, name, node in _definitions() if not isinstance(node, ast.ClassDef)]
    assert [f"{path}:{name}" for path, name in functions if _is_lone_participle(name) and name not in INTERFACES] == []


def test_no_class_has_a_name_that_only_its_authors_understand() -> None:
    classes = [(path, name) for path, name, node in _definitions() if isinstance(node, ast.ClassDef)]
    assert [f"{path}:{name}" for path, name in classes if name.strip("_") in OLD_NAMES] == []
