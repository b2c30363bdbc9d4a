"""`review` and the questions of the verbs, in front of a terminal: keys, what is held, what leaves, and how the terminal is left."""

from __future__ import annotations

import signal

import pytest

from hf_gate.testing import LocalHub
from tests.kits.command_line import HOSTILE, MODEL, Console, request_access, status_of
from tests.kits.program_server import program_words
from tests.kits.terminal import Terminal

NAMES = ["first-one", "second-one", "third-one"]


def _open(hub: LocalHub, *args: str) -> Terminal:
    return Terminal([*program_words(), *args], Console(hub).environment())


@pytest.fixture
def three(fresh: LocalHub) -> LocalHub:
    """Three people who asked one after the other."""
    for day, name in enumerate(NAMES, 1):
        fresh.add_people([{"username": name, "fullname": name.title()}])
        fresh.add_requests(
            [
                {
                    "repo": MODEL,
                    "user": name,
                    "answers": {"Purpose": f"study {day}"},
                    "asked_at": f"2026-01-0{day}T10:00:00.000Z",
                }
            ]
        )
    return fresh


def test_who_has_waited_longest_comes_first_with_answers_and_age(three: LocalHub) -> None:
    with _open(three, "review", MODEL) as terminal:
        shown = terminal.until("q quit")
        assert "Request 1 of 3 · first-one (First-One)" in shown
        assert "study 1" in shown
        assert "mo ago)" in shown
        assert "a accept" in shown
        terminal.press("q")
        assert terminal.end() == 0
        assert "0 requests decided, 3 left" in terminal.display
    assert not [move for move in three.journal() if move["route"] != "ask"]


def test_a_decision_is_held_until_one_more_was_looked_at(three: LocalHub) -> None:
    with _open(three, "review", MODEL) as terminal:
        terminal.until("Request 1 of 3")
        terminal.press("a")
        assert "Not sent yet: accept first-one" in terminal.until("Request 2 of 3")
        assert status_of(three, "first-one") == "pending"
        terminal.press(" ")
        terminal.until("Request 3 of 3")
        assert status_of(three, "first-one") == "accepted"
        terminal.press("q")
        assert terminal.end() == 0
        assert "1 request decided, 2 left" in terminal.display


def test_z_takes_a_decision_back_before_it_leaves(three: LocalHub) -> None:
    with _open(three, "review", MODEL) as terminal:
        terminal.until("Request 1 of 3")
        terminal.press("a")
        terminal.until("Request 2 of 3")
        terminal.press("z")
        assert "Undone: accept first-one" in terminal.until("Request 1 of 3")
        terminal.press("z")
        terminal.until("Nothing to undo")
        terminal.press("q")
        assert terminal.end() == 0
    assert status_of(three, "first-one") == "pending"


def test_a_reason_is_typed_measured_and_sent(three: LocalHub) -> None:
    with _open(three, "review", MODEL) as terminal:
        terminal.until("Request 1 of 3")
        terminal.press("s")
        terminal.until("can ask again")
        terminal.press("x" * 201 + "\n")
        terminal.until("the Hub allows 200")
        terminal.press("Please say more.\n")
        terminal.until("Request 2 of 3")
        terminal.press("r")
        assert "! and Enter: back to the request" in terminal.until("cannot ask again")
        terminal.press("!\n")
        terminal.until("Request 2 of 3")
        terminal.press("r")
        terminal.until("cannot ask again")
        terminal.press("Not for resale.\n")
        terminal.until("Request 3 of 3")
        terminal.press("q")
        assert terminal.end() == 0
    assert [status_of(three, name) for name in NAMES] == ["reset", "rejected", "pending"]


@pytest.mark.parametrize("key", ["r", "s"])
def test_enter_alone_sends_no_reason_only_after_a_second_choice(three: LocalHub, key: str) -> None:
    with _open(three, "review", MODEL) as terminal:
        terminal.until("Request 1 of 3")
        terminal.press(key)
        terminal.until("Type a reason")
        terminal.press("\n")
        terminal.until("Send no reason? They will not know why.")
        terminal.press("n")
        terminal.until_it_reads_lines()
        terminal.press("\n")
        terminal.until("Send no reason? They will not know why.")
        terminal.press("y")
        terminal.until("Request 2 of 3")
        terminal.press("q")
        assert terminal.end() == 0
    assert status_of(three, "first-one") == {"r": "rejected", "s": "reset"}[key]


def test_the_last_line_says_how_to_undo(three: LocalHub) -> None:
    console = Console(three)
    with _open(three, "review", MODEL) as terminal:
        terminal.until("Request 1 of 3")
        terminal.press("aq")
        assert terminal.end() == 0
        (run,) = console.run("runs", "ls", "--json").json
        assert f"1 request decided, 2 left. To undo it: hf-gate undo {run['run']}" in terminal.display
    with _open(three, "review", MODEL) as terminal:
        terminal.until("Request 1 of 2")
        terminal.press("a")
        terminal.until("Request 2 of 2")
        terminal.press("aq")
        assert terminal.end() == 0
        assert "2 requests decided, 0 left. To undo one: hf-gate runs ls, then hf-gate undo RUN" in terminal.display


