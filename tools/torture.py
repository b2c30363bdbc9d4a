"""Runs the tests whose size grows with HF_GATE_TEST_PROFILE=torture: all parts in turn, or one.

    python tools/torture.py [--part NAME] [-n PROCESSES] [-- ARGS OF PYTEST]

`PARTS` is the only list of them. A part should take at most 40 minutes on two quiet cores. Tests that do not grow with
the profile belong to `make test`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
MACHINE: Final = "tests/decisions/test_desk_machine.py"
_DAYS: Final = f"{MACHINE}::test_whatever_happens_the_books_agree_with_the_hub"

PARTS: Final[Mapping[str, Sequence[str]]] = {
    "rules": (
        "tests/policies/test_evaluate_laws.py",
        "tests/policies/test_explain.py",
        "tests/policies/test_facts.py",
        "tests/policies/test_facts_mail.py",
        "tests/core/test_forms.py",
        "tests/core/test_hand_terms.py",
        "tests/verdicts/test_plan.py",
        "tests/policies/test_policy_parse.py",
        "tests/policies/test_expression_model.py",
        "tests/decisions/test_pasted_list.py",
        "tests/requests/test_quality.py",
        "tests/policies/test_phrases.py",
        "tests/core/test_roles.py",
        "tests/policies/test_why.py",
    ),
    "core": (
        "tests/core/test_activity.py",
        "tests/core/test_grants.py",
        "tests/base/test_ids.py",
        "tests/core/test_ledger.py",
        "tests/requests/test_ledger_cadence.py",
        "tests/base/test_normalization.py",
        "tests/hub/test_hidden_tokens.py",
        "tests/hub/test_listing.py",
        "tests/hub/test_pacing.py",
        "tests/hub/test_pacing_laws.py",
        "tests/localhub/test_people.py",
        "tests/requests/test_query.py",
        "tests/hub/test_ratelimit_headers.py",
        "tests/core/test_literals.py",
        "tests/core/test_state.py",
        "tests/base/test_text.py",
        "tests/base/test_yamltext.py",
        "tests/journeys/test_cli_layout.py",
    ),
    "hub": (
        "tests/core/test_lifecycle_machine.py",
        "tests/localhub/test_local_hub_paging.py",
        "tests/localhub/test_local_hub_states.py",
        f"{MACHINE}::test_the_machine_catches_a_carrier_that_forgets_a_duty",
    ),
    "store-1": (
        "tests/store/test_lease_machine.py",
        "tests/approvals/test_approval_machine.py",
        "tests/messages/test_letters.py",
        "tests/messages/test_outbox.py",
        "tests/store/test_store_machine.py",
        "tests/requests/test_sync_machine.py",
    ),
    "store-2": (
        "tests/ledger/test_as_of.py",
        "tests/requests/test_classification.py",
        "tests/privacy/test_erasure_machine.py",
        "tests/verdicts/test_incremental_machine.py",
        "tests/grants/test_incremental_ends_machine.py",
        "tests/grants/test_ends_in_time.py",
        "tests/requests/test_request_version.py",
        "tests/policies/test_sources_tables.py",
        "tests/hub/test_why_hostile.py",
        "tests/grants/test_people_files.py",
        "tests/grants/test_table_edits.py",
        "tests/grants/test_table_rows.py",
        "tests/grants/test_store_hand_terms.py",
        "tests/requests/test_store_queries.py",
    ),
    "web": (
        "tests/members/test_hub_sign_in_answers.py",
        "tests/desk/test_forms.py",
        "tests/desk/test_axe.py",
        "tests/decisions/test_bulk_many.py",
        "tests/desk/test_openapi.py",
        "tests/desk/test_power_cuts.py",
        "tests/desk/test_xss.py",
    ),
    "kills": (
        "tests/torture/test_hard_days.py",
        "tests/torture/test_kill.py",
        "tests/torture/test_kill_notices.py",
        "tests/torture/test_two_years.py",
    ),
    "machines": ("tests/torture/test_machines.py",),
    "days-1": (f"{_DAYS}[0]", f"{_DAYS}[1]"),
    "days-2": (f"{_DAYS}[2]", f"{_DAYS}[3]"),
}


def run_part(name: str, processes: str, more: Sequence[str]) -> bool:
    """Run one part, print its duration, and return whether it passed."""
    print(f"== {name}", flush=True)
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-n", processes, "--dist", "worksteal", *PARTS[name], *more]
    code = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "HF_GATE_TEST_PROFILE": "torture"}, check=False
    ).returncode
    minutes = (time.monotonic() - began) / 60
    print(f"== {name}: {'passed' if code == 0 else f'FAILED ({code})'} in {minutes:.1f} min", flush=True)
    return code == 0


def main() -> int:
    """Run the parts; return 1 if one failed. A failure does not stop the parts after it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--part", choices=PARTS, help="run only this part")
    parser.add_argument("-n", default="2", help="number of processes (default: 2)")
    parser.add_argument("more", nargs="*", help="arguments for pytest, after --")
    args = parser.parse_args()
    names = [args.part] if args.part else list(PARTS)
    passed = [run_part(name, args.n, args.more) for name in names]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
