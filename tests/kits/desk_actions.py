"""What people do at the desk, and what the desk shows of it."""

from __future__ import annotations

import json
import re
import time
from http.client import HTTPConnection
from urllib.parse import urlencode, urlsplit

from hf_gate.core.people.members import Member, MemberRole
from hf_gate.store.rows.tray import list_waiting_decisions
from tests.kits.desk import POLICY, Answer, Desk, DeskProgram, Visitor
from tests.kits.stores import read_selected


def post_json(visitor: Visitor, path: str, document: object, **headers: str) -> Answer:
    """Call the API of the desk."""
    sent = {"content-type": "application/json", **headers}
    return visitor.ask("POST", f"/api/v1{path}", json.dumps(document).encode(), sent)


TWO_REVIEWERS = POLICY.replace("then: accept\n", "then: accept\n    reviewers: 2\n")


def make_reviewer(name: str) -> Member:
    return Member(name=name, role=MemberRole.REVIEWER)


def read_status(desk: Desk, who: str = "ada") -> str:
    return desk.row(who).state.status


def list_selected(desk: Desk, name: str = "lena-brandt") -> set[int]:
    member = desk.app_state.membership.find(name)
    assert member is not None
    return set(read_selected(desk.app_state.workspace.store, f"s_{member.id}"))


def start_bulk(visitor: Visitor, verb: str) -> str:
    """Ask for a decision about a selection; return the page that confirms it."""
    answer = visitor.post("/bulk", {"verb": verb})
    assert answer.status == 303, answer.body
    return answer.headers["location"]


def confirm_bulk(visitor: Visitor, path: str, **more: str) -> Answer:
    bare, _, query = path.partition("?")
    shown = dict(re.findall(r'name="(count|terms)" value="(\w+)"', visitor.get(path).body))
    return visitor.post(bare, {"verb": query.partition("=")[2], "count": "", **shown, **more})


def list_waiting(desk: Desk) -> set[str]:
    """Return the usernames of the requests in the tray."""
    store = desk.app_state.workspace.store
    rows = store.requests([item.request for item in list_waiting_decisions(desk.app_state.workspace.store)])
    return {row.person.identity.username or "" for row in rows.values()}


def create_plan(desk: Desk, visitor: Visitor) -> str:
    """Make a plan; return its address."""
    answer = visitor.post("/plans")
    maker = desk.app_state.plan_maker
    if maker.is_busy:
        maker.start(desk.app_state.membership.owner_member, 60.0)  # waits for the one that is being made
    return answer.headers["location"] if answer.headers["location"] != "/plans" else f"/plans/{maker.digest}"


def wait_for_run(desk: Desk, location: str) -> None:
    """Wait until no worker executes a run any more."""
    job = desk.app_state.run_worker.find_job(location.rpartition("/")[2])
    assert job is not None
    assert job.ended.wait(60.0)


class ProgramVisitor:
    """Somebody who is signed in at a desk that runs as a program."""

    def __init__(self, program: DeskProgram) -> None:
        self._where = urlsplit(program.url).netloc
        self._cookie = ""
        link = urlsplit(program.login_url)
        assert self.ask("GET", f"{link.path}?{link.query}")[0] == 303

    def ask(self, method: str, path: str, values: dict[str, str] | None = None) -> tuple[int, str, str]:
        """Status, where it leads, and the body."""
        connection = HTTPConnection(self._where, timeout=60)
        try:
            body = urlencode(values or {}) if method == "POST" else None
            connection.request(method, path, body, {
                "cookie": self._cookie, "origin": f"http://{self._where}", "sec-fetch-site": "same-origin",
                "content-type": "application/x-www-form-urlencoded",
            })  # fmt: skip
            answer = connection.getresponse()
            self._cookie = (answer.headers.get("set-cookie") or self._cookie).partition(";")[0]
            return answer.status, answer.headers.get("location") or "", answer.read().decode()
        finally:
            connection.close()

    def until(self, path: str, text: str) -> str:
        """The page once it says something; it may take a while."""
        end = time.monotonic() + 40
        while text not in (body := self.ask("GET", path)[2]):
            assert time.monotonic() < end, re.findall(
                r"<h1.*?</h1>|<p class=\"msg.*?</p>|<dl class=\"big.*?</dl>", body
            )
        return body


MULTIPART_TYPE = "multipart/form-data; boundary=----geckoformboundary1a2b"
BOUNDARY = b"------geckoformboundary1a2b"


def encode_multipart(parts: list[tuple[str, bytes]]) -> bytes:
    """Encode parts of a form as browsers do."""
    head = b'%s\r\nContent-Disposition: form-data; name="%s"; filename="x.csv"\r\nContent-Type: text/csv\r\n\r\n%s\r\n'
    return b"".join(head % (BOUNDARY, name.encode(), content) for name, content in parts) + BOUNDARY + b"--\r\n"


TERMS_POLICY = """\
version: 1
policy: house
applies_to: ["*/*", "datasets/*/*"]
mode: enforce
rules:
  - id: vip
    when: email.domain == "ethz.ch"
    then: human
  - id: many
    when: email.domain == "many.example" && person.models > 3
    then: accept
    until: 90d
  - id: academic
    when: email.academic
    then: accept
    until: UNTIL
    at_end: reject
  - id: rest
    then: human
"""


TERMS_PEOPLE = [
    {"username": "ada", "email": "ada@ethz.ch"},  # left to people, and academic
    {"username": "bob", "email": "bob@gmail.com"},  # no accept rule holds
    {"username": "cyd", "email": "cyd@many.example"},  # the profile is not read
]
