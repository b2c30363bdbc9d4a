"""`ask`: what is shown before a request is sent, which boxes must be ticked, and what is said afterwards."""

from __future__ import annotations

import json

import pytest

from hf_gate import Hub
from hf_gate.hub.protocol.access_refusals import RefusalCause, get_refusals
from hf_gate.testing import LocalHub
from tests.kits.command_line import HOSTILE, MODEL, Console, request_access

BOX = "I agree to the licence"
CARD = f"""---
extra_gated_heading: Please read this first
extra_gated_description: We answer in two weeks.
extra_gated_prompt: The data may not leave your institute.
extra_gated_fields:
  Use: text
  {BOX}: checkbox
---
"""
ANSWERS = ("-a", "Use=to listen", "-a", f"{BOX}=true")


@pytest.fixture
def gate(fresh: LocalHub) -> LocalHub:
    """A gate with a text, a question and a consent box; mia has not asked."""
    fresh.set_card(MODEL, CARD)
    fresh.add_people([{"username": "mia"}])
    return fresh


def asks_of(hub: LocalHub) -> int:
    return int(hub.stats()["calls"].get("POST ask", 0))


def decide(hub: LocalHub, state: str) -> None:
    request_access(hub, ["mia"])
    with Hub(hub.tokens["owner"], hub.url) as owner:
        if state == "granted":
            owner.accept(MODEL, "mia")
        elif state == "rejected":
            owner.reject(MODEL, "mia", reason=None)
        elif state == "reset":
            owner.reset(MODEL, "mia")


def test_a_hostile_text_of_a_gate_is_shown_as_text_and_in_part(gate: LocalHub) -> None:
    prompt = json.dumps(HOSTILE + "\n\x1b]0;Evil\x07" * 2_000)
    gate.set_card(MODEL, f"---\nextra_gated_heading: {'x' * 50_000}\nextra_gated_prompt: {prompt}\n---\n")
    ended = Console(gate, "mia").run("ask", MODEL, "--dry-run")
    assert "Evil" in ended.err
    assert "\x1b" not in ended.err
    assert "\u202e" not in ended.err
    assert "1961 more lines" in ended.err
    assert len(ended.err) < 20_000


def test_a_form_that_cannot_be_read_might_have_a_box_so_nothing_is_sent(gate: LocalHub) -> None:
    gate.set_card(MODEL, "---\nextra_gated_fields: [\n---\n")
    ended = Console(gate, "mia").run("ask", MODEL, "--yes")
    assert (ended.code, asks_of(gate)) == (2, 0)
    assert f"{gate.url}/{MODEL}" in ended.hint


@pytest.mark.parametrize(("state", "code"), [("granted", 0), ("pending", 0), ("rejected", 1)])
def test_where_asking_changes_nothing_ask_says_so_and_sends_nothing(gate: LocalHub, state: str, code: int) -> None:
    decide(gate, state)
    console = Console(gate, "mia")
    ended, told = console.run("ask", MODEL), console.run("why", MODEL)
    assert (ended.code, told.code) == (code, 0 if state == "granted" else 1), ended.err
    assert ended.out.splitlines()[:2] == told.out.splitlines()[:2]
    assert "Asking changes nothing now; nothing was sent." in ended.err
    assert console.run("ask", MODEL, *ANSWERS, "--json").json["status"] == state
    assert asks_of(gate) == 0


@pytest.mark.parametrize(
    "cause", [RefusalCause.TOKEN_EXPIRED, RefusalCause.TOKEN_NO_GATED_PERMISSION, RefusalCause.TOKEN_ORG_POLICY]
)
def test_a_refused_token_is_sent_to_why(gate: LocalHub, cause: RefusalCause) -> None:
    refusal = get_refusals(cause)[0]
    where = "whoami" if refusal.status == 401 else "auth-check"
    gate.set_faults([f"answer:status={refusal.status}:text={refusal.text.format(token='laptop')}:on={where}"])
    ended = Console(gate, "mia").run("ask", MODEL, *ANSWERS)
    assert (ended.code, asks_of(gate)) == (4, 0), ended.err
    assert f"hf-gate why {MODEL}" in ended.hint


def test_without_a_token_nothing_is_sent(gate: LocalHub) -> None:
    ended = Console(gate).run("ask", MODEL, *ANSWERS, env={"HF_TOKEN": ""})
    assert (ended.code, asks_of(gate)) == (4, 0), ended.err
    assert f"hf-gate why {MODEL}" in ended.hint


def test_where_nobody_can_confirm_it_sends_nothing_without_yes(gate: LocalHub) -> None:
    ended = Console(gate, "mia").run("ask", MODEL, *ANSWERS)
    assert (ended.code, asks_of(gate)) == (6, 0), ended.err
    assert "--yes" in ended.hint
