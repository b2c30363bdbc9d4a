"""What `init` writes: the workspace of the repos that are there, and a starter policy in shadow mode, as a steward would write it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from ..domain.forms import GateForm
from ..domain.ids import Repo, RepoType
from ..domain.roles import Role

_MANY: Final = 20  # pending requests from which policies are worth writing
GITIGNORE: Final = ("desk.db*", "plans/", "exports/", "plan*.json")
"""Never into version control: people's names and answers."""

_DESK: Final = """\
# The workspace: which gated repos it looks after, and by which policies.
version: 1
store: sqlite:///desk.db
repos:
{repos}
policies: [policies/*.yaml]
timezone: {timezone}

# How much `hf-gate run` may do without anybody there; the rest waits and is named.
guards:
  accept: 20000/h
  reset: 200/h
  reject: 50/h
  remove: 25/day
"""

_STARTER: Final = """\
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

_SAY_MORE: Final = """\
  # Reset sends a request back: the requester gets the reason and may ask again. After two resets, a reviewer
  # decides instead. "missing" means that the purpose was left out.
  - id: say-more
    when: answers.purpose.quality in ["missing", "empty", "junk"] && history.resets < 2
    then: reset
    reason: Please say in one or two sentences what you will use it for, then ask again.
"""

_THROWAWAY: Final = """\
  # A disposable e-mail address is no reason to reject, but a reviewer should look. `human` means: a reviewer decides.
  - id: disposable-address
    when: email.disposable
    then: human
"""

_CLEAR: Final = """\
  # email.academic reads the account's own address, not an answer in the form. The account is older than 30 days.
  - id: academic
    when: email.academic && person.account_days > 30{purpose}
    then: accept
"""

_REST: Final = """\
  # A reviewer decides everything else.
  - id: rest
    then: human
"""


_CLEAR_TEST: Final = """\
  - name: an academic address on an old account is accepted
    facts: {{email.academic: true, email.disposable: false, person.account_days: 400{purpose}}}
    want: {{then: accept, rule: academic}}
"""

_SAY_MORE_TEST: Final = """\
  - name: an empty purpose is sent back
    facts: {answers.purpose.quality: empty, history.resets: 0}
    want: {then: reset, rule: say-more}
  - name: after two resets a reviewer decides
    facts: {answers.purpose.quality: empty, history.resets: 2, email.disposable: false}
    want: {then: human, rule: rest}
"""


def format_config(repos: Iterable[Repo], timezone: str) -> str:
    """hf-gate.yaml for these repos."""
    return _DESK.format(repos=_list(repos), timezone=timezone)


def format_starter_policy(repos: Iterable[Repo], forms: Collection[GateForm]) -> str:
    """The starter policy; it asks for a purpose only where every form does."""
    asks = bool(forms) and all(any(field.role is Role.PURPOSE for field in form.fields) for form in forms)
    purpose = ' && answers.purpose.quality in ["good", "thin"]' if asks else ""
    rules = [_SAY_MORE] if asks else []
    rules += [_THROWAWAY, _CLEAR.format(purpose=purpose), _REST]
    tests = _CLEAR_TEST.format(purpose=", answers.purpose.quality: good" if asks else "")
    tests += _SAY_MORE_TEST if asks else ""
    return _STARTER.format(repos=_list(repos), rules="\n".join(rules).rstrip(), tests=tests.rstrip())


def merge_gitignore(before: str) -> str:
    """A .gitignore with our lines in it; what stands there stays."""
    there = set(before.splitlines())
    missing = [line for line in GITIGNORE if line not in there]
    gap = "\n" if before and not before.endswith("\n") else ""
    return before + gap + "".join(f"{line}\n" for line in missing)


def describe_count_differences(counted: dict[str, int], counts: dict[str, int]) -> list[str]:
    """Where the Hub's own report and the lists disagree, in sentences."""
    names = sorted({*counted, *counts})
    return [
        f"the report counts {counted.get(name, 0):,} {name}, the lists held {counts.get(name, 0):,}"
        for name in names
        if counted.get(name, 0) != counts.get(name, 0)
    ]


def suggest_next_steps(pending: Mapping[Repo, int], waiting: str) -> tuple[tuple[str, str], ...]:
    """Three commands after `init`, each with its purpose: decide a short queue by hand, a long one by policies.

    `pending`: how many wait in each repo; `waiting`: somebody who waits, as USER@REPO.
    """
    ui = ("ui", "decide in the browser")
    if sum(pending.values()) < _MANY:
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


def _list(repos: Iterable[Repo]) -> str:
    return "\n".join(f"  - {_quote_yaml(_spelt(repo))}" for repo in repos)


def _spelt(repo: Repo) -> str:
    return repo.id if repo.type is RepoType.MODEL else f"datasets/{repo.id}"


def _quote_yaml(text: str) -> str:
    """A name that YAML could take for a number, a date or a word of its own is quoted; most are not."""
    plain = text[0].isalpha() and ":" not in text and "#" not in text
    return text if plain else json.dumps(text)
