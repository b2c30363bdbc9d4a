"""Queries give the same rows on both databases, and the same as a plain filter over everything."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hf_gate.core.events.classification import MailKind
from hf_gate.core.events.events import ChangeSettled, ChangeStarted, GrantDated, LedgerEntry, VerdictReached
from hf_gate.core.forms.case_folding import fold_for_search
from hf_gate.core.forms.roles import Role
from hf_gate.core.parsing.query import Age, Day, Pattern, Query, Term
from hf_gate.core.stored_rows import RequestRow
from hf_gate.errors import UsageError
from hf_gate.requests.answer_quality import rate_answer
from hf_gate.requests.answer_ratings import Quality
from hf_gate.requests.query_parser import parse_query
from hf_gate.requests.rows.queue import read_people_page
from hf_gate.store.rows.query_sql import build_conditions
from hf_gate.store.rows.search import PageRequest, cursor_of, find_page_keys
from hf_gate.store.store import Store
from hf_gate.verdicts.drivers.domain_lists import DomainLists
from hf_gate.verdicts.request_classifier import mail_kind
from hf_gate.workspace.rows.opening import open_store
from tests.kits.stores import (
    EEG,
    ENDPOINT,
    MED,
    country_of,
    hub_id,
    list_updates,
    load_classifier,
    new_store,
    parse_records,
    record,
    store_records,
)

_LISTS = DomainLists()
NOW = 1_772_500_000_000
_NAMES = ["Ada Lovelace", "李雷", "Çağrı Öz", "ＦＵＬＬ ｗｉｄｔｈ", "Straße", "a", "", "محمد", "x_%!", "robot"]
_PURPOSES = [
    "to study robot arms and sleep",
    "To study  ROBOT arms and sleep",
    "北京大学 睡眠研究",
    "STRASSE und Straßen",
    "x",
    "",
    "100%_sure!",
    'say "hi" \\ there',
    "Роботы",
    "naïve ｒｏｂｏｔ",
]
_MAILS = ["mit.edu", "cs.mit.edu", "例え.jp", "example.org", "gmail.com", "mailinator.com", None]


def _records(seed: int, count: int) -> Iterator[dict[str, object]]:
    chance = random.Random(seed)
    for number in range(count):
        domain = chance.choice(_MAILS)
        yield record(
            number,
            chance.choice(["pending", "pending", "accepted", "rejected", "reset"]),
            day=chance.randrange(60),
            name=chance.choice(["user", "Ada-", "x"]) + str(number),
            fullname=chance.choice(_NAMES),
            email=domain and f"{chance.choice(['ada', 'bob', 'o%k'])}{number}@{domain}",
            answers={"Intended use": chance.choice(_PURPOSES), "Country": chance.choice(["CH", "us", ""])},
            is_hidden=chance.random() < 0.05,
            request=5000 + number,
            reviewedAt=chance.choice([None, "2026-02-03T00:00:00.000Z", "2026-02-04T23:59:59.999Z"]),
        )


def _fill(store: Store) -> None:
    idents = store_records(store, EEG, list(_records(1, 90)))
    more = store_records(store, MED, [one | {"requestId": hub_id(9000 + n)} for n, one in enumerate(_records(2, 60))])
    verdicts = [("accept", "p", "signed"), ("human", "p", "rest"), ("reset", "q", "say-more")]
    chance = random.Random(3)
    for repo, some in ((EEG, idents), (MED, more)):
        entries = []
        for ident in some[::2]:
            action, policy, rule = chance.choice(verdicts)
            shadow = chance.choice([(), (("new", "n1", "reject"),), (("new", "n2", "accept"), ("old", "o1", "reset"))])
            reached = VerdictReached(action=action, policy=policy, rule=rule, digest="d" * 64, shadow=shadow)
            tables = [name for name in ("partners", "dua") if chance.random() < 0.4]
            person = store.requests([ident])[ident].person.id
            entries.append(
                LedgerEntry(
                    event=reached, at=5, actor="policy:p", request=ident, person=person, private={"tables": tables}
                )
            )
            if store.requests([ident])[ident].state.status == "accepted" and chance.random() < 0.7:
                day = NOW + chance.randrange(-10, 90) * 86_400_000
                dated = chance.choice(
                    [
                        GrantDated(until=day),
                        GrantDated(until=None, lapses=(day,), terms="t"),
                        GrantDated(until=None, terms="t"),
                    ]
                )
                entries.append(LedgerEntry(event=dated, at=6, actor="lena", request=ident, person=person))
            if chance.random() < 0.3:
                private = {"reason": chance.choice(["Please say more.", "no", "Robots?"])}
                entries += [
                    LedgerEntry(event=ChangeStarted(run="r", before="x", after="reset"), at=6, actor="lena", request=ident, person=person, private=private),
                    LedgerEntry(event=ChangeSettled(run="r", kind="done", after="reset"), at=7, actor="lena", request=ident),
                ]  # fmt: skip
        with store.writing() as write:
            write.append(repo, entries)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with 150 requests of all kinds."""
    if request.param == "sqlite":
        place = f"sqlite:///{tmp_path_factory.mktemp('store') / 'desk.db'}"
    else:
        place = new_store(request.getfixturevalue("postgres_uri"))
    with open_store(place, endpoint=ENDPOINT, country_of=country_of, load_classifier=load_classifier) as store:
        _fill(store)
        yield store


