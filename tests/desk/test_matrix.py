"""Who may go which way, with what is theirs and what is not: every route of the router for every role; what is not yours is not there, in the same words as what is nowhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import pytest

from hf_gate.base.ids import Repo, parse_repo
from hf_gate.core.people.members import Member, MemberRole
from hf_gate.desk.routes import ROUTES
from hf_gate.store.rows.tray import list_waiting_decisions
from tests.kits.desk import GOOD, POLICY, Answer, Desk, Visitor, open_desk
from tests.kits.desk_actions import create_plan, wait_for_run

VIEWER, REVIEWER, ADMIN = MemberRole.VIEWER, MemberRole.REVIEWER, MemberRole.ADMIN
OPEN: Final = frozenset({
    ("GET", "/static/{version}/{name}"), ("GET", "/sign-in"), ("POST", "/sign-in"), ("POST", "/sign-out"), ("GET", "/healthz"),
    ("GET", "/readyz"), ("POST", "/terminal"), ("GET", "/metrics"), ("GET", "/sign-in/hub"), ("GET", "/sign-in/hub/callback"),
})  # fmt: skip
"""In front of the sign-in; what each of them gives a stranger is tested where it is made."""
BY_KEY: Final = frozenset({
    ("PUT", "/api/v1/tables/{name}/rows/{key:path}"), ("DELETE", "/api/v1/tables/{name}/rows/{key:path}"), ("POST", "/api/v1/decisions"),
})  # fmt: skip
"""For keys of other systems only; tried, also as a member and as a stranger, where they are made and in `test_api.py`."""
API: Final[Mapping[tuple[str, str], MemberRole]] = {
    ("GET", "/api/v1/events"): REVIEWER, ("GET", "/api/openapi.json"): VIEWER,
}  # fmt: skip
LEAST: Final[Mapping[tuple[str, str], MemberRole]] = {**{(way.method, way.path): way.role for way in ROUTES}, **API}
PATHS: Final = tuple(sorted(LEAST))
WHOLE: Final = frozenset({
    "/audit/export", "/audit/verify", "/audit/checkpoint", "/audit/desk/{seq}", "/settings/members", "/settings/members/confirm",
    "/settings/members/remove",
    "/notices/retry", "/letters",
    "/people/{id}/erase", "/people/{id}/export",
    "/tables/{name}/import",
})  # fmt: skip
"""For those alone who are let into every repo: they tell of all of them, or let others into all of them."""
OWN: Final = parse_repo("lumen-labs/lantern-7b-chat")
OTHER: Final = parse_repo("datasets/tidewater-audio/harbour-voices")
BY_HAND: Final = frozenset({"/plans/{digest}", "/runs/{id}", "/unattended/start"})
"""Who goes such a way at all may still be told that this one is not theirs to steer."""
SECRETS: Final = (
    "eve-own",
    "fay-other",
    "ada-own",
    "bob-other",
    "Eve Ownsworth",
    "Fay Otherby",
    "ada@ethz.ch",
    GOOD,
    "a note on eve",
)
OTHERS: Final = ("fay-other", "bob-other", "Fay Otherby", "a note on fay", "beyond")


@dataclass(frozen=True)
class Halves:
    """A desk of two repos: one of them is theirs. `ids`: what of each kind of address is at which."""

    desk: Desk
    ids: Mapping[str, Mapping[str, Mapping[str, str]]]  # a route's path, then own, other or nowhere
    people: Mapping[str, Visitor]


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Halves]:
    folder = tmp_path_factory.mktemp("desk")
    (folder / "policies").mkdir()
    for name, repo in (("here", OWN), ("beyond", OTHER)):
        text = POLICY.replace("house", name).replace('["*/*", "datasets/*/*"]', json.dumps([str(repo)]))
        text = text.replace("rules:\n", f"tables: {{{name}: [nobody@{name}.example]}}\nrules:\n")
        (folder / "policies" / f"{name}.yaml").write_text(text, "utf-8")
    config = "desk: {may_write_tables: true}\n"
    with open_desk(folder, policy=None, repos=4, config=config) as desk:
        glob = str(OWN)
        people = {
            "stranger": Visitor(desk.app, {"hf-gate": "guessed"}),
            "viewer": desk.viewer(),
            "viewer of one": desk.visitor(Member(name="vera", role=VIEWER, repos=(glob,))),
            "reviewer": desk.reviewer(),
            "reviewer of one": desk.reviewer("rob", glob),
            "admin": desk.visitor(Member(name="ann", role=ADMIN)),
            "admin of one": desk.visitor(Member(name="arno", role=ADMIN, repos=(glob,))),
        }
        yield Halves(desk, _ids(desk, people["reviewer of one"]), people)


ROLE: Final = {"viewer": VIEWER, "viewer of one": VIEWER, "reviewer": REVIEWER, "reviewer of one": REVIEWER, "admin": ADMIN,
               "admin of one": ADMIN}  # fmt: skip
OF_ONE: Final = ("viewer of one", "reviewer of one", "admin of one")


def _asked(desk: Desk, repo: Repo, side: str) -> None:
    """Two whom a policy lets in, one who waits for a person."""
    first, last = ("ada", "Eve Ownsworth") if side == "own" else ("bob", "Fay Otherby")
    waits = last[:3].lower()
    desk.ask([{"username": f"{first}-{side}", "email": f"{first}@ethz.ch"}], {"Purpose": GOOD}, repo)
    desk.ask(
        [{"username": f"{first}{n}-{side}", "email": f"{first}{n}@ethz.ch"} for n in (1, 2)], {"Purpose": GOOD}, repo
    )
    desk.ask([{"username": f"{waits}-{side}", "fullname": last}], {"Purpose": GOOD}, repo)
    row = desk.row(f"{waits}-{side}")
    desk.visitor().post(f"/requests/{row.state.hub_request}/note", {"note": f"a note on {waits}"})


def _ids(desk: Desk, rob: Visitor) -> dict[str, dict[str, dict[str, str]]]:
    """What stands for what, in every address that names something."""
    lena, said = desk.visitor(), dict[str, dict[str, dict[str, str]]]()
    nowhere = {"id": "0" * 24, "digest": "0" * 64, "run": "r_000000000000", "pick": "b_000000000000", "person": "p_" + "0" * 16,
               "type": "models", "ns": "no", "name": "such", "policy": "nothing"}  # fmt: skip
    sides = {"other": _side(desk, lena, OTHER, "other"), "own": _side(desk, lena, OWN, "own"), "nowhere": nowhere}
    for side, visitor in (("own", rob), ("other", lena)):
        place = visitor.post("/bulk", {"verb": "reset", "key": sides[side]["id"]}).headers["location"]
        sides[side]["pick"] = place.partition("?")[0].rpartition("/")[2]
    names = {"/runs/": "run", "/bulk/": "pick", "/people/": "person", "/policies/": "policy", "/tables/": "policy"}
    for _, path in PATHS:
        if "{" not in path.replace(".{kind}", "") or path == "/audit/desk/{seq}":
            continue
        name = next((key for start, key in names.items() if path.startswith(start)), None)
        said[path] = {
            side: {**one, "kind": "csv", "verb": "reset", "seq": "1"}
            | ({"id": one[name], "name": one[name]} if name else {})
            for side, one in sides.items()
        }
    return said


def _side(desk: Desk, lena: Visitor, repo: Repo, side: str) -> dict[str, str]:
    """People of one repo, and the plan and the run that let some of them in."""
    _asked(desk, repo, side)
    plan = create_plan(desk, lena)
    run = lena.post(plan, {"do": "apply", "count": "3"}).headers["location"]
    wait_for_run(desk, run)
    row = desk.row("eve-own" if side == "own" else "fay-other")
    return {
        "id": row.state.hub_request or "", "digest": plan.rpartition("/")[2], "run": run.rpartition("/")[2],
        "person": quote(row.person.pseudonym), "type": f"{repo.type.value}s", "ns": repo.namespace, "name": repo.name,
        "policy": "here" if side == "own" else "beyond",
    }  # fmt: skip


def _call(halves: Halves, who: str, method: str, path: str, side: str = "own") -> Answer:
    values = {"seq": "1", "kind": "json", **halves.ids.get(path, {}).get(side, {})}
    place = path.format_map(values) + ("?verb=reset" if path.startswith("/bulk/") else "")
    visitor = halves.people[who]
    if method == "GET":
        return visitor.get(place)
    key = halves.ids["/requests/{id}"][side]["id"]
    if path.startswith("/api/"):
        body: dict[str, object] = {"verb": "accept", "requests": [{"id": key, "version": "seen"}]}
        return visitor.ask("POST", place, json.dumps(body).encode(), {"content-type": "application/json"})
    sent = {"verb": "reset", "do": "nothing", "note": "x", "count": "x", "src": "version: 1", "reason": "x"}
    return visitor.post(place, sent | {"key": key, "version": "seen"})


# ---- the table -------------------------------------------------------------------------------------------------------------


def _routes(app: Any) -> set[tuple[str, str]]:
    return {(method, route.path) for route in app.routes for method in route.methods - {"HEAD"}}


def test_every_route_of_the_router_has_its_row(halves: Halves) -> None:
    assert _routes(halves.desk.app.app) == OPEN | BY_KEY | set(LEAST)


def test_every_address_with_a_name_in_it_is_tried_with_what_is_not_theirs(halves: Halves) -> None:
    named = {path for _, path in PATHS if "{" in path.replace(".{kind}", "")}
    assert named - set(halves.ids) == {"/audit/desk/{seq}"}


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_a_stranger_goes_no_way(halves: Halves, method: str, path: str) -> None:
    answers = [_call(halves, "stranger", method, path, side) for side in ("own", "nowhere")]
    assert [answer.status for answer in answers] == [401, 401]
    assert answers[0].body == answers[1].body
    assert not [word for word in (*SECRETS, str(OWN)) if word in answers[0].body]


@pytest.mark.parametrize(("method", "path"), sorted(OPEN))
def test_in_front_of_the_sign_in_nobody_is_named(halves: Halves, method: str, path: str) -> None:
    """Not to a stranger, and not to a stranger who says that they are somebody."""
    for name in ("desk.css", "nothing", "..%2f..%2fapp.py"):
        place, stranger = path.replace("{name}", name), Visitor(halves.desk.app, {"hf-gate": "guessed"})
        answer = (
            stranger.get(place)
            if method == "GET"
            else stranger.post(place, {"link": "guessed"}, authorization="Bearer guessed")
        )
        assert answer.status in {200, 401, 404, 422}
        repos = (
            () if path == "/metrics" else (str(OWN), str(OTHER), OWN.name)
        )  # test_public.py says to whom they are told
        assert not [word for word in (*SECRETS, *OTHERS, *repos) if word in answer.body]


@pytest.mark.parametrize("who", ROLE)
@pytest.mark.parametrize(("method", "path"), PATHS)
def test_with_what_is_theirs_everybody_goes_the_ways_of_their_role(
    halves: Halves, method: str, path: str, who: str
) -> None:
    answer = _call(halves, who, method, path)
    if not ROLE[who].covers(LEAST[method, path]):
        assert answer.status == (403 if method == "POST" or path.startswith("/api/") else 404)
    elif who in OF_ONE and path in WHOLE:
        assert answer.status in {403, 404}
    elif path.startswith("/bulk/{id}"):
        assert answer.status in ({200, 409} if who == "reviewer of one" else {404})  # a selection is its owner's alone
    else:
        assert answer.status < 400 or answer.status in {409, 422} or (method == "POST" and answer.status == 403), (
            answer.body
        )
        assert answer.status != 403 or path in BY_HAND


def _alike(answer: Answer, place: str = "") -> str:
    """A page without what differs between any two answers: the nonce, how long ago it is, and the address asked for.

    What it says to be sought must be a part of that address.
    """
    body = answer.body
    if place:
        sought = re.compile(r'(There is no \w+ |<input id="sought"[^>]*value=")([^<"]*)')
        assert all(name.rstrip(".") in place for _, name in sought.findall(body))
        body = sought.sub(r"\1", body)
    moment = r'"as_of": ?"[^"]*"|As of [^,]*,'
    return re.sub(rf'nonce="[^"]*"|name="next" value="[^"]*"|\d+ (s|min)\b|{moment}', "", body)


@pytest.mark.parametrize("who", OF_ONE)
@pytest.mark.parametrize(("method", "path"), [route for route in PATHS if "{" in route[1].replace(".{kind}", "")])
def test_what_is_not_theirs_is_not_there_in_the_same_words(halves: Halves, method: str, path: str, who: str) -> None:
    if path not in halves.ids:
        return
    other, nowhere = (_call(halves, who, method, path, side) for side in ("other", "nowhere"))
    places = [path.format_map({"seq": "1", "kind": "json", **halves.ids[path][side]}) for side in ("other", "nowhere")]
    told = [_alike(one, place) for one, place in zip((other, nowhere), places, strict=True)]
    assert other.status == nowhere.status
    assert other.status in {403, 404}
    assert told[0] == told[1]
    assert not [word for word in OTHERS if word in told[0]]


def test_who_is_let_into_all_sees_all(halves: Halves) -> None:
    said = " ".join(
        halves.people["reviewer"].get(path).body
        for path in ("/queue?q=", "/queue.json?q=", "/people", "/policies", "/audit", "/repos")
    )
    assert [word for word in (*SECRETS, *OTHERS, OTHER.name) if word not in said] == []


LISTS: Final = tuple(
    path.replace("{kind}", "json")
    for method, path in PATHS
    if method == "GET" and path.replace("{kind}", "").count("{") == 0
)


@pytest.mark.parametrize("who", OF_ONE)
@pytest.mark.parametrize("path", LISTS)
def test_what_is_not_theirs_is_in_no_list_and_no_file(halves: Halves, path: str, who: str) -> None:
    """Nor does asking for it tell more than asking for what there is not."""
    visitor = halves.people[who]
    for query in ("", "?q=", "?q=status:accepted"):
        body = visitor.get(path + query).body
        assert not [word for word in (*OTHERS, OTHER.name) if word in body], query
    for key, here, nowhere in (("q", "fay-other", "fay-nobody"), ("person", "fay-other", "fay-nobody"),
                               ("q", f"repo:{OTHER}", "repo:datasets/no/such"), ("repo", str(OTHER), "datasets/no/such")):  # fmt: skip
        told = [_alike(visitor.get(f"{path}?{key}={quote(word, safe=':')}")) for word in (here, nowhere)]
        for word, other in ((here, nowhere), (here.rpartition("/")[2], nowhere.rpartition("/")[2])):
            told[0] = told[0].replace(word, other).replace(quote(word, safe=""), quote(other, safe=""))
        assert told[0] == told[1]


# ---- what stands in the body ---------------------------------------------------------------------------------------------------


def test_what_is_not_theirs_is_not_there_in_a_body_either(halves: Halves) -> None:
    row, rob = halves.desk.row("fay-other"), halves.people["reviewer of one"]
    key, version = row.state.hub_request or "", row.version.token
    for keys in ((key, "0" * 24), (f"n{row.id}", "n999999")):
        told = []
        for one in keys:
            answers = [
                rob.post("/tray", {"accept": f"{one}:{version}"}),
                rob.post("/tray", {"verb": "reject", "key": one, "version": version, "reason": "no"}),
                rob.post("/tray/undo", {"key": one}),
                rob.post("/tray/hold", {"key": one}),
                rob.post("/tray/send", {"key": one}),
                rob.post("/selection", {"do": "add", "key": one}),
                rob.post("/bulk", {"verb": "reset", "key": one}),
                rob.get(f"/audit?request={one}"),
            ]  # fmt: skip
            assert {answer.status for answer in answers} == {404}
            told.append([_alike(answer) for answer in answers])
        assert told[0] == told[1]
    assert rob.get(f"/tray?rows={key}", hx_request="true").rows == []
    assert list_waiting_decisions(halves.desk.app_state.workspace.store) == []


def test_a_selection_by_query_takes_only_what_is_theirs(halves: Halves) -> None:
    rob = halves.people["reviewer of one"]
    for query in ("", "status:pending", f"repo:{OTHER}", "fay-other", "-user:nobody"):
        rob.post("/selection", {"do": "clear"})
        rob.post("/selection", {"do": "all", "q": query})
        place = rob.post("/bulk", {"verb": "reset"}).headers.get("location")
        if place:
            rows = rob.get(place.replace("?", ".json?")).json
            assert {(row["repo_type"], row["repo"]) for row in rows} <= {(OWN.type.value, OWN.id)}
    rob.post("/selection", {"do": "clear"})
