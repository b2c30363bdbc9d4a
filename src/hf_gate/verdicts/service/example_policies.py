"""The shipped example policies, fitted to a workspace: its repos, its forms, its list of people, its end date."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from hf_gate.core.policy_model import TableSpec
from hf_gate.errors import UsageError
from hf_gate.policies.parsing.policy_parser import parse_policy

EXAMPLES: Final = ("consumer", "academic", "medical", "class", "deny")


def list_policy_tables(text: str) -> Sequence[TableSpec]:
    """Return the tables that the text of a policy declares."""
    policy = parse_policy(text).policy
    return policy.tables if policy else ()


def fit_example(
    like: str,
    name: str,
    repos: Iterable[str],
    roles: Collection[str],
    *,
    until: str | None = None,
    key: Sequence[str] = (),
    is_enforced: bool = False,
) -> str:
    """Return the example with a new name, for these repos, without the rules that send back for an answer that no form
    asks for.

    `roles` are the roles of the questions that all forms ask. `until` is the end of access in its accept rules, `key`
    the columns of its first table that name a person. Raises UsageError if the example has no end to replace.
    """
    text = importlib.resources.files("hf_gate").joinpath("examples", f"{like}.yaml").read_text("utf-8")
    globs = ", ".join(f'"{glob}"' if re.search(r"[*?]", glob[:1]) else glob for glob in repos)
    text = re.sub(r"(?m)^policy: .*$", f"policy: {name}", text, count=1)
    text = re.sub(r"(?m)^applies_to: .*$", f"applies_to: [{globs}]", text, count=1)
    if is_enforced:
        text = text.replace("\nmode: shadow\n", "\nmode: enforce\n", 1)
    if key:
        text = re.sub(r"key: (\w+|\[.*?\])", f"key: [{', '.join(key)}]", text, count=1)
    if until is not None:
        text, times = _UNTIL.subn(rf"\g<1>{until}", text)
        if not times:
            raise UsageError(
                f"access by the example {like} has no end, or one from a table.", hint="Leave out --until."
            )
    return _drop_rules(text, roles)


_UNTIL: Final = re.compile(r"(?m)^(    until: )(?!tables\.)\S+")
_RULE_OR_TEST: Final = re.compile(r"(?m)^  - .*\n(?:    .*\n)*\n*")


def _drop_rules(text: str, roles: Collection[str]) -> str:
    """Return a policy without the rules that send back for the answer of a role that is not among these, and without
    their tests.
    """
    dropped: set[str] = set()

    def keep(block: re.Match[str]) -> str:
        words = block[0]
        rule = re.match(r"  - id: (\S+)", words)
        asked = re.search(r"(?m)^    when: .*\banswers\.(\w+)\.", words)
        if rule and asked and asked[1] not in roles and "\n    then: reset\n" in words:
            dropped.add(rule[1])
            return ""
        wanted = re.search(r"\brule: ([\w-]+)\}", words)
        return "" if wanted and wanted[1] in dropped else words

    return _RULE_OR_TEST.sub(keep, text)
