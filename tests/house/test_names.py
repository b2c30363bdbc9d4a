"""Names say what they mean: names of classes and of public functions exist once, and no function is a lone participle."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
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
SHARED_NAMES: Final = frozenset({"grant_access", "main"})
"""A flow has the name of the function that calls it, and a process of its own starts with `main`."""
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


def _is_handler(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Tell whether a function is a command, or answers a request to a page: routes and tables name these by module."""
    decorators = [ast.unparse(one) for one in function.decorator_list]
    first = function.args.args[0].annotation if function.args.args else None
    is_page = (
        first is not None
        and ast.unparse(first) == "HttpContext"
        and ast.unparse(function.returns or first) == "Response"
    )
    return is_page or any(text.startswith("command(") for text in decorators)


def _find_repeated_functions(sources: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the public functions that several modules define, with their modules; without handlers."""
    homes = defaultdict(list)
    for path, source in sources.items():
        functions = [n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
        for function in functions:
            if not function.name.startswith("_") and not _is_handler(function):
                homes[function.name].append(path)
    return {name: paths for name, paths in homes.items() if len(set(paths)) > 1}


def test_a_public_function_but_a_handler_is_defined_once_in_the_package() -> None:
    sources = {path.relative_to(PACKAGE).as_posix(): path.read_text("utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
    assert set(_find_repeated_functions(sources)) == SHARED_NAMES
    assert len(SHARED_NAMES) <= 5


def test_a_second_function_of_a_name_is_seen_beside_pages_and_commands() -> None:
    page = "def show(context: HttpContext) -> Response: ..."
    command = '@command("show", examples=())\ndef show(context: CommandContext) -> int: ...'
    helper = "async def show(row: RequestRow) -> Response: ..."
    assert _find_repeated_functions({"a.py": page, "b.py": command, "c.py": helper}) == {}
    assert _find_repeated_functions({"a.py": page, "b.py": helper, "c.py": helper}) == {"show": ["b.py", "c.py"]}


def test_no_function_is_named_by_a_lone_participle() -> None:
    functions = [(path, name) for path, name, node in _definitions() if not isinstance(node, ast.ClassDef)]
    assert [f"{path}:{name}" for path, name in functions if _is_lone_participle(name) and name not in INTERFACES] == []


def test_no_class_has_a_name_that_only_its_authors_understand() -> None:
    classes = [(path, name) for path, name, node in _definitions() if isinstance(node, ast.ClassDef)]
    assert [f"{path}:{name}" for path, name in classes if name.strip("_") in OLD_NAMES] == []
