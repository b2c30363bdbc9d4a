"""A letter is sent at most once, whatever receivers, processes and clocks do; nothing of it outlives an erasure."""

from __future__ import annotations

import socket
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from msgspec.structs import replace

from hf_gate.automation.service.unattended import start_unattended, stop_unattended
from hf_gate.base.timestamps import from_ms, to_ms
from hf_gate.config import Settings, resolve_paths
from hf_gate.core.letters.letter_texts import LETTER_TEXTS
from hf_gate.core.letters.letters import (
    ON_HOLD,
    LetterCase,
    LetterConfig,
    LetterKind,
    LetterText,
    fill_text,
    find_obstacle,
    find_text_fault,
)
from hf_gate.core.letters.messages import DeliveryKind, MessageState
from hf_gate.core.letters.notices import MailServer
from hf_gate.errors import StoreBusy
from hf_gate.messages.channels.letter_mail import open_letter_channel
from hf_gate.messages.service.letters import render_letter, store_subscription
from hf_gate.messages.service.message_records import preview_letters
from hf_gate.privacy.rows.erasure import delete_expired
from hf_gate.privacy.rows.erasure_file import append_record, make_record
from hf_gate.privacy.rows.erasure_repetition import repeat_erasures
from hf_gate.settings.service.workspace import Workspace, WorkspaceLocation
from hf_gate.settings.workspace_config import WorkspaceConfig
from hf_gate.store.store import Store
from hf_gate.workspace.rows.opening import open_store
from tests.kits.faulty_stores import KilledError
from tests.kits.manual_clock import ManualClock
from tests.kits.message_servers import open_mailbox
from tests.kits.outboxes import ENDINGS, LetterServer, list_letters, list_open, mark_letters, send_letters
from tests.kits.stores import EEG as REPO
from tests.kits.stores import ENDPOINT, country_of, load_classifier, new_store, record, store, store_records
from tests.kits.stores import sqlite_place as place

__all__ = ["place", "store"]

T0 = 1_767_225_600_000  # 2026-01-01, before every request
MAIL = MailServer(host="127.0.0.1", port=2525, sender="access@example.org", to=())
CONFIG = LetterConfig(kinds=tuple(LetterKind), needs={"agreement": "Sign."}, mail=MAIL, per_person=30)
DAY = 86_400


def open_desk(store: Store, clock: ManualClock, config: LetterConfig = CONFIG) -> Workspace:
    location = WorkspaceLocation(Path(), WorkspaceConfig(letters=config))

    wanted = Settings(paths=resolve_paths({}, Path()))
    return Workspace(wanted, location, store, clock=clock, open_hub=lambda: cast("Any", None))


@pytest.fixture
def desk(store: Store) -> Workspace:
    found = open_desk(store, ManualClock.at_ms(T0))
    store_subscription(found)
    return found


def states(workspace: Workspace) -> list[str]:
    return sorted(one.state.value for one in list_letters(workspace.store, list(MessageState), 1000))


def read_in(workspace: Workspace, records: Sequence[dict[str, Any]]) -> None:
    """Read records as a sync does now."""
    store_records(workspace.store, REPO, records, at=to_ms(workspace.now()))


def advance(workspace: Workspace, seconds: int) -> None:
    workspace.clock.sleep(seconds)


def test_nobody_who_asked_before_a_kind_was_on_gets_a_letter(store: Store) -> None:
    clock = ManualClock.at_ms(T0)
    store_subscription(open_desk(store, clock, LetterConfig(kinds=(LetterKind.ENDS,), mail=MAIL)))
    clock.advance(40 * DAY)
    desk = open_desk(store, clock)
    store_subscription(desk)
    read_in(desk, [record(1, day=20), record(2, day=60)])
    post = LetterServer()
    send_letters(desk, post)
    assert post.to == ["user2@example.org"]


def test_a_letter_names_the_last_day_of_access_as_pages_do(desk: Workspace) -> None:
    """Access until 30 June ends when 1 July begins."""
    read_in(desk, [record(1)])
    (letter,) = list_letters(desk.store, [MessageState.WAITING], 1)
    july = to_ms(datetime(2027, 7, 1, tzinfo=UTC))
    case = LetterCase(
        letter=replace(letter, kind=LetterKind.ENDS.value),
        status="accepted",
        is_current=True,
        ends_at=july,
        verdict=(None, None),
        email=None,
    )
    (row,) = desk.store.requests([letter.request_id or 0]).values()
    text = render_letter(case, row, CONFIG, desk.store.endpoint, UTC, desk.now())
    assert text.subject.endswith(" ends on 30 Jun 2027")


