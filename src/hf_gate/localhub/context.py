"""The context of one call, checked in the Hub's order: caller, repo, permissions, and the body in the Hub's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec

from hf_gate.base.ids import Repo
from hf_gate.core.requests import utf16_units
from hf_gate.hub.protocol.access_refusals import RefusalCause, get_refusals
from hf_gate.hub.protocol.endpoints import RecognizedCall

from .http_messages import HttpError, HttpRequest
from .records import HubRepo, HubToken
from .world import World

NO_RIGHT = "You have read access but not the required permissions for this operation"
BAD_LOGIN_PREFIX = "hf_bad_credentials"  # an unknown token that begins so is refused with the Hub's other text
NO_PAGE = "Sorry, we can't find the page you are looking for."


def build_refusal(cause: RefusalCause, variant: int = 0, **values: str) -> HttpError:
    """Return the error with the Hub's text for a cause, or another of its texts; `values` are for its placeholders."""
    refusal = get_refusals(cause)[variant]
    return HttpError(refusal.status, refusal.text.format_map(values), refusal.code)


class CallContext:
    """The input of a handler: the world, the request and the recognised call."""

    def __init__(self, world: World, request: HttpRequest, call: RecognizedCall) -> None:
        self.world = world
        self.request = request
        self.call = call
        self.now_ms = request.now_ms

    @cached_property
    def token(self) -> HubToken | None:
        """The caller's token; None for anonymous calls. An unknown or expired token is refused at every endpoint."""
        secret = self.request.bearer_token
        if secret is None:
            return None
        token = self.world.find_token(secret)
        if token is None:
            raise build_refusal(RefusalCause.TOKEN_INVALID, secret.startswith(BAD_LOGIN_PREFIX))
        if token.is_expired:
            raise build_refusal(RefusalCause.TOKEN_EXPIRED, token=token.name)
        return token

    @property
    def caller(self) -> HubToken:
        if self.token is None:
            raise build_refusal(RefusalCause.TOKEN_INVALID)
        return self.token

    @cached_property
    def hub_repo(self) -> HubRepo:
        """The repo in the path.

        Raises a 401 (anonymous calls) or 404 if the repo is missing or private, and a 307 if it was renamed.
        """
        named = self.call.repo
        if named is None:
            raise HttpError(404, NO_PAGE)
        return self.find_repo(named)

    def find_repo(self, named: Repo) -> HubRepo:
        token = self.token
        if (renamed := self.world.renamed.get((named.type, named.id.lower()))) is not None:
            path = self.request.path.replace(f"/{named.id}", f"/{renamed.id}", 1)
            query = f"?{self.request.query}" if self.request.query else ""
            raise HttpError(307, f"Temporary Redirect. Redirecting to {path}", Location=f"{path}{query}")
        found = self.world.find_repo(named)
        if found is None or not self.world.can_see(token, found):
            raise build_refusal(RefusalCause.TOKEN_INVALID if token is None else RefusalCause.NOT_FOUND_OR_PRIVATE)
        return found

    def require_reviewer(self, *, can_decide: bool) -> tuple[HubToken, HubRepo]:
        """Return the caller and the repo if the caller can see the repo's requests and, with `can_decide`,
        change them.
        """
        caller = self.caller
        hub_repo = self.hub_repo
        may = self.world.can_write if can_decide else self.world.can_list
        if not may(caller, hub_repo):
            raise HttpError(403, NO_RIGHT)
        return caller, hub_repo

    def require_decider(self) -> tuple[HubToken, HubRepo]:
        """Return the caller and the repo if the caller can decide and the repo is gated."""
        caller, hub_repo = self.require_reviewer(can_decide=True)
        if hub_repo.gated is False:
            raise HttpError(400, f"{hub_repo.repo.type.value} {hub_repo.repo.id} is not gated", "RepoNotGated")
        return caller, hub_repo


# ---- bodies ----------------------------------------------------------------------------------------------------------


_KINDS = ((bool, "boolean"), (str, "string"), (int, "number"), (float, "number"), (list, "array"), (dict, "object"))


def get_json_type(value: object) -> str:
    """Return the JavaScript name of a JSON value's type."""
    return next((name for of, name in _KINDS if isinstance(value, of)), "null")


class BodyValidator:
    """Reads the parts of one JSON object and collects problems until `raise_problems`."""

    def __init__(self, raw: Mapping[str, Any] | bytes, where: str = "") -> None:
        self.problems: list[str] = []
        self.values: dict[str, Any] = {}
        self._where = where
        if isinstance(raw, bytes):
            try:
                parsed: object = msgspec.json.decode(raw) if raw.strip() else None
            except (msgspec.DecodeError, UnicodeDecodeError):
                raise HttpError(400, "✖ Invalid JSON") from None
        else:
            parsed = raw
        if isinstance(parsed, dict):
            self.values = parsed
        else:
            self.add_problem(
                f"Invalid input: expected object, received {'undefined' if parsed is None else get_json_type(parsed)}"
            )
            self.raise_problems()

    def add_problem(self, problem: str, key: str = "") -> None:
        path = ".".join(part for part in (self._where, key) if part).replace(".[", "[")
        self.problems.append(f"✖ {problem}" + (f"\n  → at {path}" if path else ""))

    def raise_problems(self) -> None:
        """Raise a 400 that lists all problems, if there are any."""
        if self.problems:
            raise HttpError(400, "\n".join(self.problems))

    def get_text(self, key: str, *, most: int | None = None, needed: bool = False) -> str | None:
        value = self.values.get(key)
        if value is None and not (needed or key in self.values):
            return None
        if not isinstance(value, str):
            self.add_problem(f"Invalid input: expected string, received {self._describe_type(key)}", key)
            return None
        if most is not None and utf16_units(value) > most:
            self.add_problem(f"Too big: expected string to have <={most} characters", key)
        return value

    def get_option(self, key: str, options: Sequence[str]) -> str:
        value = self.values.get(key)
        if not (isinstance(value, str) and value in options):
            self.add_problem("Invalid option: expected one of " + "|".join(f'"{option}"' for option in options), key)
            return options[0]
        return value

    def get_flag(self, key: str) -> bool | None:
        value = self.values.get(key)
        if value is None and key not in self.values:
            return None
        if not isinstance(value, bool):
            self.add_problem(f"Invalid input: expected boolean, received {self._describe_type(key)}", key)
            return None
        return value

    def get_items(self, key: str, most: int) -> list[Any]:
        value = self.values.get(key)
        if not isinstance(value, list):
            self.add_problem(f"Invalid input: expected array, received {self._describe_type(key)}", key)
            return []
        if not value:
            self.add_problem("Too small: expected array to have >=1 items", key)
        if len(value) > most:
            self.add_problem(f"Too big: expected array to have <={most} items", key)
        return value

    def _describe_type(self, key: str) -> str:
        return get_json_type(self.values[key]) if key in self.values else "undefined"


def parse_query_number(text: str | None, key: str, low: int, high: int, default: int) -> int:
    """Parse an integer in a query string."""
    if text is None:
        return default
    body = BodyValidator({key: text})
    value = int(text) if text.lstrip("-").isdecimal() and text.isascii() and len(text) < 15 else None
    if value is None:
        body.add_problem("Invalid input: expected number, received NaN", key)
    elif value < low:
        body.add_problem(f"Too small: expected number to be >={low}", key)
    elif value > high:
        body.add_problem(f"Too big: expected number to be <={high}", key)
    body.raise_problems()
    return default if value is None else value