def test_the_last_decision_leaves_with_one_more_key_or_is_taken_back(three: LocalHub) -> None:
    with _open(three, "review", MODEL) as terminal:
        terminal.until("Request 1 of 3")
        terminal.press("  a")
        terminal.until("That was the last request")
        terminal.press("z")
        terminal.until("Undone")
        terminal.press("a")
        terminal.until("That was the last request")
        assert status_of(three, "third-one") == "pending"
        terminal.press(" ")
        assert terminal.end() == 0
    assert status_of(three, "third-one") == "accepted"


def test_a_request_that_was_withdrawn_or_decided_meanwhile_is_told_and_not_sent(three: LocalHub) -> None:
    with _open(three, "review", MODEL) as terminal:
        terminal.until("Request 1 of 3")
        terminal.press("a")
        terminal.until("Request 2 of 3")
        assert Console(three).run("reject", f"first-one@{MODEL}", "--no-reason").code == 0
        terminal.press("a")
        assert "first-one: stale" in terminal.until("Request 3 of 3")
        assert Console(three, "second-one").run("withdraw", MODEL).code == 0
        terminal.press("q")
        assert terminal.end() == 0
        assert "second-one: gone" in terminal.display
    assert status_of(three, "first-one") == "rejected"


@pytest.mark.parametrize(("how", "code"), [("ctrl-c", 130), ("sigterm", 143), ("ctrl-d", 130)])
def test_an_end_without_q_sends_nothing_more_and_leaves_the_terminal_as_it_was(
    three: LocalHub, how: str, code: int
) -> None:
    with _open(three, "review", MODEL) as terminal:
        terminal.until("Request 1 of 3")
        terminal.press("a")
        terminal.until("Request 2 of 3")
        if how == "sigterm":
            terminal.child.send_signal(signal.SIGTERM)
        else:
            terminal.press({"ctrl-c": "\x03", "ctrl-d": "\x04"}[how])
        assert terminal.end() == code
        assert "Not sent: accept first-one" in terminal.display
        assert terminal.is_cooked()
    assert status_of(three, "first-one") == "pending"


def test_arrows_and_other_keys_decide_nothing(three: LocalHub) -> None:
    with _open(three, "review", MODEL) as terminal:
        terminal.until("Request 1 of 3")
        terminal.press("\x1b[A")
        terminal.until("This key does nothing here.")
        terminal.press("\r")
        terminal.until("Enter does nothing here.")
        terminal.press("y\ny")
        terminal.until("'y' does nothing here.")
        terminal.press("q")
        assert terminal.end() == 0
        assert "3 left" in terminal.display


def test_a_token_that_may_not_decide_ends_it_with_exit_4(three: LocalHub) -> None:
    console = Console(three, "fine_access")
    with Terminal([*program_words(), "review", MODEL], console.environment()) as terminal:
        terminal.until("Request 1 of 3")
        terminal.press("aq")
        assert terminal.end() == 4
        assert terminal.is_cooked()
    assert status_of(three, "first-one") == "pending"


def test_hostile_answers_do_not_act_on_the_screen(fresh: LocalHub) -> None:
    fresh.add_people([{"username": "mallory", "fullname": HOSTILE}])
    request_access(fresh, ["mallory"], answers={HOSTILE: HOSTILE + "\x1b[2J\x1b]0;owned\x07\x1b[10A overwritten"})
    with _open(fresh, "review", MODEL) as terminal:
        shown = terminal.until("q quit")
        assert "␛[31mEvil⟨U+202E⟩gnp.exe⟨U+200B⟩␇␍" in shown
        terminal.press("q")
        assert terminal.end() == 0
        assert b"\x1b]0;" not in terminal.raw
        assert b"\x1b[31mEvil" not in terminal.raw
        assert "\u202e".encode() not in terminal.raw
    with _open(fresh, "ls", MODEL) as terminal:
        assert terminal.end() == 0
        assert "␛[31mEvil⟨U+202E⟩gnp.exe" in next(line for line in terminal.display.splitlines() if "mallory" in line)
        assert b"\x1b[31mEvil" not in terminal.raw


