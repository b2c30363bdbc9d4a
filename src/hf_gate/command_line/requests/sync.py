"""sync: reads requests from the Hub into the store, with quick or full syncs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from hf_gate.base.display_text import pluralize
from hf_gate.base.timestamps import to_ms
from hf_gate.command_line.framework import CommandContext, command, repo_type_option
from hf_gate.command_line.progress import Progress
from hf_gate.command_line.workspace_opening import find_actor, open_workspace, select_repos
from hf_gate.core.records import repo_problem_record
from hf_gate.errors import HfGateError, HubUnavailable, Offline
from hf_gate.requests.records import SyncedRepoRecord, SyncRecord

if TYPE_CHECKING:
    from hf_gate.base.ids import Repo
    from hf_gate.requests.service.sync import SyncResult
    from hf_gate.requests.sync_schedule import DueSync
    from hf_gate.settings.service.workspace import Workspace


@command("sync", examples=("hf-gate sync", "hf-gate sync datasets/acme/eeg --full", "hf-gate sync --json"))
@click.argument("repos", nargs=-1, metavar="[REPO]...")
@repo_type_option
@click.option("--full", is_flag=True, help="Read all four lists to their end; by default, only if a full sync is due.")
def sync(context: CommandContext, *, repos: tuple[str, ...], repo_type: str | None, full: bool) -> int:
    """Read requests from the Hub into the store.

    A quick sync reads the first page of each list and finds new requests. A full sync reads all four lists to their
    end, and also finds requests that are gone. A full sync runs for new repos, once a day, and with --full.
    """
    from hf_gate.approvals.service.approval_alarms import raise_approval_alarms

    workspace = open_workspace(context, writes=True)
    wanted = select_repos(context, repos, repo_type)
    if not wanted:
        context.out.say("No gated repos found for this workspace or account.")
    syncs = SyncCommand(context, workspace, full=full, adds_failed=not repos)
    for repo in wanted:
        syncs.sync_repo(repo)
    if count := raise_approval_alarms(workspace, [one.repo for one, _ in syncs.done]):
        people = pluralize(count, "person was", "people were")
        lists = context.command_line("ls", "--query", "approval:missing")
        context.out.warn(f"{people} accepted outside hf-gate without enough approvals: {lists}")
    context.out.document(
        syncs.record(), syncs.lines, quiet=[str(one.repo) for one, _ in syncs.done if one.change_count]
    )
    return syncs.exit_code(len(wanted))


class SyncCommand:
    """Syncs several repos one by one. An error in one repo does not stop the others."""

    def __init__(self, context: CommandContext, workspace: Workspace, *, full: bool, adds_failed: bool = True) -> None:
        self.context = context
        self.workspace = workspace
        self.is_full = full
        self.adds_failed = adds_failed
        self.done: list[tuple[SyncResult, DueSync]] = []
        self.failed: list[tuple[Repo, HfGateError]] = []

    def sync_repo(self, repo: Repo) -> None:
        """Sync one repo with the kind of sync that is due."""
        from hf_gate.requests.service.sync import sync_repo as read

        context = self.context
        workspace = self.workspace
        due = self._due(repo)
        try:
            with Progress(context.out, f"{due.kind} sync of {repo}") as bar:
                synced = read(
                    workspace.hub,
                    workspace.store,
                    workspace.clock,
                    repo,
                    due.kind,
                    actor=find_actor(context),
                    on_read=lambda count: bar.tick(many=count),
                    adds_failed=self.adds_failed,
                )
        except (HubUnavailable, Offline):
            raise
        except HfGateError as problem:
            self.failed.append((repo, problem))
            context.out.warn(str(problem) if str(repo) in str(problem) else f"{repo} was not synced: {problem}")
        else:
            self.done.append((synced, due))

    def _due(self, repo: Repo) -> DueSync:
        from hf_gate.requests.sync_schedule import DueSync, SyncKind, choose_sync

        if self.is_full:
            return DueSync(SyncKind.FULL, "requested")
        return choose_sync(self.workspace.store.repo(repo), to_ms(self.workspace.now()))

    def exit_code(self, wanted: int) -> int:
        """Return 0 if all repos were synced without doubts, else 5. Raises the first error if no repo was synced."""
        if self.failed and len(self.failed) == wanted:
            raise self.failed[0][1]
        return 5 if self.failed or any(one.doubts for one, _ in self.done) else 0

    def record(self) -> SyncRecord:
        """Return the record of `sync`."""
        return SyncRecord(
            repos=[_synced_repo_record(synced, due) for synced, due in self.done],
            failed=[repo_problem_record(repo, str(problem)) for repo, problem in self.failed],
        )

    def lines(self) -> Iterator[str]:
        """Return one line for each repo, and its doubts."""
        for synced, due in self.done:
            yield (
                f"{synced.repo}: {due.kind} sync ({due.why}), {pluralize(synced.read, 'request')} read, "
                f"{_describe_changes(synced)}."
            )
            for doubt in synced.doubts:
                yield f"  in doubt: {doubt}; no request is marked as gone."
            if not synced.doubts and synced.complete:
                yield f"  complete: {_describe_counts(synced)}."


def _synced_repo_record(synced: SyncResult, due: DueSync) -> SyncedRepoRecord:
    names = ("kind", "complete", "read", "new", "again", "changed", "moved", "withdrawn", "read_on")
    return SyncedRepoRecord(
        repo=synced.repo.id,
        repo_type=synced.repo.type,
        why=due.why,
        doubts=list(synced.doubts),
        counts=dict(synced.counts),
        **{name: getattr(synced, name) for name in names},
    )


_CHANGE_LABELS: Sequence[tuple[str, str]] = (
    ("new", "new"),
    ("again", "asked again"),
    ("changed", "changed"),
    ("moved", "decided elsewhere"),
    ("withdrawn", "gone"),
)


def _describe_changes(synced: SyncResult) -> str:
    found = [f"{count:,} {words}" for name, words in _CHANGE_LABELS if (count := getattr(synced, name))]
    return ", ".join(found) if found else "nothing new"


def _describe_counts(synced: SyncResult) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(synced.counts.items()) if count) or "no requests"