def test_a_letter_about_a_rule_for_which_nothing_is_needed_any_more_is_dropped(desk: Workspace) -> None:
    read_in(desk, [record(1)])
    (letter,) = list_letters(desk.store, [MessageState.WAITING], 1)
    case = LetterCase(
        letter=replace(letter, kind=LetterKind.NEEDED.value, key="agreement"),
        status="pending",
        is_current=True,
        ends_at=None,
        verdict=(ON_HOLD, "agreement"),
        email="user1@example.org",
    )
    assert find_obstacle(case, CONFIG, T0) is None
    assert find_obstacle(case, replace(CONFIG, needs={"other": "Sign."}), T0) == "the request has changed since"


def test_each_kind_of_letter_has_a_text_that_can_be_filled() -> None:
    assert set(LETTER_TEXTS) == set(LetterKind)
    assert [find_text_fault(text, kind) for kind, text in LETTER_TEXTS.items()] == [None] * len(LetterKind)


@pytest.mark.parametrize(
    "text", ["Hi\n{0}", "Hi\n{name!r}", "Hi\n{name.x}", "Hi\n{", "Hi\n}", "Hi\n{}", "{nam}\nx", "x" * 151 + "\ny"]
)
def test_a_text_with_anything_but_known_placeholders_is_refused(text: str) -> None:
    assert find_text_fault(text, LetterKind.RECEIVED) is not None


@pytest.mark.parametrize("value", ["{link}", "a\r\nBcc: x@example.org", "{0}", "\u202e", "x" * 10_000])
def test_a_value_stays_one_line_and_is_never_a_template(value: str) -> None:
    text = fill_text("To {name}\n{name} {link}", {"name": value, "link": "L"})
    assert "\n" not in text.subject
    assert "\r" not in text.subject + text.body
    assert len(text.subject) <= 300
    assert text.body.endswith(" L")


@pytest.mark.parametrize(
    "name", ["=?utf-8?q?=00?=", "=?utf-8?q?a=0D=0ABcc:_b@example.org?=", "=?utf-8?b?4oCuYQ==?=", "==?utf-8?q?=00?=?"]
)
def test_a_name_that_mail_programs_would_decode_stays_as_it_is_written(tmp_path: Path, name: str) -> None:
    text = fill_text("For {name}\nHello {name}", {"name": name})
    with open_mailbox(None) as box:
        channel = open_letter_channel(replace(MAIL, port=box.port), tmp_path)
        assert channel.send("l_1", "a@example.org", text, from_ms(T0)).kind is DeliveryKind.DELIVERED
    ((_, mail),) = box.mails
    assert mail["Subject"] == f"For {name.replace('=?', '= ?')}"


@pytest.mark.parametrize("jump", [0, DAY, -DAY])
def test_while_one_process_sends_letters_no_other_does_whatever_the_clock_says(desk: Workspace, jump: int) -> None:
    read_in(desk, [record(number) for number in range(3)])
    post, inner = LetterServer(), LetterServer()
    jumps = [jump]

    def send_twice() -> None:
        advance(desk, jumps.pop() if jumps else 0)
        with pytest.raises(StoreBusy, match="messages are being sent by"):
            send_letters(desk, inner)

    post.on_send = send_twice
    send_letters(desk, post)
    advance(desk, DAY)
    send_letters(desk, post)
    assert sorted(post.arrived.values()) == [1, 1, 1]
    assert not inner.arrived
    assert states(desk) == ["sent"] * 3


@pytest.mark.parametrize("arrives", [True, False])
def test_a_killed_sender_leaves_an_unknown_letter_that_nobody_sends_again(desk: Workspace, arrives: bool) -> None:
    read_in(desk, [record(1)])
    post = LetterServer([(None, arrives)])
    with suppress(KilledError):
        send_letters(desk, post)
    for _ in range(5):
        advance(desk, DAY)
        send_letters(desk, post)
    assert states(desk) == ["unknown"]
    (letter,) = list_open(desk, 10)
    assert letter.problem == "the process that sent it ended before it stored the outcome"
    assert post.arrived.total() == arrives
    assert mark_letters(desk, [letter.id], MessageState.WAITING, "lena") == [letter.id]
    send_letters(desk, post)
    assert post.arrived.total() == arrives + 1, "a person said so"


