"""The local Hub for tests: the context manager `LocalHub` and the pytest fixture `hf_local_hub`."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

try:
    import pytest
except ImportError:  # without pytest, only the fixture is missing
    pytest = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from hf_gate.localhub.server import LocalHubServer


class ClockControl:
    """Reads and advances the local Hub's clock."""

    def __init__(self, hub: LocalHub) -> None:
        self._hub = hub

    def now(self) -> float:
        """Return seconds since 1970 by the Hub's clock."""
        return float(self._hub.control("GET", "clock")["now"])

    def advance(self, by: str) -> None:
        """Advance the clock: `48h`, `90s`, `30d`."""
        self._hub.control("POST", "clock", {"advance": by})


class LocalHub:
    """A local Hub on a port of this machine, in a thread of this process, for the length of a `with` block.

    `people` are added at the start; see `add_people`. `.tokens` has the tokens by name (owner, admin, writer, reader,
    stranger, owner_read, fine_write, fine_access, fine_content, fine_look, fine_decide), for added people by username,
    and those of `add_token` by name.
    """

    def __init__(
        self,
        seed: int = 7,
        requests: int = 2000,
        repos: int = 3,
        people: Sequence[Mapping[str, str]] | None = None,
        faults: Iterable[str] = (),
        quota: str | None = None,
        protocol: str = "2026-10-23",
        clock: str = "real",
        *,
        preset: str = "consumer",
        page_size: int = 1000,
        latency: float = 0.0,
    ) -> None:
        self._people = list(people or ())
        self._made: dict[str, Any] = {
            "seed": seed,
            "requests": requests,
            "repos": repos,
            "preset": preset,
            "quota": quota,
            "latency_s": latency,
            "page_size": page_size,
            "protocol": protocol,
            "faults": tuple(faults),
            "clock": clock,
        }
        self._serving: LocalHubServer | None = None
        self._thread: threading.Thread | None = None
        self.url = ""
        self.tokens: dict[str, str] = {}
        self.clock = ClockControl(self)

    def __enter__(self) -> Self:
        from hf_gate.localhub.server import LocalHubServer, build_local_hub_app

        app = build_local_hub_app(**self._made)
        self._serving = serving = LocalHubServer(app)
        self._thread = threading.Thread(target=serving.run, name="hf-local-hub", daemon=True)
        self._thread.start()
        serving.wait_ready()
        self.url = serving.url
        self.tokens = {token.name: token.secret for token in app.world.tokens.values()}
        if self._people:
            self.add_people(self._people)
        return self

    def __exit__(self, *_: object) -> None:
        if self._serving is not None and self._thread is not None:
            self._serving.stop()
            self._thread.join()
        self._serving = self._thread = None

    def __repr__(self) -> str:
        return f"LocalHub({self.url!r})" if self._serving is not None else "LocalHub(not started)"

    @property
    def repos(self) -> list[dict[str, Any]]:
        """Each repo with `repo, repo_type, gated` and its number of requests by status."""
        return list(self.control("GET", "repos"))

    def journal(self, after: int = 0) -> list[dict[str, Any]]:
        """Return every change of a request after line `after`, oldest first."""
        return list(self.control("GET", f"journal?after={after}"))

    def stats(self) -> dict[str, Any]:
        """Return the number of calls by endpoint, and of answers by status."""
        return dict(self.control("GET", "stats"))

    def set_faults(self, specs: Iterable[str]) -> None:
        """Replace all faults by these."""
        self.control("POST", "faults", {"set": list(specs)})

    def add_people(self, people: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
        """Add people by `username`, optionally `fullname, email, created_at`; return `id, username, token` of each."""
        made: list[dict[str, str]] = self.control("POST", "people", [dict(person) for person in people])
        self.tokens |= {person["username"]: person["token"] for person in made}
        return made

    def add_requests(self, requests: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
        """Add requests by `repo, user, answers`, optionally `repo_type, asked_at`; return the `request_id` of each."""
        return list(self.control("POST", "requests", [dict(request) for request in requests]))

    def rename(self, user: str, to: str) -> None:
        """Give a person another username; the old one becomes free, for `add_people` too."""
        person = self.control("POST", "rename", {"user": user, "to": to})
        if self.tokens.get(user) == person["token"]:
            del self.tokens[user]
        self.tokens[person["username"]] = person["token"]

    def set_role(self, org: str, user: str, role: str | None) -> None:
        """Give a person a role in an organisation (admin, write, contributor, read, no_access); None removes the
        person.
        """
        self.control("POST", "roles", {"org": org, "user": user, "role": role})

    def add_token(
        self,
        user: str,
        role: str = "read",
        *,
        name: str | None = None,
        can_read_gated: bool | None = None,
        scopes: Sequence[Mapping[str, Any]] = (),
        expired: bool = False,
        restrictions: Sequence[str] = (),
    ) -> str:
        """Make a token for a person and return it; `.tokens` has it by its name.

        `role` is read, write or fineGrained. A fineGrained token may read gated repos only with `can_read_gated`, or
        with a scope on the repo: `{"repo": "acme/eeg", "permissions": ["repo.content.read"]}`. A scope without `repo`
        is for the account and its organisations. The Hub refuses an `expired` token everywhere. `restrictions` are
        those that the person's organisations put on the token: mfa, token-policy, token-revoked, sso, ip.
        """
        line = {"user": user, "role": role, "name": name, "can_read_gated": can_read_gated, "expired": expired}
        lists = {"scopes": [dict(scope) for scope in scopes], "restrictions": list(restrictions)}
        made = self.control("POST", "tokens", line | lists)
        self.tokens[made["name"]] = made["token"]
        return str(made["token"])

    def set_card(self, repo: str, text: str, repo_type: str | None = None) -> None:
        """Replace the README.md of a repo, and thus its gate form."""
        self.control("POST", "card", {"repo": repo, "repo_type": repo_type, "text": text})

    def reset(self) -> None:
        """Return to the initial world, without faults or added people."""
        self.control("POST", "reset", {})

    def control(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        """Call the control API `/_hf_gate`; raise ValueError with its message for an error."""
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=60)
        try:
            data = None if body is None else json.dumps(body).encode()
            connection.request(method, f"/_hf_gate/{path}", data, {"content-type": "application/json"})
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise ValueError(answer["error"])
        return answer


if pytest is not None:

    @pytest.fixture
    def hf_local_hub() -> Iterator[LocalHub]:
        """A local Hub with one manually gated model and no requests."""
        with LocalHub(requests=0, repos=1) as hub:
            yield hub
