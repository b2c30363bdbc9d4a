"""Metrics in the Prometheus text format: requests by state, oldest pending request, age of syncs, unsent decisions,
notices.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final, NamedTuple

from starlette.responses import Response

from hf_gate import __version__
from hf_gate.automation.service.health import read_health
from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import to_ms
from hf_gate.core.people.members import Member
from hf_gate.core.stored_rows import RepoRow
from hf_gate.core.turns import TurnEnd
from hf_gate.decisions.service.budgets import read_budgets
from hf_gate.desk.app_state import AppState
from hf_gate.messages.service.message_records import list_destinations
from hf_gate.reports.service.workspace_status import find_oldest_waiting
from hf_gate.requests.rows.queue import read_counters
from hf_gate.store.rows.tray import list_waiting_decisions

TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class MetricSample(NamedTuple):
    """One value with its labels."""

    value: float
    labels: Mapping[str, str] = {}


class MetricFamily(NamedTuple):
    """The samples of one metric."""

    name: str
    help: str
    samples: Iterable[MetricSample]


def metrics_response(app_state: AppState, member: Member | None) -> Response:
    """Return the metrics of all repos, or of those that a member can see. They name no people."""
    return Response("".join(_format_lines(list_families(app_state, member))), media_type=TYPE)


def list_families(app_state: AppState, member: Member | None) -> Iterator[MetricFamily]:
    """Yield the metrics in the order of the output."""
    rows = app_state.workspace.store.repos()
    location = app_state.workspace.location
    if member is not None:
        rows = [row for row in rows if app_state.membership.can_see(member, row.repo)]
    elif location.folder is not None:
        rows = [row for row in rows if location.config.includes(row.repo)]
    yield MetricFamily("build_info", "The version that serves this.", [MetricSample(1, {"version": __version__})])
    yield MetricFamily("requests", "Current requests by repo, status and verdict.", _request_counts(app_state, rows))
    yield MetricFamily(
        "oldest_pending_seconds", "How long the oldest pending request has waited.", _oldest_pending(app_state, rows)
    )
    yield MetricFamily(
        "read_seconds_ago", "Seconds since the last sync of a repo ended, by kind.", _sync_ages(app_state, rows)
    )
    yield MetricFamily(
        "reading_complete",
        "1 if the last full sync proved the lists complete.",
        [MetricSample(int(bool(row.is_complete)), _repo_label(row.repo)) for row in rows if row.full_at is not None],
    )
    reads = app_state.sync_status.problem is None
    yield MetricFamily("reader_ok", "0 if the last sync failed.", [MetricSample(int(reads))])
    has_policies = location.folder is None or app_state.policies.current is not None
    yield MetricFamily("policies_ok", "0 if a file of the workspace has an error.", [MetricSample(int(has_policies))])
    yield from _turn_metrics(app_state)
    if member is None or member.repos is None:
        yield from _notice_metrics(app_state)
        yield MetricFamily(
            "guard", "Unattended changes in the period of each guard, and their limit.", _guards(app_state)
        )
    yield MetricFamily("tray_decisions", "Unsent decisions of people.", _tray_states(app_state))
    outlook = app_state.workspace.hub.outlook()
    known = ((outlook.remaining, "left"), (outlook.quota, "quota"))
    yield MetricFamily(
        "hub_calls",
        "Calls of the token in the Hub's current rate limit window.",
        [MetricSample(n, {"what": w}) for n, w in known if n is not None],
    )


def _turn_metrics(app_state: AppState) -> Iterator[MetricFamily]:
    health = read_health(app_state.workspace.store, app_state.now())
    newest = health.running or health.last
    age = [] if newest is None else [MetricSample(max(0, to_ms(app_state.now()) - newest.started_at) / 1000)]
    yield MetricFamily("turn_seconds_ago", "Seconds since the last turn of `hf-gate run` began.", age)
    ended = [] if health.last is None else [MetricSample(int(health.last.end is TurnEnd.OK))]
    yield MetricFamily("turn_ok", "1 if the last turn that ended succeeded.", ended)
    yield MetricFamily(
        "unattended_stopped", "1 while all unattended work is stopped.", [MetricSample(int(health.stop is not None))]
    )


def _notice_metrics(app_state: AppState) -> Iterator[MetricFamily]:
    now = to_ms(app_state.now())
    lanes = list_destinations(app_state.workspace)
    states = (("waiting", "waiting"), ("digest", "collecting"), ("dead", "dead"))
    yield MetricFamily(
        "outbox_messages",
        "Notices that wait, lines of the next digest, and dead letters.",
        [
            MetricSample(getattr(lane, field), {"destination": str(lane.name), "state": state})
            for lane in lanes
            for state, field in states
        ],
    )
    ages = {
        str(lane.name): 0 if lane.oldest_at is None else now - to_ms(datetime.fromisoformat(lane.oldest_at))
        for lane in lanes
    }
    yield MetricFamily(
        "outbox_oldest_seconds",
        "How long the oldest notice has waited.",
        [MetricSample(max(0, age) / 1000, {"destination": name}) for name, age in ages.items()],
    )


def _guards(app_state: AppState) -> Iterator[MetricSample]:
    budgets = app_state.workspace.location.config.guards.budgets
    for budget in read_budgets(app_state.workspace.store, budgets, app_state.now()):
        yield MetricSample(budget.used, {"guard": budget.name, "what": "used"})
        yield MetricSample(budget.rate.limit, {"guard": budget.name, "what": "limit"})


def _repo_label(repo: Repo) -> dict[str, str]:
    return {"repo": str(repo)}


def _request_counts(app_state: AppState, rows: Iterable[RepoRow]) -> Iterator[MetricSample]:
    ours = {str(row.repo) for row in rows}
    found = dict[tuple[str, str, str], int]()
    for cell in read_counters(app_state.workspace.store).cells:
        if cell.repo in ours:
            key = (cell.repo, cell.status, cell.action or "none")
            found[key] = found.get(key, 0) + cell.n
    for (repo, status, verdict), n in sorted(found.items()):
        yield MetricSample(n, {"repo": repo, "status": status, "verdict": verdict})


def _oldest_pending(app_state: AppState, rows: Iterable[RepoRow]) -> Iterator[MetricSample]:
    now = to_ms(app_state.now())
    for row in rows:
        oldest, _ = find_oldest_waiting(app_state.workspace.store, row.repo, 1)
        yield MetricSample(0 if oldest is None else max(0, now - to_ms(oldest)) / 1000, _repo_label(row.repo))


def _sync_ages(app_state: AppState, rows: Iterable[RepoRow]) -> Iterator[MetricSample]:
    now = to_ms(app_state.now())
    for row in rows:
        for kind, at in (("quick", row.quick_at), ("full", row.full_at)):
            if at is not None:
                yield MetricSample(max(0, now - at) / 1000, {**_repo_label(row.repo), "kind": kind})


def _tray_states(app_state: AppState) -> Iterator[MetricSample]:
    waiting = list_waiting_decisions(app_state.workspace.store)
    under_way = sum(item.is_being_sent for item in waiting)
    held = sum(item.run.starts_at is None for item in waiting)
    for state, n in (("leaving", len(waiting) - under_way - held), ("held", held), ("under_way", under_way)):
        yield MetricSample(n, {"state": state})


# ---- text format -----------------------------------------------------------------------------------------------------


def _format_lines(families: Iterable[MetricFamily]) -> Iterator[str]:
    for family in families:
        name = f"hf_gate_{family.name}"
        yield f"# HELP {name} {family.help}\n# TYPE {name} gauge\n"
        for sample in family.samples:
            labels = ",".join(f'{key}="{_escape_label(value)}"' for key, value in sample.labels.items())
            yield f"{name}{{{labels}}} {sample.value:.15g}\n" if labels else f"{name} {sample.value:.15g}\n"


def _escape_label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
