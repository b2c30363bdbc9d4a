"""Policies: each file with its problems in their place, its sentences, what it says of who waits, and a draft tried on real requests."""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Final
from weakref import WeakKeyDictionary

from starlette.responses import Response

from ..application.judging import with_texts
from ..application.record_builders import policy_record
from ..application.records import PolicyRecord
from ..domain.lifecycle import Status
from ..errors import HfGateError
from ..policy.checking import check_unique_names
from ..policy.descriptions import describe_policy
from ..policy.model import Policy, PolicyMode
from ..sources.workspace_folder import WorkspaceFolder
from ..store.opinions import Tally, opinions
from ..store.reading import Store
from .draft_pool import DraftProcess
from .drafts import (
    Bar,
    Text,
    Told,
    Trial,
    draft_of,
    folder_of,
    may_know,
    our_text,
    repos_of,
    tables_known,
    texts_of,
    visible_targets,
    with_results,
)
from .exports import exported, file_of
from .hiding import names_others
from .proofs import entries_in
from .visit import NotFound, Refused, Visit

_ANYWAY: Final = "download-anyway"  # although there are doubts about it
_DRAFT: Final = "draft.yaml"  # as a draft of no file is called
_PATIENCE: Final = 20  # times as long as counting took before it is counted anew
BEGINNING: Final = """\
version: 1
policy: draft
applies_to: ["*/*", "datasets/*/*"]
mode: shadow
rules:
  - id: say-more
    when: answers.purpose.quality in ["empty", "junk"]
    then: reset
    reason: Please say in one or two sentences what you will use it for, then ask again.
  - id: rest
    then: human
"""


# ---- all of them -------------------------------------------------------------------------------------------------------


def page(visit: Visit) -> Response:
    """Every policy of the desk, its mode and what is wrong with it; and the tables that they ask."""
    if visit.asked("draft") and not visit.masks:
        return new_draft(visit)
    try:
        folder = folder_of(visit)
    except HfGateError as problem:
        return visit.page("policies.html", title="Policies", texts=[], tables=[], clashes=[], problem=problem)
    texts, known = texts_of(visit, folder), tables_known(visit, folder)
    bundle = visit.office.policies
    return visit.page(
        "policies.html",
        title="Policies",
        texts=texts,
        targets={text.name: visible_targets(visit, text.policy) for text in texts if text.policy is not None},
        tables=[] if bundle is None else [table for name, table in sorted(bundle.tables.items()) if name in known],
        clashes=check_unique_names([text.checked for text in texts]),
        problem=None,
    )


def export(visit: Visit) -> Response:
    """The same rows as a file."""
    rows = [
        policy_record(
            text.file, text.name, text.checked, [] if text.policy is None else visible_targets(visit, text.policy)
        )
        for text in texts_of(visit, folder_of(visit))
    ]
    return exported("policies", visit.params["kind"], PolicyRecord, rows)


# ---- one of them -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Counts:
    """What a policy says of those who wait, as it was entered: by rule, and what the desk says where it only watches."""

    by_rule: Counter[str] = field(default_factory=Counter)
    beside: Counter[tuple[str, str]] = field(default_factory=Counter)  # (this policy, the desk)
    total: int = 0
    old: int = 0  # by an earlier version of it

    @property
    def differing(self) -> int:
        """Of how many it says something else than the desk."""
        return sum(n for (ours, desk), n in self.beside.items() if ours != desk)


def policy_page(visit: Visit) -> Response:
    """One policy as its file has it now; with `who`, also what it makes of one request."""
    folder = folder_of(visit)
    text = next((one for one in texts_of(visit, folder) if one.name == visit.params["name"]), None)
    if text is None:
        raise NotFound
    if visit.masks or not visit.asked("who").strip():
        return _show(visit, folder, with_results(text), None)
    with visit.office.drafts.opened(visit.member.id) as process:
        text = draft_of(process, visit, text.source.text, text.file, folder)
        return _show(
            visit, folder, text, _Asked(process, visit, folder, text, visit.asked("who").strip()), is_file=True
        )


def new_draft(visit: Visit) -> Response:
    """A draft of nobody's file."""
    folder = folder_of(visit)
    return _show(visit, folder, our_text(visit, BEGINNING, _DRAFT, folder), None)