# ---- the plain filter ------------------------------------------------------------------------------------------------------


def _some(term: Term, *values: str | None) -> bool:
    return any(p.matches(fold_for_search(value)) for p in term.patterns for value in values if value is not None)


def _age(term: Term, row: RequestRow) -> bool:
    age = NOW - row.state.asked_at
    compare: dict[str, Callable[[int, int], bool]] = {
        ">": lambda a, b: a > b, ">=": lambda a, b: a >= b, "<": lambda a, b: a < b, "<=": lambda a, b: a <= b,
    }  # fmt: skip
    return any(compare[value.sign](age, value.seconds * 1000) for value in term.values if isinstance(value, Age))


def _day(term: Term, moment: int | None) -> bool:
    if moment is None:
        return False
    when = datetime.fromtimestamp(moment / 1000, UTC)
    for value in term.values:
        assert isinstance(value, Day)
        first, last = (None if day is None else datetime.combine(day, time(), UTC) for day in value.bounds)
        if (first is None or when >= first) and (last is None or when < last):
            return True
    return False


def _end(term: Term, row: RequestRow) -> bool:
    end = row.state.ends_at
    if any(isinstance(value, Pattern) and not value.is_any for value in term.values) and (
        row.state.status == "accepted" and end is None and row.state.terms is None
    ):
        return True
    compare: dict[str, Callable[[int, int], bool]] = {
        ">": lambda a, b: a > b, ">=": lambda a, b: a >= b, "<": lambda a, b: a < b, "<=": lambda a, b: a <= b,
    }  # fmt: skip
    return end is not None and any(
        value.is_any if isinstance(value, Pattern)
        else compare[value.sign](end, NOW + value.seconds * 1000) if isinstance(value, Age)
        else _day(Term("ends", (value,)), end)
        for value in term.values
    )  # fmt: skip


def _word(term: Term, row: RequestRow) -> bool:
    who = row.person.identity
    return any(
        term.patterns[0].matches_within(fold_for_search(text or ""))
        for text in (who.fullname, who.username, who.email, *_answers(row).values())
    )


def _answers(row: RequestRow) -> dict[str, str]:
    assert row.request is not None
    return {fold_for_search(label).strip(): answer for label, answer in row.request.answers.items()}


def _repo(term: Term, row: RequestRow) -> bool:
    path, name = row.repo.web_path, row.repo.name
    return any(p.matches(path if "/" in "".join(p.parts) or p.is_any else name) for p in term.patterns)


def _user(term: Term, row: RequestRow) -> bool:
    plain = {p.parts[0].lower() for p in term.patterns if p.is_plain}
    return _some(term, row.person.identity.username or "") or bool(
        {row.person.identity.user_id, row.person.pseudonym} & plain
    )


def _column(store: Store, sql: str, row: RequestRow) -> list[str | None]:
    return [value for (value,) in store.reads.rows(sql, (row.id,))]


def _quality(row: RequestRow) -> str:
    assert row.request is not None
    person = row.request.person
    names = [name for name in (person.username, person.fullname) if name]
    return rate_answer(_answers(row).get("intended use"), "Intended use", Role.PURPOSE, names).value


def _is_same_text(store: Store, row: RequestRow, number: int) -> bool:
    other = store.request(number)
    texts = [
        " ".join(fold_for_search(_answers(one)["intended use"]).split()) for one in (row, other) if one is not None
    ]
    return other is not None and row.repo == other.repo and texts[0] == texts[1] and len(texts[0]) >= 24


