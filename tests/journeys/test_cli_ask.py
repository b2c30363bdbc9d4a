"""`ask`: what is shown before a request is sent, which boxes must be ticked, and what is said afterwards."""

from __future__ import annotations

import json

import pytest

from hf_gate import Hub
from hf_gate.hub.protocol.access_refusals import RefusalCause, get_refusals
from hf_gate.testing import LocalHub
from tests.kits.command_line import HOSTILE, MODEL, PROGRAM, Console, request_access
from tests.kits.terminal import Terminal

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


def test_the_text_of_the_gate_and_what_is_shared_are_shown_before_a_request_is_sent(gate: LocalHub) -> None:
    ended = Console(gate, "mia").run("ask", MODEL, *ANSWERS, "--yes")
    for words in ("Please read this first", "We answer in two weeks.", "The data may not leave your institute.", BOX):
        assert words in ended.err
    for shared in ("username", "full name", "e-mail address", "answers"):
        assert shared in ended.err
    assert ended.err.endswith("The request was sent.\n")
    assert "Next: Wait for the decision" in ended.out
    assert asks_of(gate) == 1


def test_a_hostile_text_of_a_gate_is_shown_as_text_and_in_part(gate: LocalHub) -> None:
    prompt = json.dumps(HOSTILE + "\n\x1b]0;Evil\x07" * 2_000)
    gate.set_card(MODEL, f"---\nextra_gated_heading: {'x' * 50_000}\nextra_gated_prompt: {prompt}\n---\n")
    ended = Console(gate, "mia").run("ask", MODEL, "--dry-run")
    assert "Evil" in ended.err
    assert "\x1b" not in ended.err
    assert "\u202e" not in ended.err
    assert "1961 more lines" in ended.err
    assert len(ended.err) < 20_000


def test_a_gate_of_many_questions_names_the_page_that_has_them_all(gate: LocalHub) -> None:
    fields = "".join(f"  Question {number}: text\n" for number in range(500))
    gate.set_card(MODEL, f"---\nextra_gated_fields:\n{fields}---\n")
    ended = Console(gate, "mia").run("ask", MODEL, "--dry-run", "--yes")
    assert len(ended.err.splitlines()) < 210
    assert f"more lines. Read them all on its page: {gate.url}/{MODEL}" in ended.err


def test_a_form_that_cannot_be_read_might_have_a_box_so_nothing_is_sent(gate: LocalHub) -> None:
    gate.set_card(MODEL, "---\nextra_gated_fields: [\n---\n")
    ended = Console(gate, "mia").run("ask", MODEL, "--yes")
    assert (ended.code, asks_of(gate)) == (2, 0)
    assert f"{gate.url}/{MODEL}" in ended.hint


@pytest.mark.parametrize("given", [(), ("-a", f"{BOX}=false"), ("-a", f"{BOX}=")], ids=["none", "false", "empty"])
@pytest.mark.parametrize("flags", [(), ("--yes",), ("--yes", "--dry-run"), ("--yes", "--json")], ids=" ".join)
def test_a_box_that_is_not_ticked_is_refused_and_nothing_is_sent(
    gate: LocalHub, given: tuple[str, ...], flags: tuple[str, ...]
) -> None:
    ended = Console(gate, "mia").run("ask", MODEL, "-a", "Use=to listen", *given, *flags)
    assert ended.code == 2, ended.err
    assert "nothing was sent" in ended.error
    assert ended.out == ""
    assert asks_of(gate) == 0


def test_yes_ticks_no_box_and_names_the_one_that_is_missing(gate: LocalHub) -> None:
    ended = Console(gate, "mia").run("ask", MODEL, "--yes")
    assert BOX in ended.error
    assert f"-a '{BOX}=true'" in ended.hint


def test_yes_sends_without_answers_that_are_no_boxes(gate: LocalHub) -> None:
    ended = Console(gate, "mia").run("ask", MODEL, "-a", f"{BOX}=true", "--yes", "--json")
    assert ended.json == {"schema_version": 1, "repo": MODEL, "repo_type": "model", "status": "pending"}


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


@pytest.mark.parametrize("mode", ["manual", "auto"])
@pytest.mark.parametrize("before", ["ask", "reset"])
def test_after_asking_it_ends_with_the_words_of_why_and_with_zero(gate: LocalHub, mode: str, before: str) -> None:
    if before == "reset":
        decide(gate, "reset")
    with Hub(gate.tokens["owner"], gate.url) as owner:
        owner.set_gate(MODEL, mode="auto" if mode == "auto" else "manual")
    console = Console(gate, "mia")
    ended, told = console.run("ask", MODEL, *ANSWERS, "--yes"), console.run("why", MODEL)
    assert asks_of(gate) == 1
    assert (ended.code, told.code) == (0, 0 if mode == "auto" else 1)
    assert ended.out.splitlines()[:2] == told.out.splitlines()[:2]


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


@pytest.mark.parametrize(("keys", "count", "code"), [("y\n", 1, 0), ("n\n", 0, 6), ("\n", 0, 6)])
def test_on_a_terminal_it_asks_before_it_sends(gate: LocalHub, keys: str, count: int, code: int) -> None:
    with Terminal([*PROGRAM, "ask", MODEL, *ANSWERS], Console(gate, "mia").environment()) as terminal:
        terminal.until("Send this request?")
        assert asks_of(gate) == 0
        terminal.press(keys)
        assert terminal.end() == code
    assert asks_of(gate) == count


def test_a_box_that_is_left_open_at_the_question_sends_nothing(gate: LocalHub) -> None:
    words = ["ask", MODEL, "-a", "Use=to listen"]
    with Terminal([*PROGRAM, *words], Console(gate, "mia").environment()) as terminal:
        terminal.until("Tick this box?")
        terminal.press("n\n")
        assert terminal.end() == 2
        assert "nothing was sent" in terminal.display
    assert asks_of(gate) == 0
    with Terminal([*PROGRAM, *words], Console(gate, "mia").environment()) as terminal:
        terminal.until("Tick this box?")
        terminal.press("y\n")
        terminal.until("Send this request?")
        terminal.press("y\n")
        assert terminal.end() == 0
    assert asks_of(gate) == 1


def test_where_nobody_can_confirm_it_sends_nothing_without_yes(gate: LocalHub) -> None:
    ended = Console(gate, "mia").run("ask", MODEL, *ANSWERS)
    assert (ended.code, asks_of(gate)) == (6, 0), ended.err
    assert "--yes" in ended.hint