def try_draft(visit: Visit) -> Response:
    """What was typed: checked, tried, mended where a button said so, or handed out as a file. Nothing is written."""
    folder = folder_of(visit)
    name = visit.params.get("name")
    known = None if name is None else next((one for one in texts_of(visit, folder) if one.name == name), None)
    if name is not None and known is None:
        raise NotFound
    file = _DRAFT if known is None else known.file
    typed = visit.said("src").replace("\r\n", "\n").replace("\r", "\n")
    with visit.office.drafts.opened(visit.member.id) as process:
        text, note = draft_of(process, visit, typed, file, folder), ""
        if visit.said("do") == _ANYWAY or (visit.said("do") == "download" and not text.doubts):
            return file_of([typed.encode("utf-8", "replace")], "application/yaml", _file_name(file))
        if visit.said("fix"):
            mended = text.mended(visit.said("fix"))
            if mended is None:
                note = "The text has changed since; nothing was mended. The problems below are those of now."
            else:
                text = draft_of(process, visit, mended, file, folder)
        if text.policy is not None and not may_know(visit, text.policy):
            raise Refused("That draft is for none of your repos.", hint="Name one of yours in applies_to.")
        is_file = known is not None and text.source.text == known.source.text
        asked = _Asked(process, visit, folder, text, visit.said("who").strip(), is_trial=True)
        return _show(visit, folder, text, asked, is_file=is_file, note=note, file_of_desk=known)


def _file_name(file: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", PurePath(file).name) or _DRAFT


class _Asked:
    """What a text is tried on, and what came out; an error of it is told beside, the rest of the page is there."""

    def __init__(
        self,
        process: DraftProcess,
        visit: Visit,
        folder: WorkspaceFolder,
        text: Text,
        who: str,
        *,
        is_trial: bool = False,
    ) -> None:
        self.who, self.problem = who, ""
        self.trial: Trial | None = None
        self.told: Told | None = None
        if text.checked.policy is None or not (who or is_trial):
            return
        try:
            bar = Bar(process, visit, folder, text)
            self.trial = bar.try_all() if is_trial else None
            self.told = bar.explain(who) if who else None
        except (HfGateError, NotFound) as problem:
            hint = problem.hint if isinstance(problem, HfGateError) else ""
            self.problem = f"{problem} {hint or ''}".strip() or "Nobody of that name is here."


def _show(
    visit: Visit,
    folder: WorkspaceFolder,
    text: Text,
    asked: _Asked | None,
    *,
    is_file: bool = False,
    note: str = "",
    file_of_desk: Text | None = None,
) -> Response:
    policy = None if text.policy is None else with_texts(text.policy, folder.config.templates)  # as the ledger names it
    is_new, is_draft = text.file == _DRAFT, asked is not None and not is_file
    return visit.page(
        "policy.html",
        title=f"Policy {text.name}",
        text=text,
        policy=policy,
        said_lines=[] if policy is None else _sentences(visit, policy),
        repos=[] if policy is None else repos_of(visit, policy),
        counts=counts_of(visit, policy) if policy is not None and not is_draft and not is_new else None,
        is_hidden=(is_file or (asked is None and not is_new)) and _is_hidden(visit, text),
        is_shadow=policy is not None and policy.mode is PolicyMode.SHADOW,
        is_draft=is_draft,
        is_new=is_new,
        note=note,
        doubts=[] if visit.masks else text.doubts,
        asks_download=visit.said("do") == "download",
        who="" if asked is None else asked.who,
        trial=None if asked is None else asked.trial,
        told=None if asked is None else asked.told,
        problem="" if asked is None else asked.problem,
        action="/policies" if is_new else f"/policies/{(file_of_desk or text).name}",
    )


def _is_hidden(visit: Visit, text: Text) -> bool:
    """Whether the text of a file would tell a member of some repos about others."""
    if visit.member.repos is None or text.policy is None:
        return False
    return names_others(text.policy, repos_of(visit, text.policy))


def _sentences(visit: Visit, policy: Policy) -> list[str]:
    return list(describe_policy(replace(policy, applies_to=tuple(visible_targets(visit, policy)))))


def counts_of(visit: Visit, policy: Policy) -> Counts:
    """By the verdicts that were entered last, of those who wait at repos that this person sees."""
    found, mine = Counts(), set(repos_of(visit, policy))
    for one in _tallies_of(visit.office.store):
        if one.repo not in mine:
            continue
        if one.policy == policy.name:
            found.by_rule[one.rule] += one.n
            found.total += one.n
            found.old += one.n if one.digest != policy.digest else 0
        for name, rule, action in one.shadow:
            if name == policy.name:
                found.by_rule[rule] += one.n
                found.beside[action, one.action] += one.n
                found.total += one.n
    return found


@dataclass(frozen=True, slots=True)
class _Counted:
    """What was counted when the ledger had so many entries; counting that took long is not done again at once."""

    entries: int
    made_at: float
    took: float
    tallies: list[Tally]


_counted: WeakKeyDictionary[Store, _Counted] = WeakKeyDictionary()


def _tallies_of(store: Store) -> list[Tally]:
    known, entries, begun = _counted.get(store), entries_in(store), time.monotonic()
    if known is None or (known.entries != entries and begun - known.made_at > _PATIENCE * known.took):
        tallies = opinions(store, Status.PENDING.value)
        known = _counted[store] = _Counted(entries, begun, time.monotonic() - begun, tallies)
    return known.tallies