_HOLDS: dict[str, Callable[[Store, Term, RequestRow], bool]] = {
    "": lambda _, t, row: _word(t, row),
    "status": lambda _, t, row: _some(t, row.state.status),
    "repo": lambda _, t, row: _repo(t, row),
    "user": lambda _, t, row: _user(t, row),
    "email": lambda _, t, row: _some(t, row.person.identity.email or ""),
    "domain": lambda _, t, row: _some(t, (row.person.identity.email or "").rpartition("@")[2] or None),
    "country": lambda _, t, row: _some(t, _answers(row).get("country") or None),
    "age": lambda _, t, row: _age(t, row),
    "asked": lambda _, t, row: _day(t, row.state.asked_at),
    "reviewed": lambda _, t, row: _day(t, row.state.reviewed_at),
    "ends": lambda _, t, row: _end(t, row),
    "rule": lambda _, t, row: _some(t, row.state.verdict[2] if row.state.verdict else None),
    "verdict": lambda _, t, row: _some(t, row.state.verdict[0] if row.state.verdict else None),
    "shadow": lambda _, t, row: _some(t, *(action for _, _, action in row.state.shadow)),
    "table": lambda store, t, row: _some(t, *_column(store, "SELECT name FROM hits WHERE request_id = ?", row)),
    "reason": lambda store, t, row: _some(t, *_column(store, "SELECT reason FROM requests WHERE id = ?", row)),
    "form": lambda _, t, row: _some(t, _answers(row).get(fold_for_search(t.label or "").strip())),
    "answer": lambda _, t, row: _some(t, *_answers(row).values()),
    "quality": lambda _, t, row: _some(t, _quality(row)),
    "mail": lambda _, t, row: _some(t, mail_kind(_LISTS.email(row.request.email)) if row.request else None),
    "same": lambda store, t, row: any(_is_same_text(store, row, int(p.parts[0])) for p in t.patterns),
}


def _plain(store: Store, query: Query) -> list[int]:
    rows = [
        row for repo in store.repos() for status in repo.counts for row in store.iterate_requests(repo.repo, status)
    ]
    fitting = [row for row in rows if all(_HOLDS[t.key](store, t, row) != t.is_not for t in query.terms)]
    return [row.id for row in sorted(fitting, key=lambda row: (row.state.asked_at, row.id))]


def _all(store: Store, query: Query, limit: int, *, newest_first: bool = False) -> list[int]:
    found: list[int] = []
    cursor = None
    while True:
        page = store.query(query, now=NOW, limit=limit, cursor=cursor, newest_first=newest_first)
        found += [row.id for row in page.rows]
        cursor = page.next
        if cursor is None:
            return found
        assert len(page.rows) == limit


# ---- queries that could be asked -----------------------------------------------------------------------------------------

