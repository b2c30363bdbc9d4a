"""Parses `sources` of hf-gate.yaml: the other systems that facts come from."""

from __future__ import annotations

import re
from collections.abc import Collection
from collections.abc import Mapping as Map
from datetime import timedelta
from typing import Final

from hf_gate.base.network_hosts import is_loopback_host
from hf_gate.base.yaml_parser import Mapping, Node, Scalar
from hf_gate.core.parsing.literals import InvalidLiteralError, parse_rate, parse_span
from hf_gate.core.parsing.node_reader import NodeReader
from hf_gate.core.parsing.strict_yaml import suggest
from hf_gate.core.policy_model import FactValue
from hf_gate.policies.facts.fact_table import CelType
from hf_gate.policies.facts.policy_test_facts import parse_scalar
from hf_gate.policies.facts.source_answers import FIELDS
from hf_gate.settings.notice_config import read_reference
from hf_gate.settings.workspace_config import SourceSpec

SOURCE_KEYS: Final = (*("get", "allow", "value", "type", "absent", "cache", "timeout", "rate", "headers", "private"),)
SOURCE_TYPES: Final = (CelType.BOOL, CelType.STRING, CelType.INT, CelType.TIMESTAMP)
MAX_SOURCES: Final = 20
MAX_CACHE: Final = timedelta(days=90)
MAX_TIMEOUT: Final = timedelta(seconds=30)
_SYNONYMS: Final = {"url": "get", "pointer": "value", "hosts": "allow", "ttl": "cache", "default": "absent"}
_TYPE_SYNONYMS: Final = {"boolean": "bool", "text": "string", "integer": "int", "number": "int", "date": "timestamp"}
_HOST: Final = r"[a-z0-9](?:[a-z0-9.-]{0,250}[a-z0-9])?|\[[0-9a-f:.]{2,45}\]"
_ADDRESS: Final = re.compile(rf"(https?)://({_HOST})(?::[1-9]\d{{0,4}})?/[!-\"$-~]{{0,1000}}\Z", re.ASCII)
_POINTER: Final = re.compile(r"(?:/(?:[^~/]|~[01]){0,200}){1,20}\Z")
_HEADER: Final = re.compile(r"(?i:(?!host|connection|content-|transfer-|accept)[a-z][a-z0-9-]{0,63})\Z", re.ASCII)
_EXAMPLE: Final = "{get: 'https://crm.example.org/users/{user_id}', allow: [crm.example.org], value: /paid}"


def read_sources(reader: NodeReader, node: Node) -> dict[str, SourceSpec]:
    """Read the sources by name. Problems are added to the reader."""
    pairs = reader.read_names(node, "sources")
    if len(pairs) > MAX_SOURCES:
        reader.add_problem(node, "too_many", f"sources has more than {MAX_SOURCES} entries.")
    found = (_read_source(reader, key.text, value) for key, value in pairs[:MAX_SOURCES])
    return {spec.name: spec for spec in found if spec is not None}


def _read_source(reader: NodeReader, name: str, node: Node) -> SourceSpec | None:
    keys = reader.read_keys(node, f"source {name}", SOURCE_KEYS, synonyms=_SYNONYMS)
    if keys is None:
        return None
    if "get" not in keys or "allow" not in keys:
        words = f"Source {name} needs `get`, its address, and `allow`, the hosts that may be called."
        reader.add_problem(node, "no_address", words, hint=f"For example, write `{_EXAMPLE}`.")
        return None
    kind = CelType(keys.read_value("type", NodeReader.read_choice, SOURCE_TYPES, _TYPE_SYNONYMS) or CelType.BOOL)
    is_private = keys.read_value("private", NodeReader.read_flag) or False
    items = reader.read_items(keys["allow"][1], "allow", "`allow: [crm.example.org]`")
    allowed = [host for item in items if (host := reader.parse(item, "allow", "bad_host", _parse_host)) is not None]

    def parse_get(text: str) -> str:
        return _parse_address(text, allowed, is_private=is_private)

    def parse_absent(text: str) -> FactValue:
        return parse_scalar("it", text, kind)

    plain = SourceSpec(name, "", kind)
    return SourceSpec(
        name=name,
        get=keys.read_value("get", NodeReader.parse, "bad_address", parse_get) or "",
        type=kind,
        pointer=keys.read_value("value", NodeReader.parse, "bad_pointer", _parse_pointer) or "",
        cache=keys.read_value("cache", NodeReader.parse, "bad_span", lambda text: parse_span(text, MAX_CACHE))
        or plain.cache,
        timeout=keys.read_value("timeout", NodeReader.parse, "bad_span", lambda text: parse_span(text, MAX_TIMEOUT))
        or plain.timeout,
        absent=reader.parse(keys["absent"][1], "absent", "bad_value", parse_absent) if "absent" in keys else None,
        headers=keys.read_part("headers", _read_headers, {}),
        is_private=is_private,
        rate=keys.read_value("rate", NodeReader.parse, "bad_rate", parse_rate) or plain.rate,
    )


def _parse_host(text: str) -> str:
    if not re.fullmatch(_HOST, text, re.ASCII):
        raise InvalidLiteralError(
            f"`{text[:60]}` is not the name of a host: write it in lower case, without scheme, port and path."
        )
    return text


def _parse_address(text: str, allowed: Collection[str], *, is_private: bool) -> str:
    """Return the address of a source. Raises InvalidLiteralError."""
    match = _ADDRESS.match(text)
    if match is None:
        raise InvalidLiteralError(
            "it is not an address such as https://crm.example.org/users/{user_id}, without a login and a fragment."
        )
    scheme, host = match.groups()
    if scheme != "https" and not (is_private and is_loopback_host(host.strip("[]"))):
        raise InvalidLiteralError(
            "it is not https. Only a host of this machine may be asked by http, with `private: true`."
        )
    if host not in allowed:
        raise InvalidLiteralError(f"its host {host} is not among the hosts of `allow`.")
    names = re.findall(r"\{([^{}]*)\}", text)
    wrong = next((name for name in names if name not in FIELDS), None)
    if wrong is not None or not names:
        near = suggest(wrong or "", FIELDS)
        what = "it asks about nobody" if wrong is None else f"there is no placeholder {{{wrong[:40]}}}"
        fix = text.replace(f"{{{wrong}}}", f"{{{near}}}") if near else None
        raise InvalidLiteralError(f"{what}: write {{user_id}}, {{username}} or {{email}} in it.", fix)
    return text


def _parse_pointer(text: str) -> str:
    if not _POINTER.match(text):
        raise InvalidLiteralError(f"`{text[:40]}` is not a JSON pointer: write /paid, or /data/paid.")
    return text


def _read_headers(reader: NodeReader, node: Node) -> Map[str, str]:
    headers: dict[str, str] = {}
    for key, value in node.pairs if isinstance(node, Mapping) else [(node, node)]:
        if not isinstance(node, Mapping) or not isinstance(key, Scalar) or not _HEADER.match(key.text):
            words = "headers has an entry that is not a header that a source may have."
            reader.add_problem(key, "bad_header", words, hint="Write `headers: {Authorization: env:NAME}`.")
        elif (reference := read_reference(reader, value, key.text)) is not None:
            headers[key.text] = reference
    return headers
