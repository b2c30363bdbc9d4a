"""Writes workspace folders: hf-gate.yaml, policies and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from hf_gate.testing import LocalHub
from tests.kits.command_line import MODEL, request_access

DESK = """\
version: 1
repos: [datasets/acme/eeg-*, acme/med-7b]
policies: [policies/*.yaml]
tables: {partners: {file: tables/partners.csv, key: email}}
"""
EEG = """\
version: 1
policy: eeg
applies_to: [datasets/acme/eeg-*]
let: {institutional: "email.academic || tables.partners"}
rules:
  - id: say-more
    when: answers.purpose.quality in ["empty", "junk", "thin"]
    then: reset
    reason: Please say what you will study, then ask again.
  - id: signed
    when: institutional && person.account_days > 30
    then: accept
    until: 1y
  - id: rest
    then: human
tests:
  - name: from a university
    facts: {answers.purpose.quality: good, email.academic: true, person.account_days: 400}
    want: {then: accept, rule: signed}
"""


TWO_REVIEWERS = f"""\
version: 1
policy: lantern
applies_to: [{MODEL}]
mode: enforce
rules:
  - id: all
    then: accept
    reviewers: 2
"""


def write_unread_folder(folder: Path, hub: LocalHub, repos: Sequence[str]) -> Path:
    """A workspace at these repos without rules, not read yet: ada-l and bob99 ask for the model."""
    (folder / "policies").mkdir()
    (folder / "hf-gate.yaml").write_text(f"version: 1\nrepos: [{', '.join(repos)}]\npolicies: [policies/*.yaml]\n")
    request_access(hub, ["ada-l", "bob99"])
    return folder


def write_desk_folder(folder: Path, policies: Mapping[str, str] | None = None, text: str = DESK) -> Path:
    """A desk in this folder; `policies` by the name of their file, by default one that is right."""
    (folder / "policies").mkdir(parents=True)
    (folder / "tables").mkdir()
    (folder / "hf-gate.yaml").write_text(text, "utf-8")
    (folder / "tables" / "partners.csv").write_text("email,expires\nada@unibas.example,2027-01-01\n", "utf-8")
    for name, policy in ({"eeg.yaml": EEG} if policies is None else policies).items():
        (folder / "policies" / name).write_text(policy, "utf-8")
    return folder