_fragments = st.sampled_from(
    ["robot", "ro", "b", "北京", "睡", "学", "李雷", "straße", "STRASSE", "ada", "mit.edu", "@", "%", "_", "!", '"hi"', "\\", "роб", "ｆｕｌｌ", "nothing", " "]
)  # fmt: skip
_patterns = st.builds(
    lambda parts, star: Pattern((*([""] if star & 1 else []), *parts, *([""] if star & 2 else []))),
    st.lists(_fragments, min_size=1, max_size=2),
    st.integers(0, 3),
)
_values: dict[str, st.SearchStrategy[Pattern | Age | Day]] = {
    "": _patterns,
    "status": st.sampled_from([Pattern((s,)) for s in ("pending", "accepted", "withdrawn")] + [Pattern(("re", ""))]),
    "repo": st.sampled_from([Pattern(("datasets/acme/eeg-1",)), Pattern(("acme/", "")), Pattern(("med-7b",)), Pattern(("", ""))]),
    "user": _patterns | st.sampled_from([Pattern((hub_id(3),)), Pattern(("Ada-", "")), Pattern(("USER1",)), Pattern(("", ""))]),
    "email": _patterns | st.sampled_from([Pattern(("", "@mit.edu")), Pattern(("", "")), Pattern(("o%k", ""))]),
    "domain": st.sampled_from([Pattern(("mit.edu",)), Pattern(("", ".edu")), Pattern(("", "")), Pattern(("例え.jp",)), Pattern(("m", "t", ""))]),
    "country": st.sampled_from([Pattern(("ch",)), Pattern(("US",)), Pattern(("", "")), Pattern(("c", ""))]),
    "age": st.builds(Age, st.sampled_from([">", ">=", "<", "<="]), st.integers(0, 90), st.sampled_from(["h", "d", "w", "mo"])),
    "asked": st.builds(Day, st.sampled_from(["", ">", ">=", "<", "<="]), st.dates(datetime(2026, 1, 1).date(), datetime(2026, 3, 9).date())),  # noqa: DTZ001
    "reviewed": st.builds(Day, st.sampled_from(["", ">", ">=", "<", "<="]), st.dates(datetime(2026, 2, 2).date(), datetime(2026, 2, 6).date())),  # noqa: DTZ001
    "ends": st.builds(Age, st.sampled_from([">", ">=", "<", "<="]), st.integers(0, 9), st.sampled_from(["w", "mo"]))
    | st.builds(Day, st.sampled_from(["", ">", ">=", "<", "<="]), st.dates(datetime(2026, 3, 1).date(), datetime(2026, 12, 9).date()))  # noqa: DTZ001
    | st.sampled_from([Pattern(("none",)), Pattern(("", ""))]),
    "rule": st.sampled_from([Pattern(("signed",)), Pattern(("s", "")), Pattern(("none",))]),
    "verdict": st.sampled_from([Pattern((v,)) for v in ("accept", "human", "reject")] + [Pattern(("", ""))]),
    "shadow": st.sampled_from([Pattern((v,)) for v in ("accept", "reset", "wait")] + [Pattern(("re", ""))]),
    "table": st.sampled_from([Pattern(("dua",)), Pattern(("", "")), Pattern(("nowhere",))]),
    "reason": st.sampled_from([Pattern(("no",)), Pattern(("", "")), Pattern(("", "robot", ""))]),
    "form": _patterns | st.just(Pattern(("", ""))),
    "answer": _patterns | st.just(Pattern(("",))),
    "quality": st.sampled_from([Pattern((value,)) for value in Quality] + [Pattern(("", "")), Pattern(("m", ""))]),
    "mail": st.sampled_from([Pattern((kind.value,)) for kind in MailKind] + [Pattern(("", "")), Pattern(("", "e"))]),
    "same": st.integers(1, 160).map(lambda number: Pattern((str(number),))),
}  # fmt: skip


@st.composite
def _terms(draw: st.DrawFn) -> Term:
    key = draw(st.sampled_from(list(_values)))
    values = draw(st.lists(_values[key], min_size=1, max_size=2 if key else 1))
    label = draw(st.sampled_from(["Intended use", "intended USE", "Country", "no such"])) if key == "form" else None
    return Term(key, tuple(values), draw(st.booleans()), label)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(terms=st.lists(_terms(), max_size=3), limit=st.sampled_from([3, 7, 40, 500]), newest_first=st.booleans())
def test_a_query_gives_what_a_plain_filter_gives(
    filled: Store, terms: list[Term], limit: int, newest_first: bool
) -> None:
    query = Query(tuple(terms))
    want = _plain(filled, query)[:: -1 if newest_first else 1]
    assert _all(filled, query, limit, newest_first=newest_first) == want
    ready = build_conditions(query, filled.reads, now=NOW)  # and when the index names too many to look at each
    assert [
        ident for _, ident in find_page_keys(filled.reads, ready, PageRequest(limit, newest_first), most=0)
    ] == want[:limit]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(terms=st.lists(_terms(), max_size=2), limit=st.sampled_from([1, 4, 30]), newest_first=st.booleans())
def test_by_person_each_stands_once_where_their_first_stood_with_all_that_the_query_finds(
    filled: Store, terms: list[Term], limit: int, newest_first: bool
) -> None:
    query = Query(tuple(terms))
    want: dict[int, list[int]] = {}
    for ident in _plain(filled, query)[:: -1 if newest_first else 1]:
        want.setdefault(filled.requests([ident])[ident].person.id, []).append(ident)
    found, cursor = list[list[int]](), None
    while True:
        page = read_people_page(filled, query, now=NOW, limit=limit, newest_first=newest_first, cursor=cursor)
        assert len(page.people) <= limit
        found += [[row.id for row in rows] for rows in page.people]
        cursor = page.next
        if cursor is None:
            break
        assert page.people
    assert found == list(want.values())


