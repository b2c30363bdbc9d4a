"""The JSON Schema of each document that --json prints; the tests hold every command's output against its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..domain.lifecycle import STATUSES
from ..domain.outcomes import Kind

Schema = Mapping[str, object]

_TEXT: Final[Schema] = {"type": "string"}
_MAYBE: Final[Schema] = {"type": ["string", "null"]}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_MAYBE_COUNT: Final[Schema] = {"type": ["integer", "null"], "minimum": 0}
_BOOL: Final[Schema] = {"type": "boolean"}
_MAYBE_BOOL: Final[Schema] = {"type": ["boolean", "null"]}
_TIME: Final[Schema] = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"}
_MAYBE_TIME: Final[Schema] = {"anyOf": [_TIME, {"type": "null"}]}
_REPO_TYPE: Final[Schema] = {"enum": ["model", "dataset"]}
_GATED: Final[Schema] = {"anyOf": [{"const": False}, {"type": "string"}]}
_ONE: Final[Schema] = {"const": 1}


def _object(**properties: object) -> dict[str, object]:
    """An object with exactly these keys: what is absent is null, never a missing key."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _document(**properties: object) -> dict[str, object]:
    return _object(schema_version=_ONE, **properties)


def _array(items: object) -> dict[str, object]:
    return {"type": "array", "items": items}


def _maybe(schema: object) -> dict[str, object]:
    return {"anyOf": [schema, {"type": "null"}]}


def _map(values: object) -> dict[str, object]:
    return {"type": "object", "additionalProperties": values}


_REQUEST: Final[dict[str, object]] = {
    "repo": _TEXT,
    "repo_type": _REPO_TYPE,
    "request_id": _MAYBE,
    "user_id": _MAYBE,
    "user": _MAYBE,
    "fullname": _MAYBE,
    "email": _MAYBE,
    "status": {"type": "string", "description": f"{', '.join(STATUSES)}, or another word that the Hub uses"},
    "asked_at": _TIME,
    "reviewed_at": _MAYBE_TIME,
    "answers": _maybe(_map(_TEXT)),
    "quality": _maybe(_map({"enum": ["good", "thin", "junk", "empty", "missing"]})),
    "verdict": {"description": "null until a policy judges the repo"},
}
_OUTCOME: Final = _object(
    user=_MAYBE,
    user_id=_MAYBE,
    request_id=_MAYBE,
    repo=_TEXT,
    repo_type=_REPO_TYPE,
    outcome={"enum": [*(kind.value for kind in Kind), None], "description": "null in a dry run"},
    why=_MAYBE,
)
_ACCOUNT: Final = _object(
    created_at=_MAYBE_TIME,
    is_pro=_BOOL,
    orgs=_array(_TEXT),
    models=_MAYBE_COUNT,
    datasets=_MAYBE_COUNT,
    followers=_MAYBE_COUNT,
)
_FIELD: Final = _object(
    label=_TEXT,
    type=_TEXT,
    role={"enum": ["purpose", "affiliation", "country", "email", "name", "job", "birth_date", "consent", "other"]},
    options=_array(_object(label=_TEXT, value=_TEXT)),
    required=_MAYBE_BOOL,
    known=_BOOL,
)

SCHEMAS: Final[Mapping[str, Schema]] = {
    "ls": _array(_object(**_REQUEST)),
    "show": _document(**_REQUEST, granted_by=_MAYBE, account=_maybe(_ACCOUNT)),
    "verbs": _document(run=_MAYBE, planned=_COUNT, **{kind.value: _COUNT for kind in Kind}, outcomes=_array(_OUTCOME)),
    "repos-ls": _array(_object(repo=_TEXT, repo_type=_REPO_TYPE, gated=_GATED)),
    "repos-show": _document(
        repo=_TEXT,
        repo_type=_REPO_TYPE,
        gated=_GATED,
        counts=_maybe(_map(_COUNT)),
        fields=_maybe(_array(_TEXT)),
        fingerprint=_MAYBE,
    ),
    "repos-form": _document(
        fields=_array(_FIELD),
        prompt=_MAYBE,
        heading=_MAYBE,
        description=_MAYBE,
        button=_MAYBE,
        eu_disallowed=_MAYBE_BOOL,
        fingerprint=_MAYBE,
        prompt_fingerprint=_MAYBE,
        problems=_array(_object(line=_COUNT, column=_COUNT, code=_TEXT, message=_TEXT)),
    ),
    "repos-report": _array(
        _object(
            repo=_TEXT,
            repo_type=_REPO_TYPE,
            user=_MAYBE,
            fullname=_MAYBE,
            email=_MAYBE,
            status=_MAYBE,
            asked_at=_MAYBE,
            reviewed_at=_MAYBE,
            granted_by=_MAYBE,
        )
    ),
    "ask": _document(
        repo=_TEXT,
        repo_type=_REPO_TYPE,
        status={"enum": ["granted", "ask", "pending", "rejected", "reset", "sign_in", "unknown"]},
    ),
    "doctor": _document(ok=_BOOL, checks=_array(_object(check=_TEXT, ok=_MAYBE_BOOL, detail=_TEXT, hint=_MAYBE))),
    "demo": _document(ok=_BOOL, url=_TEXT, steps=_array(_object(step=_TEXT, ok=_BOOL, detail=_TEXT))),
    "hub-serve": _object(
        url=_TEXT,
        pid=_COUNT,
        tokens=_map(_TEXT),
        repos=_array(
            _object(repo=_TEXT, repo_type=_REPO_TYPE, gated=_GATED, **{status.value: _COUNT for status in STATUSES})
        ),
        control=_TEXT,
    ),
    "version": _document(version=_TEXT, python=_TEXT),
    "config-path": {
        "type": "object",
        "properties": {"schema_version": _ONE},
        "required": ["schema_version"],
        "additionalProperties": _TEXT,
    },
}
ALIASES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("accept", "reject", "reset", "cancel", "grant", "revoke", "review"), "verbs"),
    "withdraw": "ask",
}


def schema_of(name: str) -> Schema:
    """The whole schema, ready for a validator."""
    title = ALIASES.get(name, name)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"hf-gate {name}", **SCHEMAS[title]}
