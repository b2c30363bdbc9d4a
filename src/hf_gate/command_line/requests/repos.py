"""repos ls and show: list gated repos, and show their gates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from hf_gate.base.ids import Repo
from hf_gate.command_line.framework import CommandContext, CommandEntry, LazyGroup, command, repo_type_option
from hf_gate.command_line.hub.token_rights import owners_of
from hf_gate.command_line.request_table import repo_argument
from hf_gate.command_line.targets import parse_repo_argument
from hf_gate.command_line.text_layout import Column
from hf_gate.command_line.workspace_opening import announce_target
from hf_gate.core.forms.forms import GateForm
from hf_gate.core.records import RepoRecord
from hf_gate.decisions.records import gate_record
from hf_gate.errors import HfGateError, NotAllowed

if TYPE_CHECKING:
    from hf_gate.core.people.accounts import Gate


repos = LazyGroup(
    "repos",
    {
        "ls": CommandEntry(
            "hf_gate.command_line.requests.repos:repos_ls", "List the gated repos of accounts or organisations."
        ),
        "show": CommandEntry(
            "hf_gate.command_line.requests.repos:repos_show",
            "Show the gate and the form of a repo, and the number of requests in each state.",
        ),
    },
    help="Gated repos: list them, and show their gates.",
)


@command("ls", examples=("hf-gate repos ls", "hf-gate repos ls acme --json"))
@click.argument("owners", nargs=-1, metavar="[OWNER]...")
def repos_ls(context: CommandContext, *, owners: tuple[str, ...]) -> int:
    """List gated repos of OWNERs; by default, of the token's account and its organisations."""
    announce_target(context)
    if not owners:
        owners = owners_of(context)
    rows = (gate_record(gate) for owner in owners for gate in context.hub.gated_repos(owner))
    columns = [
        Column[RepoRecord]("REPO", repo_argument),
        Column("GATE", lambda row: str(row.gated)),
    ]
    context.out.records(RepoRecord, rows, columns, name=repo_argument, limit=-1, empty="No gated repos found.")
    return 0


@command("show", examples=("hf-gate repos show datasets/acme/eeg", "hf-gate repos show acme/med-7b --json"))
@click.argument("repo", metavar="[REPO]", required=False)
@repo_type_option
def repos_show(context: CommandContext, *, repo: str | None, repo_type: str | None) -> int:
    """Show how a repo is gated, what its form asks, and how many people are on each list."""
    where = parse_repo_argument(context, repo, repo_type)
    announce_target(context)
    gate = context.hub.gate(where)
    form = read_gate_form(context, where)
    counts = _read_counts(context, where)
    record = replace(
        gate_record(gate),
        counts=counts,
        fields=None if form is None else [field.label for field in form.fields],
        fingerprint=None if form is None else form.fingerprint,
    )
    context.out.document(record, lambda: _gate_lines(gate, form, counts), quiet=[str(gate.mode)])
    return 0


def read_gate_form(context: CommandContext, repo: Repo) -> GateForm | None:
    """Return the gate form of a repo; None if its card cannot be read."""
    try:
        return context.hub.gate_form(repo)
    except HfGateError:
        return None


def _read_counts(context: CommandContext, repo: Repo) -> dict[str, int] | None:
    """Return the number of people on each list; None for a list that the token cannot see."""
    try:
        found = Counter(str(record.get("status")) for record in context.hub.access_report(repo))
    except NotAllowed:
        return None
    return {**dict.fromkeys(("pending", "accepted", "rejected", "reset"), 0), **found}


def _gate_lines(gate: Gate, form: GateForm | None, counts: dict[str, int] | None) -> Iterator[str]:
    meaning = {"manual": "a reviewer decides each request", "auto": "everybody who asks gets access at once"}
    mode = "not gated" if gate.mode is False else f"{gate.mode}: {meaning.get(str(gate.mode), '')}"
    yield f"{gate.repo}"
    yield f"  gate      {mode}"
    yield "  requests  " + (
        "not visible to this token" if counts is None else ", ".join(f"{n} {s}" for s, n in counts.items())
    )
    if form is None:
        yield "  form      the card could not be read"
    elif not form.fields:
        yield "  form      has no fields"
    else:
        yield "  form      " + "; ".join(field.label for field in form.fields)
