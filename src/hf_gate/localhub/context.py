"""One recognised call with its world: who calls, which repo is meant, and may they; in the order in which the Hub checks."""

from __future__ import annotations

from functools import cached_property

from ..domain.ids import Repo
from ..protocol.endpoints import RecognizedCall
from .records import Gated, Token
from .wire import Asked, Refusal
from .world import World

BAD_LOGIN = "Invalid username or password."
NO_RIGHT = "You have read access but not the required permissions for this operation"
NO_PAGE = "Sorry, we can't find the page you are looking for."


class Context:
    """What every handler gets."""

    def __init__(self, world: World, asked: Asked, call: RecognizedCall) -> None:
        self.world, self.asked, self.call = world, asked, call
        self.now_ms = asked.now_ms

    @cached_property
    def token(self) -> Token | None:
        """The caller, or None when anonymous; a token that nobody has is refused on every route."""
        secret = self.asked.bearer
        if secret is None:
            return None
        token = self.world.token(secret)
        if token is None:
            raise Refusal(401, BAD_LOGIN)
        return token

    @property
    def caller(self) -> Token:
        if self.token is None:
            raise Refusal(401, BAD_LOGIN)
        return self.token

    @cached_property
    def gated(self) -> Gated:
        """The repo in the path. A missing or private one is 401 to the anonymous, 404 to others; a renamed one is 307."""
        named = self.call.repo
        if named is None:
            raise Refusal(404, NO_PAGE)
        return self.repo(named)

    def repo(self, named: Repo) -> Gated:
        token = self.token
        if (renamed := self.world.renamed.get((named.type, named.id.lower()))) is not None:
            path = self.asked.path.replace(f"/{named.id}", f"/{renamed.id}", 1)
            query = f"?{self.asked.query}" if self.asked.query else ""
            raise Refusal(307, f"Temporary Redirect. Redirecting to {path}", Location=f"{path}{query}")
        found = self.world.find(named)
        if found is None or not self.world.may_see(token, found):
            raise Refusal(401, BAD_LOGIN) if token is None else Refusal(404, "Repository not found", "RepoNotFound")
        return found

    def reviewing(self, *, deciding: bool) -> tuple[Token, Gated]:
        """A caller who may see the requests of the repo or, if `deciding`, change them."""
        caller = self.caller
        gated = self.gated
        may = self.world.may_write if deciding else self.world.may_list
        if not may(caller, gated):
            raise Refusal(403, NO_RIGHT)
        return caller, gated

    def deciding(self) -> tuple[Token, Gated]:
        """A reviewer of a repo that is gated."""
        caller, gated = self.reviewing(deciding=True)
        if gated.gated is False:
            raise Refusal(400, f"{gated.repo.type.value} {gated.repo.id} is not gated", "RepoNotGated")
        return caller, gated
