"""ui prove: proves the Hub account of a member to a desk, with the member's own token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import click

from ..errors import NO_TOKEN_HINT, Guarded, NotAllowed, UsageError
from ..hub.credentials import resolve_token

if TYPE_CHECKING:
    from .framework import Run


def prove(run: Run, link: str | None, *, yes: bool) -> int:
    """Send this user's token once to the desk of a link, and print their new sign-in link."""
    from ..web.account_proofs import parse_proof_link, send_proof

    if not link:
        raise UsageError("LINK is missing: hf-gate ui prove LINK", hint="The settings page of the desk shows it.")
    target = parse_proof_link(link)
    token = resolve_token(run.settings.token)
    if token is None:
        raise NotAllowed("no token was found, so the account cannot be proven.", hint=NO_TOKEN_HINT)
    _confirm(run, target.origin, yes=yes)
    answer = send_proof(target, token.reveal())
    run.out.document({"schema_version": 1, **answer}, lambda: _lines(answer), quiet=[answer["link"]])
    return 0


def _confirm(run: Run, origin: str, *, yes: bool) -> None:
    run.out.say(
        f"Your token is sent to the desk at {origin}. The desk asks its Hub once for the account, then discards the token."
    )
    run.out.say("A fine-grained token without permissions is enough. Do this only with a desk that you trust.")
    if yes:
        return
    if not run.may_ask:
        raise Guarded(
            "sending a token needs confirmation, but hf-gate cannot ask here; nothing was sent.",
            hint="Add --yes.",
        )
    if not click.confirm("Send the token?", err=True):
        raise Guarded("not confirmed; nothing was sent.", hint="")


def _lines(answer: Mapping[str, str]) -> Iterator[str]:
    yield f"{answer['name']} is proven: Hub account {answer['account']}."
    yield "Your earlier link and sessions have ended. Sign in with your new link, and keep the link private:"
    yield answer["link"]
