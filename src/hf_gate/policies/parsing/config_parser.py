"""Parses hf-gate.yaml: repos, policies, tables, store, time zone, guards, templates and sign-in."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from functools import lru_cache

from msgspec import Struct

from hf_gate.base.yaml_parser import Mapping, Node, Scalar
from hf_gate.core.parsing.literals import Rate, parse_rate
from hf_gate.core.parsing.node_reader import KnownKeys, NodeReader
from hf_gate.core.parsing.strict_yaml import read_yaml
from hf_gate.core.policy_model import PolicyProblem
from hf_gate.settings.letter_config import find_need_positions, read_letter_config
from hf_gate.settings.notice_config import read_destinations, read_reference
from hf_gate.settings.sign_in_config import read_sign_in
from hf_gate.settings.workspace_config import RATES, RunGuards, WorkspaceConfig

from .policy_parser import read_globs, read_table_specs, read_version
from .rule_parser import read_text_for_people

KEYS = (
    "version",
    "store",
    "repos",
    "policies",
    "tables",
    "timezone",
    "guards",
    "templates",
    "desk",
    "heartbeat_url",
    "retention",
    "notify",
    "sign_in",
    "letters",
)
DESK_KEYS = ("may_write_tables", "shared")
_SYNONYMS = {
    **dict.fromkeys(("database", "db"), "store"),
    **dict.fromkeys(("applies_to", "repositories", "repo"), "repos"),
    **dict.fromkeys(("policy", "rules"), "policies"),
    **dict.fromkeys(("tz", "time_zone"), "timezone"),
    **dict.fromkeys(("limits", "budgets"), "guards"),
    **dict.fromkeys(("reasons", "reason_templates"), "templates"),
    "lists": "tables",
    **dict.fromkeys(("keep", "forget"), "retention"),
    **dict.fromkeys(("notices", "notifications"), "notify"),
}
_GUARD_SYNONYMS = {
    **dict.fromkeys(("accepts", "accepted"), "accept"),
    "resets": "reset",
    **dict.fromkeys(("rejects", "rejections"), "reject"),
    **dict.fromkeys(("removals", "revoke"), "remove"),
    **dict.fromkeys(("ends", "expire", "expiries"), "end"),
    **dict.fromkeys(("protect", "never_remove"), "protected"),
}
RETENTION_STATUSES = ("rejected", "reset", "withdrawn")
"""Statuses whose personal data can be deleted after some time. Others still need it."""
_PERIOD = re.compile(r"([1-9]\d{0,3})(d|w|mo|y)\Z")
_DAYS = {"d": 1, "w": 7, "mo": 30, "y": 365}
_STORE = re.compile(r"(sqlite:///\S+|postgresql(?:\+psycopg)?://\S+)\Z")


class ParsedConfig(Struct, frozen=True):
    """The result of parsing. `config` is None if any problem is an error."""

    config: WorkspaceConfig | None
    problems: tuple[PolicyProblem, ...] = ()
    repo_urls: tuple[Scalar, ...] = ()


@lru_cache(maxsize=8)
def parse_config(
    text: str, source: str = "hf-gate.yaml", *, list_zones: Callable[[], Collection[str]] = tuple
) -> ParsedConfig:
    """Parse an hf-gate.yaml. `list_zones` returns the known time zones; if it returns none, any name is accepted.

    A text that did not change is not parsed again: commands read it for the store, and again with the policies. Never
    raises.
    """
    read = read_yaml(text, source)
    if read.problems:
        return ParsedConfig(None, read.problems)
    if read.root is None:
        return ParsedConfig(None, (PolicyProblem("empty", "The file is empty.", source),))
    reader = NodeReader(read.source)
    config = _read_config(reader, read.root, list_zones)
    problems = reader.sorted_problems
    is_wrong = any(problem.is_error for problem in problems)
    return ParsedConfig(None if is_wrong else config, problems, tuple(reader.repo_urls))


def _read_config(reader: NodeReader, root: Node, list_zones: Callable[[], Collection[str]]) -> WorkspaceConfig | None:
    keys = reader.read_keys(root, "hf-gate.yaml", KEYS, synonyms=_SYNONYMS)
    if keys is None:
        return None
    read_version(reader, keys, root)
    if "repos" not in keys and isinstance(root, Mapping) and len(keys) == len(root.pairs):
        reader.add_problem(
            root, "no_repos", "The workspace has no repos.", hint="Write `repos: [ns/name, datasets/ns/name-*]`."
        )
    plain = WorkspaceConfig()
    return WorkspaceConfig(
        repos=read_globs(reader, keys["repos"][1], "repos") if "repos" in keys else (),
        store=keys.read_value("store", _read_store) or plain.store,
        policies=keys.read_part("policies", _read_files, plain.policies),
        tables=keys.read_part("tables", read_table_specs, ()),
        timezone=keys.read_value("timezone", _read_timezone, list_zones) or plain.timezone,
        guards=keys.read_part("guards", _read_guards, plain.guards),
        templates=keys.read_part("templates", _read_templates, {}),
        heartbeat_url=keys.read_value("heartbeat_url", read_reference),
        retention=keys.read_part("retention", _read_retention, {}),
        notify=keys.read_part("notify", read_destinations, ()),
        sign_in=keys.read_part("sign_in", read_sign_in, plain.sign_in),
        letters=keys.read_part("letters", read_letter_config, plain.letters),
        need_positions=find_need_positions(root),
        **keys.read_part("desk", _read_desk, dict[str, bool]()),
        source=reader.source.name,
    )


def _read_store(reader: NodeReader, node: Node, name: str) -> str | None:
    text = reader.read_text(node, name)
    if text is None or _STORE.match(text):
        return text
    if text.startswith("hf://"):
        reader.add_problem(
            node, "later", "a store on the Hub (`hf://`) is not supported yet; use sqlite:/// or postgresql://."
        )
        return None
    fix = None
    if re.fullmatch(r"(sqlite:/{0,2})?[^:\s]+\.(db|sqlite3?)", text):
        fix = "sqlite:///" + re.sub(r"^sqlite:/{0,2}", "", text)
    elif text.startswith("postgres://"):
        fix = "postgresql://" + text.removeprefix("postgres://")
    words = "store must be sqlite:///FILE or postgresql://HOST/NAME."
    hint = ""
    if fix is not None:  # which may have a password
        hint = f"Did you mean `{fix}`?" if fix.startswith("sqlite") else "Write postgresql:// instead of postgres://."
    reader.add_problem(node, "bad_store", words, fix=fix, hint=hint)
    return None


def _read_files(reader: NodeReader, node: Node) -> tuple[str, ...]:
    items = reader.read_items(node, "policies", "`policies: [policies/*.yaml]`")
    found = [text for item in items if (text := reader.read_text(item, "policies")) is not None]
    return tuple(dict.fromkeys(found))


def _read_timezone(reader: NodeReader, node: Node, name: str, list_zones: Callable[[], Collection[str]]) -> str | None:
    text = reader.read_text(node, name)
    if text is None:
        return None
    zones = list_zones()  # to look one up reads one file; to list them reads about 600
    if text in zones or (not zones and re.fullmatch(r"[A-Za-z][A-Za-z0-9_+/-]{1,40}", text)):
        return text
    by_word = {zone.rpartition("/")[2].lower().replace("_", " "): zone for zone in sorted(zones, reverse=True)}
    near = by_word.get(text.lower().replace("_", " ")) or next((z for z in zones if z.lower() == text.lower()), None)
    words = f"unknown timezone `{text[:40]}`: write a name such as Europe/Zurich or UTC."
    reader.add_problem(node, "bad_timezone", words, fix=near, hint=f"Did you mean `{near}`?" if near else "")
    return None


def _read_guards(reader: NodeReader, node: Node) -> RunGuards:
    keys = reader.read_keys(node, "guards", (*RATES, "protected"), synonyms=_GUARD_SYNONYMS)
    if keys is None:
        return RunGuards()
    rates: dict[str, Rate] = {}
    for name in RATES:
        rate = keys.read_value(name, NodeReader.parse, "bad_rate", parse_rate)
        if rate is not None:
            rates[name] = rate
    protected: list[str] = []
    if "protected" in keys:
        for item in reader.read_items(keys["protected"][1], "protected", "`protected: [a-username]`"):
            name_text = reader.read_text(item, "protected")
            if name_text is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}", name_text):
                reader.add_problem(
                    item, "bad_username", f"`{name_text[:40]}` is not a username.", fix=_suggest_username(name_text)
                )
            elif name_text is not None:
                protected.append(name_text)
    return RunGuards(**rates, protected=tuple(protected))


def _read_desk(reader: NodeReader, node: Node) -> dict[str, bool]:
    keys = reader.read_keys(node, "desk", DESK_KEYS) or KnownKeys(reader)
    return {name: reader.read_flag(keys[name][1], name) for name in DESK_KEYS if name in keys}


def _read_retention(reader: NodeReader, node: Node) -> dict[str, int]:
    """Read the days after which the personal data of requests is deleted, by status."""
    retention: dict[str, int] = {}
    for status, (_, value) in (reader.read_keys(node, "retention", RETENTION_STATUSES) or KnownKeys(reader)).items():
        text = reader.read_text(value, f"retention of {status}")
        match = _PERIOD.match(text or "")
        if match is not None:
            retention[status] = int(match[1]) * _DAYS[match[2]]
        elif text is not None:
            reader.add_problem(value, "bad_period", f"`{text[:40]}` is not a period; write 180d, 12w, 6mo or 1y.")
    return retention


def _suggest_username(text: str) -> str | None:
    name = text.strip().removeprefix("@").rstrip("/").rpartition("/")[2]
    return name if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}", name) else None


def _read_templates(reader: NodeReader, node: Node) -> dict[str, str]:
    templates: dict[str, str] = {}
    for name, value in reader.read_ids(node, "Write templates as `name: text` lines.", "A template's name"):
        text = read_text_for_people(reader, value, f"template {name}")
        if text is not None:
            templates[name] = text
    return templates