def test_somebody_whose_name_is_the_same_is_another_person(place_of_two: Sequence[Store]) -> None:
    for store in place_of_two:
        store_records(store, EEG, [record(1, name="ada"), record(2, name="bob")])
        store_records(store, MED, [record(1, name="ada", request=7), record(3, name="ada-2", request=8)])
        found = read_people_page(store, parse_query("status:pending"), now=NOW).people
        assert sorted(len(rows) for rows in found) == [1, 1, 2]


def test_a_person_whose_name_the_hub_hides_is_found_by_id_beside_a_pattern(place_of_two: Sequence[Store]) -> None:
    for store in place_of_two:
        hidden, ada, _ = store_records(store, EEG, [record(1, is_hidden=True), record(2, name="ada"), record(3)])
        pseudonym = store.requests([hidden])[hidden].person.pseudonym
        for pattern in ("ada", "ad*"):
            query = parse_query(f"user:{pseudonym},{pattern}")
            assert sorted(row.id for row in store.query(query, now=NOW).rows) == sorted([hidden, ada])


def test_a_cursor_is_of_one_query_and_order(filled: Store) -> None:
    query = parse_query("status:pending")
    cursor = filled.query(query, now=NOW, limit=3).next
    assert cursor is not None
    for other, newest_first in ((parse_query("status:accepted"), False), (query, True)):
        with pytest.raises(UsageError, match="another query"):
            filled.query(other, now=NOW, cursor=cursor, newest_first=newest_first)
    with pytest.raises(UsageError, match="not a cursor"):
        filled.query(query, now=NOW, cursor="nonsense")


@pytest.mark.parametrize("text", ["{}", "-x{}*", "user:{}", "email:*{}", "domain:{}*", "country:{}", "reason:{}", "answer:{}",
                                  'form."a{}":x', 'form."Country":{}', "repo:{}", "rule:{}", "table:{}"])  # fmt: skip
@pytest.mark.parametrize("character", ["\0", "\ud800"])
def test_a_query_with_a_character_that_no_store_keeps_is_answered(filled: Store, text: str, character: str) -> None:
    query = parse_query(text.format(character))
    page = filled.query(query, now=NOW, limit=5)
    assert len(page.rows) == (0 if ":" in text else 5), "a word of it is a space"
    assert filled.find_by_identity(None, character) == []


@pytest.mark.parametrize("key", [f"{2**63}.1", f"1.-{2**63}", "9" * 400 + ".1"])
def test_a_cursor_with_numbers_that_no_store_keeps_is_none(filled: Store, key: str) -> None:
    query = parse_query("status:pending")
    stamp = cursor_of(query, (1, 1), newest_first=False)
    stamp = base64.urlsafe_b64decode(stamp + "=" * (-len(stamp) % 4)).decode().rpartition(".")[2]
    cursor = base64.urlsafe_b64encode(f"{key}.{stamp}".encode()).decode()
    with pytest.raises(UsageError, match="is not a cursor"):
        filled.query(query, now=NOW, cursor=cursor)


def test_a_new_name_is_found_and_the_old_one_no_more(place_of_two: Sequence[Store]) -> None:
    for store in place_of_two:
        store_records(store, EEG, [record(1, name="old-name", answers={"Why": "sleep"})])
        store_records(store, MED, [record(1, name="new-name", request=7)])
        for text, count in (("old-name", 0), ("new-name", 2), ("sleep", 1), ("new-name sleep", 1)):
            assert len(store.query(parse_query(text), now=NOW).rows) == count, text


@pytest.fixture
def place_of_two(tmp_path_factory: pytest.TempPathFactory, postgres_uri: str) -> Iterator[Sequence[Store]]:
    """An empty store of each kind."""
    places = [f"sqlite:///{tmp_path_factory.mktemp('two') / 'desk.db'}", new_store(postgres_uri)]
    stores = [open_store(place, endpoint=ENDPOINT) for place in places]
    yield stores
    for store in stores:
        store.close()


def test_a_changed_answer_is_found_as_it_is_now(place_of_two: Sequence[Store]) -> None:
    for store in place_of_two:
        store_records(store, EEG, [record(1, answers={"Why": "to study 睡眠"})])
        seen = list_updates(store, EEG, parse_records(EEG, [record(1, answers={"Why": "to study 音楽"})]))
        with store.writing() as write:
            write.observe(EEG, seen, 5)
        assert [len(store.query(parse_query(t), now=NOW).rows) for t in ("睡眠", "睡", "音楽", "study")] == [0, 0, 1, 1]