@pytest.mark.parametrize("columns", [70, 80, 100, 140])
def test_a_table_fits_the_terminal_cuts_no_username_and_says_what_it_left_out(
    crowded_hub: LocalHub, columns: int
) -> None:
    names = [row["user"] for row in Console(crowded_hub).run("ls", MODEL, "--json", "--limit", "30").json]
    with Terminal([*program_words(), "ls", MODEL], Console(crowded_hub).environment(), columns=columns) as terminal:
        assert terminal.end() == 0
        shown = terminal.display.splitlines()
    head = next(number for number, line in enumerate(shown) if line.startswith("AGE"))
    assert [line.split()[1] for line in shown[head + 1 : head + 31]] == names, "each in a line of its own, and whole"
    talk = "".join(shown[head + 31 :])
    assert "Showing 30 of 109 (pending, newest first" in talk
    assert ("Hidden columns: " in talk) == (columns < 100)
    assert "NAME" in shown[head], "other columns are needed less"


def test_a_long_answer_is_parted_between_words(three: LocalHub) -> None:
    words = "I study how well small models follow instructions in Luganda and in Swahili, and would like to publish it."
    request_access(three, ["wren-k"], answers={"Purpose": words})
    for args in (("review", MODEL, "--newest-first"), ("show", f"wren-k@{MODEL}")):
        with Terminal([*program_words(), *args], Console(three).environment(), columns=50) as terminal:
            if args[0] == "review":
                terminal.until("q quit")
                terminal.press("q")
            assert terminal.end() == 0
            lines = [line for line in terminal.display.splitlines() if line.startswith("      ")]
        assert len(answer := [line.strip() for line in lines if "AI" not in line and line.strip() in words]) == 3
        assert " ".join(answer) == words


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (120, 40)])
def test_counter_person_unsent_decision_and_keys_stay_on_the_screen_and_m_shows_the_rest(
    three: LocalHub, columns: int, lines: int
) -> None:
    answers = {"Purpose": " ".join(f"word-{number}" for number in range(900)), "Other": "x\n" * 60}
    request_access(three, ["wren-k"], answers=answers)
    program = [*program_words(), "review", MODEL, "--newest-first"]
    with Terminal(program, Console(three).environment(), columns=columns, lines=lines) as terminal:
        shown = terminal.until("q quit").splitlines()
        assert shown[0].startswith("Request 1 of 4 · wren-k")
        assert sum("more lines: m" in line for line in shown) == 2
        assert "word-0 " in "\n".join(shown)
        seen = ""
        while "word-899" not in seen:
            terminal.press("m")
            page = seen.count("-- page ") + 1
            seen += terminal.until(f"-- page {page} of ")
            assert terminal.display.splitlines()[0].startswith("Request 1 of 4 · wren-k")
        terminal.press("aa")
        shown = terminal.until("Request 3 of 4").splitlines()
        assert shown[1].startswith("Not sent yet: accept third-one")
        terminal.press("zs")
        shown = terminal.until("Type a reason").splitlines()
        assert shown[0].startswith("Request 2 of 4 · third-one")
        terminal.press("!\n")
        terminal.until("q quit")
        terminal.press("q")
        assert terminal.end() == 0


def test_a_few_changes_ask_for_a_yes_and_many_for_their_number(three: LocalHub) -> None:
    with _open(three, "accept", MODEL, *NAMES) as terminal:
        assert "accept second-one" in terminal.until("accept 3 people?")
        terminal.press("n\n")
        assert terminal.end() == 6
    assert status_of(three, "first-one") == "pending"
    with _open(three, "accept", MODEL, *NAMES) as terminal:
        terminal.until("accept 3 people?")
        terminal.press("y\n")
        assert terminal.end() == 0
        assert "3 accepted." in terminal.display
    names = [f"person-{number}" for number in range(21)]
    request_access(three, names)
    for typed, code in (("no", 6), ("21", 0)):
        with _open(three, "reject", MODEL, *names, "--reason", "Closed.") as terminal:
            assert "and 1 more" in terminal.until("Type 21 to continue")
            assert '"Closed."' in terminal.display
            terminal.press(typed + "\n")
            assert terminal.end() == code


def test_reject_without_a_reason_asks_for_one_and_sends_what_was_typed(three: LocalHub) -> None:
    with _open(three, "reject", f"first-one@{MODEL}") as terminal:
        terminal.until("Reason, shown to the person")
        terminal.press("\n")
        terminal.until("Send no reason? They will not know why")
        terminal.press("n\n")
        terminal.press("x" * 201 + "\n")
        terminal.until("201 characters")
        terminal.press("Not for resale.\n")
        assert terminal.end() == 0
        assert 'reason sent: "Not for resale."' in terminal.display
    assert status_of(three, "first-one") == "rejected"


def test_long_work_shows_how_far_it_is(fresh: LocalHub) -> None:
    names = [f"person-{number}" for number in range(30)]
    fresh.add_people([{"username": name} for name in names])
    fresh.set_faults(["delay_before:s=0.05:on=grant"])
    with _open(fresh, "grant", MODEL, *names, "--yes") as terminal:
        terminal.until("% ")
        assert "of 30" in terminal.display
        assert "left" in terminal.display
        assert terminal.end() == 0
        assert "30 granted." in terminal.display
        assert "of 30" not in terminal.display
