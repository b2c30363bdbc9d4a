"""The context of one call: caller, repo and permissions, checked in the Hub's order."""

from __future__ import annotations

from functools import cached_property

from ..domain.ids import Repo
from ..protocol.endpoints import RecognizedCall
from .http_messages import HttpError, HttpRequest
from .records import HubRepo, HubToken
from .world import World

BAD_LOGIN = "Invalid username or password."
NO_RIGHT = "You have read access but not the required permissions for this operation"
NO_PAGE = "Sorry, we can't find the page you are looking for."


class CallContext:
    """The input of a handler: the world, the request and the recognized call."""

    def __init__(self, world: World, request: HttpRequest, call: RecognizedCall) -> None:
        self.world, self.request, self.call = world, request, call
        self.now_ms = request.now_ms

    @cached_property
    def token(self) -> HubToken | None:
        """The caller's token; None for anonymous calls. An unknown token is refused at every endpoint."""
        secret = self.request.bearer_token
        if secret is None:
            return None
        token = self.world.find_token(secret)
        if token is None:
            raise HttpError(401, BAD_LOGIN)
        return token

    @property
    def caller(self) -> HubToken:
        if self.token is None:
            raise HttpError(401, BAD_LOGIN)
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
            raise HttpError(401, BAD_LOGIN) if token is None else HttpError(404, "Repository not found", "RepoNotFound")
        return found

    def require_reviewer(self, *, can_decide: bool) -> tuple[HubToken, HubRepo]:
        """Return the caller and the repo if the caller can see the repo's requests and, with `can_decide`, change them."""
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
