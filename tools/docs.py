"""Writes the generated parts of the docs (code map, lifecycle, states, commands, facts, public names) and the statements that create a store.

A generated part is between `<!-- generated: NAME -->` and `<!-- end generated -->`. `python tools/docs.py --check`
writes nothing and exits with 1 if a part is out of date.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from hf_gate.core.state_table import StateTable

ROOT: Final = Path(__file__).resolve().parents[1]
PACKAGE: Final = ROOT / "src" / "hf_gate"
_PART: Final = re.compile(r"(<!-- generated: ([\w ]+) -->\n).*?(<!-- end generated -->)", re.DOTALL)
# ---- code map --------------------------------------------------------------------------------------------------------


def build_code_map() -> str:
    """Return one line for each module, with the first sentence of its docstring."""
    return "\n".join("\n".join(_list_modules(room)) for room in _find_packages())


def _list_rooms() -> list[str]:
    """Return the rooms from the lowest to the highest, as import-linter knows them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    order = next(contract["layers"] for contract in contracts if contract["id"] == "rooms")
    return [room for entry in reversed(order) if (PACKAGE / (room := entry.strip("()"))).is_dir()]


def _find_packages() -> list[str]:
    folders = sorted({path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")} - {"."})
    return ["", *(folder for room in _list_rooms() for folder in folders if folder.split("/")[0] == room)]


def _list_modules(room: str) -> Iterator[str]:
    folder = PACKAGE / room
    yield f"- **`{room}/`** {_first_sentence(folder / '__init__.py')}" if room else "- **`hf_gate/`**"
    for path in sorted(folder.glob("*.py")):
        if path.name != "__init__.py" or not room:
            yield f"  - `{path.relative_to(PACKAGE).as_posix()}` {_first_sentence(path)}"


def _first_sentence(path: Path) -> str:
    """Return the first sentence of a module's docstring, or only its first clause if the sentence is long."""
    text = (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").partition("\n\n")[0].replace("\n", " ")
    sentence = re.split(r"(?<=[^.])\.(?:\s|\Z)", text, maxsplit=1)[0]
    clause = sentence.partition("; ")[0] if len(sentence) > 100 else sentence
    return clause + "."


# ---- lifecycle -------------------------------------------------------------------------------------------------------


def build_lifecycle() -> str:
    """Return the allowed moves of a request as a diagram and as a table."""
    sys.path.insert(0, str(ROOT / "src"))
    from hf_gate.core.lifecycle import MEANING, MOVES

    arrows: dict[tuple[str, str], list[str]] = {}
    rows = []
    for move in MOVES:
        before, after = move.before or "(no request)", move.after or "(no request)"
        arrows.setdefault((before, after), []).append(move.verb)
        rows.append(f"| {before} | {move.verb} | {move.actor} | `{move.call}` | {after} |")
    picture = [
        f"    {_state_name(before)} --> {_state_name(after)}: {', '.join(verbs)}"
        for (before, after), verbs in arrows.items()
    ]
    meanings = [f"| {status} | {meaning} |" for status, meaning in MEANING.items()]
    return "\n".join([
        "```mermaid", "stateDiagram-v2", *picture, "```", "",
        "| status | what it means to the person |", "|---|---|", *meanings, "",
        "| from | action | by | the Hub's call | to |", "|---|---|---|---|---|", *rows,
    ])  # fmt: skip


def _state_name(name: str) -> str:
    return "[*]" if name == "(no request)" else name


# ---- states ----------------------------------------------------------------------------------------------------------


def build_states() -> str:
    """Return a table of the steps of each state table."""
    sys.path.insert(0, str(ROOT / "src"))
    from hf_gate.core.letters.messages import MESSAGE_STATES
    from hf_gate.core.runs import CHANGE_STATES, RUN_STATES

    return "\n\n".join(
        [_describe_states(RUN_STATES), _describe_states(CHANGE_STATES), _describe_states(MESSAGE_STATES)]
    )


def _describe_states(table: StateTable[Any, Any]) -> str:
    rows = [f"| state of a {table.noun} | event and next state |", "|---|---|"]
    for state in table.states:
        steps = [f"{event}: `{each[state]}`" for event, each in table.steps.items() if state in each]
        rows.append(f"| `{state}` | {', '.join(steps) or 'none'} |")
    return "\n".join(rows)


# ---- commands --------------------------------------------------------------------------------------------------------


def build_command_line() -> str:
    """Return every command, from the program itself."""
    sys.path[:0] = [str(ROOT), str(ROOT / "src")]
    from tools import cli_page

    return cli_page.build_page()


# ---- public names ----------------------------------------------------------------------------------------------------


def build_public_names() -> str:
    """Return the public names of the package, with the first sentence about each."""
    sys.path[:0] = [str(ROOT), str(ROOT / "src")]
    from tools import api_page

    return api_page.build_page()


# ---- facts -----------------------------------------------------------------------------------------------------------


def build_facts() -> str:
    """Return the table of facts."""
    sys.path.insert(0, str(ROOT / "src"))
    from hf_gate.policies.facts.fact_table import FACTS

    rows = ["| fact | type | what it says | who controls it | from | unknown when |", "|---|---|---|---|---|---|"]
    for name, law in FACTS.items():
        values = f" One of {', '.join(f'`{value}`' for value in law.values)}." if law.values else ""
        cells = (
            f"`{name}`",
            law.type.value,
            law.meaning + values,
            law.trust.value,
            law.source,
            law.unknown_when,
        )
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


# ---- events ----------------------------------------------------------------------------------------------------------


def build_events() -> str:
    """Return a section for each kind of event, with the fields of its body, from the source and its comments."""
    path = PACKAGE / "core" / "events" / "events.py"
    source = path.read_text("utf-8")
    lines = source.splitlines()
    kinds = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and _kind_of_event(node)]
    return "\n\n".join(_describe_event(node, lines) for node in sorted(kinds, key=_kind_of_event))


def _kind_of_event(node: ast.ClassDef) -> str:
    """Return the stable name of an event; "" for a class that is none."""
    return next((ast.literal_eval(word.value) for word in node.keywords if word.arg == "tag"), "")


def _describe_event(node: ast.ClassDef, lines: list[str]) -> str:
    text = " ".join((ast.get_docstring(node) or "").split()).replace("None", "`null`")
    rows = []
    for field in node.body:
        if isinstance(field, ast.AnnAssign):
            comment = lines[(field.end_lineno or field.lineno) - 1].partition("  # ")[2].replace("None", "`null`")
            default = "" if field.value is None else f"`{json.dumps(ast.literal_eval(field.value))}`"
            kind = _type_in_json(ast.unparse(field.annotation), is_required=field.value is None)
            rows.append(f"| `{ast.unparse(field.target)}` | {kind} | {default} | {comment} |")
    table = ["", "| field | type | default | |", "|---|---|---|---|", *rows] if rows else []
    return "\n".join([f"### {_kind_of_event(node)}", "", text, *table])


def _type_in_json(annotation: str, *, is_required: bool) -> str:
    words = annotation.removesuffix(" | None")
    plain = {"str": "text", "int": "number", "bool": "true or false"}
    kind = plain.get(words, "list" if words.startswith("tuple") else "object")
    return f"{kind}, or `null`" if is_required and words != annotation else kind


# ---- other facts -----------------------------------------------------------------------------------------------------


def build_fact_errors() -> str:
    """Return how often the facts about mail domains are wrong."""
    sys.path[:0] = [str(ROOT), str(ROOT / "src")]
    from tools import facts_table

    return f"{facts_table.build_overview()}\n\n{facts_table.build_country_table()}\n\n{facts_table.build_error_list()}"


def build_scale() -> str:
    """Return what larger numbers of requests cost, computed from the benchmarks."""
    sys.path.insert(0, str(ROOT))
    from tools import scale_table

    return scale_table.build_table()


def build_faults() -> str:
    """Return the table of the local Hub's faults."""
    sys.path.insert(0, str(ROOT / "src"))
    from hf_gate.localhub.faults import FAULT_KINDS

    rows = ["| name | its keys | on | what happens |", "|---|---|---|---|"]
    for name, kind in FAULT_KINDS.items():
        keys = ", ".join(
            f"`{key}={default:g}`" if isinstance(default, float) else f"`{key}={default}`"
            for key, default in kind.keys.items()
        )
        routes = ", ".join(f"`{route}`" for route in sorted(kind.on or ())) or "any"
        rows.append(f"| `{name}` | {keys or '-'} | {routes} | {kind.description} |")
    return "\n".join(rows)


# ---- pages -----------------------------------------------------------------------------------------------------------

PARTS: Final[dict[str, Callable[[], str]]] = {
    "code map": build_code_map,
    "lifecycle": build_lifecycle,
    "states": build_states,
    "command line": build_command_line,
    "public names": build_public_names,
    "facts": build_facts,
    "events": build_events,
    "facts errors": build_fact_errors,
    "scale": build_scale,
    "faults": build_faults,
}
PAGES: Final = (
    "docs/internals/code-map.md",
    "docs/what-happens-to-the-person.md",
    "docs/cli.md",
    "docs/api.md",
    "docs/facts.md",
    "docs/events.md",
    "docs/internals/reliability.md",
    "docs/internals/scale.md",
    "docs/local-hub.md",
)


def renew_page(text: str) -> str:
    """Return a page with its generated parts updated."""
    return _PART.sub(lambda part: f"{part[1]}{PARTS[part[2]]()}\n{part[3]}", text)


def main() -> int:
    """Write the pages, or check them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a page is out of date")
    is_check = parser.parse_args().check
    stale = []
    for name in PAGES:
        page = ROOT / name
        before = page.read_text("utf-8") if page.exists() else ""
        after = renew_page(before)
        if after != before:
            stale.append(name)
            if not is_check:
                page.write_text(after, "utf-8")
    for name in stale:
        print(f"{name}: {'is out of date: make docs' if is_check else 'written'}")
    return 1 if stale and is_check else 0


if __name__ == "__main__":
    sys.exit(main())