def test_a_server_that_refuses_every_letter_does_not_use_all_of_them_up(desk: Workspace) -> None:
    """For example, it wants a login that is not configured before it relays."""
    read_in(desk, [record(number) for number in range(30)])
    send_letters(desk, LetterServer([(DeliveryKind.REFUSED, False)] * 30))
    assert Counter(states(desk)) == {"bounced": 5, "waiting": 25}


@pytest.mark.parametrize(
    ("greeting", "sender"), [("554 go away", "250 OK"), ("220 hi", "550 who are you"), ("220 hi", "553 no such sender")]
)
def test_a_server_that_refuses_us_got_no_letter_and_gets_it_later(greeting: str, sender: str) -> None:
    with _server_that_answers(greeting, sender) as port:
        done = open_letter_channel(replace(MAIL, port=port), Path()).send(
            "l_1", "a@example.org", LetterText("S", "B"), from_ms(T0)
        )
    assert done.kind is DeliveryKind.FAILED


@contextmanager
def _server_that_answers(greeting: str, sender: str) -> Iterator[int]:
    """A mail server with these answers to a connection and to MAIL FROM."""
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as apart:

        def answer() -> None:
            connection = server.accept()[0]
            with connection, connection.makefile("rwb", buffering=0) as lines:
                lines.write(f"{greeting}\r\n".encode())
                while line := lines.readline():
                    lines.write(f"{sender if line.startswith(b'mail') else '250 OK'}\r\n".encode())

        done = apart.submit(answer)
        yield server.getsockname()[1]
        done.result()


def test_a_turn_sends_a_bounded_number(desk: Workspace) -> None:
    read_in(desk, [record(number) for number in range(120)])
    post = LetterServer()
    send_letters(desk, post)
    assert post.arrived.total() == 100
    send_letters(desk, post)
    assert post.arrived.total() == 120


def test_nothing_is_sent_while_unattended_work_is_stopped(desk: Workspace) -> None:
    read_in(desk, [record(1)])
    stop_unattended(desk.store, "mia", T0)
    assert send_letters(desk, LetterServer()).counts.total() == 0
    start_unattended(desk.store, "lena", T0)
    assert send_letters(desk, LetterServer()).counts.total() == 1


