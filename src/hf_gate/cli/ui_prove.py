"""ui prove: shows a desk which Hub account a member has, by a token of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import click

from ..errors import NO_TOKEN_HINT, Guarded, NotAllowed, UsageError

if TYPE_CHECKING:
    from .framework import Run


def prove(run: Run, link: str | None, *, yes: bool) -> int:
    """Send this user's token to the desk of a link, once; print the link by which they sign in from then on."""
    from ..hub.credentials import resolve_token  # noqa: PLC0415 - help needs none of it
    from ..web.account_proofs import parse_proof_link, send_proof  # noqa: PLC0415 - as above

    if not link:
        raise UsageError("which link? hf-gate ui prove LINK", hint="Get one on the settings page of the desk.")
    target = parse_proof_link(link)
    token = resolve_token(run.settings.token)
    if token is None:
        raise NotAllowed("there is no token here, so nothing can be proven.", hint=NO_TOKEN_HINT)
    _confirm(run, target.origin, yes=yes)
    told = send_proof(target, token.reveal())
    run.out.document({"schema_version": 1, **told}, lambda: _lines(told), quiet=[told["link"]])
    return 0


def _confirm(run: Run, origin: str, *, yes: bool) -> None:
    run.out.say(f"Your token goes to the desk at {origin}, which asks its Hub once whose it is and does not keep it.")
    run.out.say("A fine-grained token without any permission is enough. Use a desk that you trust.")
    if yes:
        return
    if not run.may_ask:
        raise Guarded("your token is sent after a yes only, and nobody was asked; nothing was sent.", hint="Add --yes.")
    if not click.confirm("Send it?", err=True):
        raise Guarded("not confirmed; nothing was sent.", hint="")


def _lines(told: Mapping[str, str]) -> Iterator[str]:
    yield f"{told['name']} is proven: Hub account {told['account']}."
    yield "Your earlier link and sessions have ended. Sign in with your new link, which only you have:"
    yield told["link"]
