"""Reads what `ls` and other lists say of stored requests beside their rows: access and approvals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from hf_gate.approvals.service.approval_status import ApprovalsReader
from hf_gate.approvals.service.quorum_rules import BundleReader
from hf_gate.base.batches import split_into_batches
from hf_gate.core.forms.forms import list_choice_labels
from hf_gate.core.records import RowDetails
from hf_gate.core.stored_rows import RequestRow
from hf_gate.settings.service.workspace import Workspace

from .grant_records import pair_with_grants

_CHUNK: Final = 500  # requests whose details are read together


def pair_with_details(
    workspace: Workspace, rows: Iterable[RequestRow], read_bundle: BundleReader | None = None
) -> Iterator[tuple[RequestRow, RowDetails]]:
    """Iterate over requests with the access that each gives now, and its approvals.

    `read_bundle` returns policies that are already compiled.
    """
    approvals = ApprovalsReader(workspace, read_bundle)
    choices = {row.repo: list_choice_labels(row.form_card) for row in workspace.store.repos()}
    for chunk in split_into_batches(rows, _CHUNK):
        approved = approvals.read_records(chunk)
        for row, grant in pair_with_grants(workspace.store, chunk):
            yield row, RowDetails(choices.get(row.repo, frozenset()), grant, approved.get(row.id))