def test_a_person_gets_so_many_letters_in_thirty_days(store: Store) -> None:
    desk = open_desk(store, ManualClock.at_ms(T0), LetterConfig(kinds=(LetterKind.RECEIVED,), mail=MAIL, per_person=2))
    store_subscription(desk)
    post = LetterServer()
    for n in range(4):
        read_in(desk, [record(1, day=30 * (n // 4) + n, request=100 + n)])
        send_letters(desk, post)
        advance(desk, 8 * DAY)
    assert post.arrived.total() == 2
    assert states(desk) == ["dropped", "dropped", "sent", "sent"]
    assert preview_letters(desk, 10) == []


def test_an_erased_person_leaves_no_letter(desk: Workspace) -> None:
    store = desk.store
    read_in(desk, [record(1), record(2)])
    with suppress(KilledError):
        send_letters(desk, LetterServer([(DeliveryKind.DELIVERED, True), (None, False)]))
    (row,) = store.find_by_identity(None, "user1")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "erasures.jsonl"
        append_record(file, make_record(store, row.person.id, T0))
        repeat_erasures(store, file)
    assert [one.request_id == row.id for one in list_letters(store, list(MessageState), 10)] == [False]
    read_in(desk, [record(1)])
    advance(desk, DAY)
    post = LetterServer()
    send_letters(desk, post)
    assert post.arrived.total() == 0


def test_retention_deletes_the_letters_of_old_requests(desk: Workspace) -> None:
    read_in(desk, [record(1, status="pending")])
    send_letters(desk, LetterServer())
    read_in(desk, [record(1, status="rejected")])
    assert delete_expired(desk.store, "rejected", T0 + 1, limit=10, at=T0 + 2, actor="lena") == 1
    assert states(desk) == []


def test_the_list_of_many_letters_that_are_due_takes_no_more_queries_than_that_of_few(tmp_path: Path) -> None:
    place = f"sqlite:///{tmp_path / 'desk.db'}"
    with open_store(place, endpoint=ENDPOINT, country_of=country_of, load_classifier=load_classifier) as store:
        desk = open_desk(store, ManualClock.at_ms(T0))
        store_subscription(desk)

        def count_queries(numbers: Sequence[int]) -> int:
            read_in(desk, [record(number) for number in numbers])
            statements: list[str] = []
            cast("Any", store.reads).raw.set_trace_callback(statements.append)
            assert len(preview_letters(desk, 100)) == numbers[-1]
            cast("Any", store.reads).raw.set_trace_callback(None)
            return len(statements)

        assert count_queries(range(1, 4)) == count_queries(range(4, 41)) > 0


class LetterMachine(RuleBasedStateMachine):
    """A workspace whose senders are killed, and whose mail server does what it likes."""

    make_place: Callable[[Path], str]

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.place = type(self).make_place(Path(self.folder.name))
        self.clock, self.post, self.people = ManualClock.at_ms(T0), LetterServer(), 0
        self.retried: set[str] = set()
        self.open()
        store_subscription(self.desk)

    def open(self) -> None:
        self.store = open_store(self.place, endpoint=ENDPOINT, country_of=country_of, load_classifier=load_classifier)
        self.desk = open_desk(self.store, self.clock)

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    @rule(count=st.integers(1, 3))
    def people_ask(self, count: int) -> None:
        read_in(self.desk, [record(self.people + n) for n in range(count)])
        self.people += count

    @rule(status=st.sampled_from(["accepted", "rejected"]))
    def somebody_decides(self, status: str) -> None:
        if self.people:
            read_in(self.desk, [record(self.people - 1, status=status, reviewedAt="2026-02-02T10:00:00.000Z")])

    @rule(seconds=st.sampled_from([1, 60, 700, 13 * 3600, 8 * DAY]), endings=st.lists(ENDINGS, min_size=1, max_size=4))
    def a_turn_sends(self, seconds: int, endings: list[tuple[DeliveryKind | None, bool]]) -> None:
        self.clock.advance(seconds)
        self.post.answers = list(endings)
        try:
            send_letters(self.desk, self.post)
        except KilledError:
            self.store.close()
            self.open()
        self.post.answers = []

    @rule()
    def the_hub_is_read_again(self) -> None:
        read_in(self.desk, [record(n) for n in range(self.people)])

    # no precondition on the open letters: the order of letters made together differs between stores, so a replay would differ
    @rule(state=st.sampled_from([MessageState.MARKED, MessageState.WAITING]))
    def a_person_says(self, state: MessageState) -> None:
        idents = [one.id for one in list_open(self.desk, 10)]
        done = mark_letters(self.desk, idents, state, "lena")
        if state is MessageState.WAITING:
            self.retried |= set(done)

    @precondition(lambda self: self.people > 3)
    @rule()
    def letters_are_turned_off_and_on(self) -> None:
        store_subscription(open_desk(self.store, self.clock, LetterConfig()))
        store_subscription(self.desk)

    @invariant()
    def no_letter_arrives_twice(self) -> None:
        twice = {ident for ident, count in self.post.arrived.items() if count > 1}
        assert twice <= self.retried


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_whatever_happens_no_letter_arrives_twice(kind: str, request: pytest.FixtureRequest) -> None:
    uri = request.getfixturevalue("postgres_uri") if kind == "postgresql" else None

    def make_place(folder: Path) -> str:
        return f"sqlite:///{folder / 'desk.db'}" if uri is None else new_store(uri)

    machine = type("LetterMachine", (LetterMachine,), {"make_place": staticmethod(make_place)})
    effort = settings() if kind == "sqlite" else settings(max_examples=max(5, settings().max_examples // 5))
    run_state_machine_as_test(machine, settings=effort)


@pytest.mark.slow
def test_a_server_that_hangs_before_it_says_anything_got_no_letter() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        mail = replace(MAIL, port=server.getsockname()[1])
        done = open_letter_channel(mail, Path()).send("l_1", "a@example.org", LetterText("S", "B"), from_ms(T0))
    assert (done.kind, done.problem) == (DeliveryKind.FAILED, "the connection broke: SMTPServerDisconnected")


def test_a_header_cannot_be_injected_through_a_letter(tmp_path: Path) -> None:
    with open_mailbox(None) as box:
        channel = open_letter_channel(replace(MAIL, port=box.port), tmp_path)
        for to, subject in (("a@example.org", "S\r\nBcc: b@example.org"), ("a@example.org\r\nBcc: b@example.org", "S")):
            assert channel.send("l_1", to, LetterText(subject, "B"), from_ms(T0)).kind is not DeliveryKind.DELIVERED
    assert box.mails == []
