"""Recorded exchanges with the real Hub (shapes, statuses, errors, ETags), compared with the local Hub."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import pytest

from hf_gate import Hub
from hf_gate.testing import LocalHub

NO_REQUEST: Final = '{"error":"No access request found matching your criteria"}'
TIME: Final = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
ID: Final = r"[0-9a-f]{24}"


class Answer(NamedTuple):
    status: int
    reason: str
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class World:
    """A gated repo, one requester, and raw calls without a client of ours."""

    def __init__(self, hub: LocalHub, repo: str, repo_type: str) -> None:
        self.hub, self.repo, self.repo_type = hub, repo, repo_type
        self.api = f"/api/{repo_type}s/{repo}"
        self.web = f"{'/datasets' if repo_type == 'dataset' else ''}/{repo}"

    def call(self, method: str, path: str, body: object = None, by: str | None = "owner") -> Answer:
        connection = HTTPConnection(urlsplit(self.hub.url).netloc, timeout=30)
        headers = {"content-type": "application/json"}
        if by is not None:
            headers["authorization"] = f"Bearer {self.hub.tokens.get(by, by)}"
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            got = connection.getresponse()
            told = {name.lower(): value for name, value in got.getheaders()}
            return Answer(got.status, got.reason, told, got.read().decode())
        finally:
            connection.close()

    def ask(self) -> Answer:
        return self.call("POST", f"{self.web}/ask-access", {}, "ann")

    def listed(self, status: str) -> Answer:
        return self.call("GET", f"{self.api}/user-access-request/{status}")

    def review(self, verb: str, **body: object) -> Answer:
        return self.call("POST", f"{self.api}/user-access-request/{verb}", body)


@pytest.fixture(params=["model", "dataset"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with LocalHub(requests=0, repos=1) as hub:
        hub.add_people([{"username": "ann", "fullname": "Ann Invented", "email": "ann@example.org"}])
        with Hub(hub.tokens["owner"], hub.url) as owner:
            made = World(hub, f"{owner.whoami().name}/vectors", request.param)
            made.call("POST", "/api/repos/create", {"type": request.param, "name": "vectors"})
            owner.set_gate(made.repo, "manual", repo_type=request.param)
        yield made


def says(answer: Answer, status: int, reason: str, text: str) -> None:
    assert (answer.status, answer.reason, answer.text) == (status, reason, text)


def fits(value: Any, shape: Mapping[str, str]) -> None:
    """Check the keys in their order, and each value as text."""
    assert list(value) == list(shape)
    assert [key for key, pattern in shape.items() if not re.fullmatch(pattern, json.dumps(value[key]), re.DOTALL)] == []


PERSON: Final = {
    "_id": f'"{ID}"', "avatarUrl": r'"/avatars/\w+\.svg"', "isPro": "false", "fullname": '"Ann Invented"', "user": '"ann"',
    "type": '"user"',
}  # fmt: skip
ASKED: Final = PERSON | {"verifiedOrgNames": r"\[\]", "email": '"ann@example.org"'}
ANY: Final = r".*"


def test_1_a_pending_request_has_this_shape(world: World) -> None:
    world.ask()
    (item,) = world.listed("pending").json
    item.pop("requestId")  # newer than the recording; its position is unknown
    fits(item, {"user": ANY, "timestamp": f'"{TIME}"', "status": '"pending"'})
    fits(item["user"], ASKED)


def test_2_after_an_accept_it_names_who_granted_it_and_keeps_its_time(world: World) -> None:
    world.ask()
    before = world.listed("pending").json[0]
    says(world.review("handle", user="ann", status="accepted"), 200, "OK", "{}")
    (item,) = world.listed("accepted").json
    item.pop("requestId")
    fits(item, {"user": ANY, "timestamp": ANY, "reviewedAt": f'"{TIME}"', "status": '"accepted"', "grantedBy": ANY})
    assert item["timestamp"] == before["timestamp"] <= item["reviewedAt"]
    fits(item["grantedBy"], PERSON | {"fullname": ANY, "user": ANY})


def test_3_accepting_twice_is_a_404_with_this_body_and_this_etag(world: World) -> None:
    world.ask()
    world.review("handle", user="ann", status="accepted")
    answer = world.review("handle", user="ann", status="accepted")
    says(answer, 404, "Not Found", NO_REQUEST)
    assert len(answer.text) == 58
    assert answer.headers["etag"] == 'W/"3a-lRayqK6BTL+ovmtG7oHR+hkUoeE"'
    assert answer.headers["x-error-message"] == "No access request found matching your criteria"
    assert "x-error-code" not in answer.headers


def test_4_a_status_that_there_is_not_is_told_with_those_that_there_are(world: World) -> None:
    world.ask()
    options = r'"accepted\"|\"rejected\"|\"pending\"|\"reset\"'[1:]
    text = '{"error":"✖ Invalid option: expected one of \\"' + options + '\\n  → at status"}'
    answer = world.review("handle", user="ann", status="maybe")
    says(answer, 400, "Bad Request", text)
    assert answer.headers["x-error-message"].startswith('* Invalid option: expected one of "accepted"|"rejected"')
    assert answer.headers["x-error-message"].endswith("* at status")
    assert "x-error-code" not in answer.headers


def test_5_a_batch_tells_each_apart_in_the_order_sent_and_the_same_status_is_fine(world: World) -> None:
    world.ask()
    answer = world.review(
        "batch", status="pending", requests=[{"user": "ann"}, {"user": "nope"}, {"user": "sam-stranger"}]
    )
    known = '{"user":"ann","ok":true},{"user":"nope","ok":false,"error":"user_not_found"}'
    says(answer, 200, "OK", f'[{known},{{"user":"sam-stranger","ok":false,"error":"request_not_found"}}]')


def test_6_granting_twice_is_a_400(world: World) -> None:
    says(world.review("grant", user="ann"), 200, "OK", "{}")
    says(world.review("grant", user="ann"), 400, "Bad Request", '{"error":"That user already has access to the repo"}')
    (item,) = world.listed("accepted").json
    assert "email" not in item["user"]
    assert item["timestamp"] == item["reviewedAt"]


def test_7_a_repo_that_is_no_longer_gated_refuses_grants_and_still_lists(world: World) -> None:
    world.ask()
    says(world.call("PUT", f"{world.api}/settings", {"gated": False}), 200, "OK", '{"gated":false}')
    for answer in (world.review("grant", user="ann"), world.review("handle", user="ann", status="accepted")):
        says(answer, 400, "Bad Request", f'{{"error":"{world.repo_type} {world.repo} is not gated"}}')
        assert answer.headers["x-error-code"] == "RepoNotGated"
    assert [item["status"] for item in world.listed("pending").json] == ["pending"]
    says(world.call("PUT", f"{world.api}/settings", {}), 200, "OK", "{}")


def test_8_a_person_takes_a_pending_request_back_once(world: World) -> None:
    world.ask()
    path = f"{world.api}/user-access-request/cancel"
    says(world.call("POST", path, by="ann"), 200, "OK", '{"ok":true}')
    again = world.call("POST", path, by="ann")
    says(again, 404, "Not Found", '{"error":"No pending access request found for this repo and this user"}')
    assert world.listed("pending").json == []


def test_9_the_report_is_a_file_with_one_line_for_each_request(world: World) -> None:
    world.ask()
    world.review("handle", user="ann", status="accepted")
    answer = world.call("GET", f"{world.web}/user-access-report")
    (line,) = answer.json
    given = {"fullname": '"Ann Invented"', "user": '"ann"', "email": '"ann@example.org"', "time": f'"{TIME}"'}
    fits(line, given | {"reviewedAt": f'"{TIME}"', "status": '"accepted"', "grantedBy": ANY})
    fits(line["grantedBy"], {"fullname": ANY, "user": ANY})
    assert answer.headers["content-type"] == "application/json"
    name = world.repo.replace("/", "-")
    assert answer.headers["content-disposition"] == f"attachment; filename=user-access-report-{name}.json"
    assert "etag" not in answer.headers


def test_10_a_token_that_nobody_has_is_a_401_that_says_how_to_sign_in(world: World) -> None:
    answer = world.call("GET", "/api/whoami-v2", by="hf_local_nobody")
    says(answer, 401, "Unauthorized", '{"error":"Invalid username or password."}')
    assert answer.headers["www-authenticate"] == 'Bearer realm="Authentication required", charset="UTF-8"'


def test_11_the_gate_and_the_card_of_a_repo_come_alone_when_asked_for_alone(world: World) -> None:
    card = {"path": "README.md", "content": "---\nlicense: mit\n---\n"}
    lines = [{"key": "header", "value": {"summary": "card"}}, {"key": "file", "value": card}]
    connection = HTTPConnection(urlsplit(world.hub.url).netloc, timeout=30)
    headers = {"authorization": f"Bearer {world.hub.tokens['owner']}", "content-type": "application/x-ndjson"}
    connection.request("POST", f"{world.api}/commit/main", "\n".join(map(json.dumps, lines)), headers)
    assert connection.getresponse().status == 200
    connection.close()
    answer = world.call("GET", f"{world.api}?expand[]=gated&expand[]=cardData", by=None)
    said = answer.json
    assert re.fullmatch(ID, said.pop("_id"))
    assert json.dumps(said) == json.dumps({"id": world.repo, "gated": "manual", "cardData": {"license": "mit"}})


def test_the_etags_of_an_empty_object_and_an_empty_list(world: World) -> None:
    assert world.listed("rejected").headers["etag"] == 'W/"2-l9Fw4VUO7kr8CvBlt4zaMCqXZ0w"'
    answer = world.call("PUT", f"{world.api}/settings", {})
    assert answer.headers["etag"] == 'W/"2-vyGp6PvFo4RvsFtPoIWeCReyIC8"'
    assert answer.headers["content-type"] == "application/json; charset=utf-8"


def test_a_reason_that_is_too_long_is_told_in_two_lines_and_in_ascii_on_one(world: World) -> None:
    world.ask()
    answer = world.review("handle", user="ann", status="rejected", rejectionReason="x" * 201)
    words = "Too big: expected string to have <=200 characters"
    says(answer, 400, "Bad Request", f'{{"error":"✖ {words}\\n  → at rejectionReason"}}')
    assert answer.headers["x-error-message"] == f"* {words} * at rejectionReason"


def test_asking_answers_with_the_page_of_the_repo(world: World) -> None:
    answer = world.ask()
    page = f"{world.hub.url}{world.web}"
    says(answer, 303, "See Other", f"See Other. Redirecting to {page}")
    assert answer.headers["location"] == page
    assert answer.headers["content-type"].startswith("text/plain")
    assert "etag" not in answer.headers


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (None, "Access to {k} {id} is restricted and you are not in the authorized list. Visit https://huggingface.co/{web} to ask for access."),
        ("pending", "Your request to access {k} {id} is awaiting a review from the repo authors."),
        ("rejected", "Your request to access {k} {id} has been rejected by the repo's authors."),
        ("reset", "Your request to access {k} {id} has been reset by the repo's authors. Visit https://huggingface.co/{web} to submit a new request."),
    ],
)  # fmt: skip
def test_who_is_not_in_is_told_why(world: World, act: str | None, sentence: str) -> None:
    if act is not None:
        world.ask()
    if act in ("rejected", "reset"):
        world.review("handle", user="ann", status=act)
    told = sentence.format(k=world.repo_type, id=world.repo, web=world.web.strip("/"))
    for path, text in (
        (f"{world.api}/auth-check", json.dumps({"error": told}, separators=(",", ":"))),
        (f"{world.web}/resolve/main/x.bin", told),
    ):
        answer = world.call("GET", path, by="ann")
        says(answer, 403, "Forbidden", text)
        assert answer.headers["x-error-code"] == "GatedRepo"
        assert answer.headers["x-error-message"] == told
