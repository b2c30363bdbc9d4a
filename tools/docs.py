"""Writes the generated parts of our pages anew: the code map, the law of a request as a picture and a table, the command line.

A generated part stands between `<!-- generated: NAME -->` and `<!-- end generated -->`. `python tools/docs.py --check`
writes nothing and ends with 1 when a part is out of date.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
PACKAGE: Final = ROOT / "src" / "hf_gate"
_PART: Final = re.compile(r"(<!-- generated: ([\w ]+) -->\n).*?(<!-- end generated -->)", re.DOTALL)
_STOREYS: Final = (
    "", "domain", "policy", "plan", "protocol", "protocol/flows", "application", "hub", "store", "sources", "localhub", "cli",
)  # fmt: skip

# ---- the code map -------------------------------------------------------------------------------------------------------


def rooms() -> str:
    """One line for each room, in the words by which it opens."""
    return "\n".join(next(iter(_room(room))) for room in _rooms() if room)


def code_map() -> str:
    """One line for each module, in the words by which it opens."""
    return "\n".join("\n".join(_room(room)) for room in _rooms())


def _rooms() -> list[str]:
    found = sorted({path.parent.relative_to(PACKAGE).as_posix().strip(".") for path in PACKAGE.rglob("*.py")})
    return [room for room in _STOREYS if room in found] + [room for room in found if room not in _STOREYS]


def _room(room: str) -> Iterator[str]:
    folder = PACKAGE / room
    yield f"- **`{room}/`** {_opening(folder / '__init__.py')}" if room else "- **`hf_gate/`**"
    for path in sorted(folder.glob("*.py")):
        if path.name != "__init__.py" or not room:
            yield f"  - `{path.relative_to(PACKAGE).as_posix()}` {_opening(path)}"


def _opening(path: Path) -> str:
    """The first sentence of a module, or its first clause when that says enough for a map."""
    text = (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").partition("\n\n")[0].replace("\n", " ")
    sentence = re.split(r"(?<=[^.])\.(?:\s|\Z)", text, maxsplit=1)[0]
    clause = sentence.partition("; ")[0] if len(sentence) > 100 else sentence
    return clause + "."


# ---- the law of one request ---------------------------------------------------------------------------------------------


def lifecycle() -> str:
    """The table of lawful moves as a diagram, then as a table."""
    sys.path.insert(0, str(ROOT / "src"))
    from hf_gate.domain.lifecycle import MEANING, MOVES  # noqa: PLC0415 - found in this checkout, installed or not

    arrows: dict[tuple[str, str], list[str]] = {}
    rows = []
    for move in MOVES:
        before, after = move.before or "(no request)", move.after or "(no request)"
        arrows.setdefault((before, after), []).append(move.verb)
        rows.append(f"| {before} | {move.verb} | {move.actor} | `{move.call}` | {after} |")
    picture = [
        f"    {_state(before)} --> {_state(after)}: {', '.join(verbs)}" for (before, after), verbs in arrows.items()
    ]
    meanings = [f"| {status} | {meaning} |" for status, meaning in MEANING.items()]
    return "\n".join([
        "```mermaid", "stateDiagram-v2", *picture, "```", "",
        "| status | what it means to the person |", "|---|---|", *meanings, "",
        "| from | act | whose | the Hub's call | to |", "|---|---|---|---|---|", *rows,
    ])  # fmt: skip


def _state(name: str) -> str:
    return "[*]" if name == "(no request)" else name


# ---- the command line ---------------------------------------------------------------------------------------------------


def command_line() -> str:
    """Every command, from the program itself."""
    sys.path[:0] = [str(ROOT), str(ROOT / "src")]
    from tools import cli_page  # noqa: PLC0415 - found in this checkout, installed or not

    return cli_page.command_line()


# ---- the facts ----------------------------------------------------------------------------------------------------------


def facts() -> str:
    """The law of the facts."""
    sys.path.insert(0, str(ROOT / "src"))
    from hf_gate.policy.fact_table import FACTS  # noqa: PLC0415 - found in this checkout, installed or not

    rows = ["| fact | type | what it says | who controls it | from | unknown when |", "|---|---|---|---|---|---|"]
    for name, law in FACTS.items():
        values = f" One of {', '.join(f'`{value}`' for value in law.values)}." if law.values else ""
        later = " *Not in this version: a policy that asks it is refused.*" if law.is_planned else ""
        cells = (
            f"`{name}`",
            law.type.value,
            law.meaning + values + later,
            law.trust.value,
            law.source,
            law.unknown_when,
        )
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def fact_errors() -> str:
    """How often the facts about domains are wrong."""
    sys.path[:0] = [str(ROOT), str(ROOT / "src")]
    from tools import facts_table  # noqa: PLC0415 - found in this checkout, installed or not

    return f"{facts_table.overview()}\n\n{facts_table.by_country()}\n\n{facts_table.wrong_ones()}"


# ---- writing ------------------------------------------------------------------------------------------------------------

PARTS: Final[dict[str, Callable[[], str]]] = {
    "rooms": rooms,
    "code map": code_map,
    "lifecycle": lifecycle,
    "command line": command_line,
    "facts": facts,
    "facts errors": fact_errors,
}
PAGES: Final = (
    "ARCHITECTURE.md",
    "docs/code-map.md",
    "docs/what-happens-to-the-person.md",
    "docs/cli.md",
    "docs/facts.md",
)


def renewed(text: str) -> str:
    """A page with its generated parts as they are now."""
    return _PART.sub(lambda part: f"{part[1]}{PARTS[part[2]]()}\n{part[3]}", text)


def main() -> int:
    """Write, or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; end with 1 when something is out of date")
    is_check = parser.parse_args().check
    stale = []
    for name in PAGES:
        page = ROOT / name
        before = page.read_text("utf-8")
        after = renewed(before)
        if after != before:
            stale.append(name)
            if not is_check:
                page.write_text(after, "utf-8")
    for name in stale:
        print(f"{name}: {'is out of date: make docs' if is_check else 'written'}")
    return 1 if stale and is_check else 0


if __name__ == "__main__":
    sys.exit(main())
