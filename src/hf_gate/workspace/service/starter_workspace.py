"""Formats the files that `init` writes: hf-gate.yaml, .gitignore and a starter policy in shadow mode."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from hf_gate.base.ids import Repo
from hf_gate.core.forms.forms import GateForm
from hf_gate.core.forms.roles import Role
from hf_gate.grants.drivers.file_replacement import LOCK_NAME

_LONG_QUEUE: Final = 20  # pending requests; from this number on, policies are worth writing
GITIGNORE: Final = (
    "desk.db*",
    "plans/",
    "exports/",
    "plan*.json",
    "secrets/",
    "erasures.jsonl",
    LOCK_NAME,
)
"""Files that must not be committed: those with names and answers of people, and the lock of saved files."""

_CONFIG: Final = """\
# The workspace: its gated repos and its policies.
version: 1
store: sqlite:///desk.db
repos:
{repos}
policies: [policies/*.yaml]
timezone: {timezone}

# How much `hf-gate run` may do unattended. The rest waits and is reported.
guards:
  accept: 20000/h
  reset: 200/h
  reject: 50/h
  remove: 25/day
"""

_STARTER_POLICY: Final = """\
# A first policy. In shadow mode its verdicts are recorded and nothing is changed: look at them with
# `hf-gate plan` and `hf-gate explain`, and change the rules until you agree with them. Then write
# `mode: enforce`. The first rule that matches decides. No rule here rejects anybody.
version: 1
policy: starter
applies_to:
{repos}
mode: shadow
rules:
{rules}

# Tests of the rules with invented people. Run `hf-gate policy test` after each change.
tests:
{tests}
"""

_UNCLEAR_PURPOSE_RULE: Final = """\
  # Reset sends a request back: the requester gets the reason and may ask again. After two resets, a reviewer
  # decides instead. "missing" means that the request has no such answer. `says` explains the rule to your team.
  - id: say-more
    when: answers.purpose.quality in ["missing", "empty", "junk"] && history.resets < 2
    then: reset
    says: Nothing useful is written about the use.
    reason: Please say in one or two sentences what you will use it for, then ask again.
"""

_DISPOSABLE_RULE: Final = """\
  # A disposable e-mail address is no reason to reject, but a reviewer should look. `human` means: a reviewer decides.
  - id: disposable-address
    when: email.disposable
    then: human
"""

_ACADEMIC_RULE: Final = """\
  # email.academic reads the account's own address, not an answer in the form. The account is older than 30 days.
  - id: academic
    when: email.academic && person.account_days > 30{purpose}
    then: accept
"""

_LAST_RULE: Final = """\
  # A reviewer decides everything else.
  - id: rest
    then: human
"""


_ACADEMIC_TEST: Final = """\
  - name: an academic address on an old account is accepted
    facts: {{email.academic: true, email.disposable: false, person.account_days: 400{purpose}}}
    want: {{then: accept, rule: academic}}
"""

_UNCLEAR_PURPOSE_TEST: Final = """\
  - name: an empty purpose is sent back
    facts: {answers.purpose.quality: empty, history.resets: 0}
    want: {then: reset, rule: say-more}
  - name: after two resets a reviewer decides
    facts: {answers.purpose.quality: empty, history.resets: 2, email.disposable: false}
    want: {then: human}
"""


def format_config(repos: Iterable[Repo], timezone: str) -> str:
    """Return the content of hf-gate.yaml for these repos."""
    return _CONFIG.format(repos=_format_repos(repos), timezone=timezone)


def format_starter_policy(repos: Iterable[Repo], forms: Collection[GateForm]) -> str:
    """Return the starter policy. It checks the purpose only if every form asks for one."""
    asks = bool(forms) and all(any(field.role is Role.PURPOSE for field in form.fields) for form in forms)
    purpose = ' && answers.purpose.quality in ["good", "thin"]' if asks else ""
    rules = [_UNCLEAR_PURPOSE_RULE] if asks else []
    rules += [_DISPOSABLE_RULE, _ACADEMIC_RULE.format(purpose=purpose), _LAST_RULE]
    tests = _ACADEMIC_TEST.format(purpose=", answers.purpose.quality: good" if asks else "")
    tests += _UNCLEAR_PURPOSE_TEST if asks else ""
    return _STARTER_POLICY.format(repos=_format_repos(repos), rules="\n".join(rules).rstrip(), tests=tests.rstrip())


def merge_gitignore(before: str) -> str:
    """Return the content of a .gitignore with our lines added; existing lines stay."""
    there = set(before.splitlines())
    missing = [line for line in GITIGNORE if line not in there]
    gap = "\n" if before and not before.endswith("\n") else ""
    return before + gap + "".join(f"{line}\n" for line in missing)


def suggest_next_steps(pending: Mapping[Repo, int], waiting: str) -> tuple[tuple[str, str], ...]:
    """Return three commands with their purposes: to decide a short queue by hand, or a long queue by policies.

    `pending` counts the pending requests of each repo; `waiting` is one of these requests as USER@REPO.
    """
    ui = ("ui", "decide in the browser")
    if sum(pending.values()) < _LONG_QUEUE:
        longest = max(pending, key=lambda repo: pending[repo])
        return (
            ui,
            (f"review {longest}", "decide in the terminal, by single keys"),
            ("help policies", "let rules decide"),
        )
    return (
        ("plan", "what the starter policy would decide"),
        (f"explain {waiting}", "why, for one of them"),
        ui,
    )


def suggest_steps_of_plan(plan: str | None) -> tuple[tuple[str, str], ...]:
    """Return the commands after a first plan with their purposes. `plan` is its file, None if it has no changes."""
    steps = () if plan is None else ((f"apply {plan}", "send these decisions"),)
    return (
        *steps,
        ("run --every 10m", "decide by these rules whenever somebody asks"),
        ("ui", "decide the others in the browser"),
    )


def suggest_steps_of_tables(names: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return the commands after a first plan whose tables are missing; the plan is made again with them."""
    return (
        *((f"table import {name} FILE", f"fill the table {name}") for name in names),
        ("plan --out plan.json", "make the plan again, with these people"),
    )


def _format_repos(repos: Iterable[Repo]) -> str:
    return "\n".join(f"  - {_quote_yaml(str(repo))}" for repo in repos)


def _quote_yaml(text: str) -> str:
    """Quote a name that YAML could read as a number, a date or a keyword."""
    plain = text[0].isalpha() and ":" not in text and "#" not in text
    return text if plain else json.dumps(text)
