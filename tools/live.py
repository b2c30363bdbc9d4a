"""`make live REPO=datasets/you/sandbox`: checks whether the real Hub follows our table of moves. Never runs in CI.

It needs a gated repo of your own. With the token of the environment (HF_TOKEN, or `hf auth login`) it reads gate, form,
lists, report and headers. With a second account's token in HF_GATE_LIVE_REQUESTER, that account asks and you decide until
every move was made once. Requests of other people are not changed. It first prints what it will do and waits until you
type the repo's name.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from hf_gate import AccessRequest, Account, GateForm, HfGateError, Hub, Repo, Status, parse_repo
from hf_gate.base.display_text import make_visible
from hf_gate.core.lifecycle import MOVES, STATUSES, Move
from hf_gate.hub.credentials import is_loopback, resolve_endpoint, resolve_token

SECOND = "HF_GATE_LIVE_REQUESTER"
MOST_OTHERS = 100  # a repo with more requests of other people is not a sandbox
WORDS = {
    None: "ask",
    Status.PENDING: "pending",
    Status.ACCEPTED: "granted",
    Status.REJECTED: "rejected",
    Status.RESET: "reset",
}
REASON = "hf-gate live check: nothing is the matter."


class Refused(Exception):
    """The reason why nothing is done."""


class Line(NamedTuple):
    """One row of the table: what was checked, the expected and the seen result."""

    what: str
    expected: str
    seen: str

    @property
    def agrees(self) -> bool:
        return self.expected == self.seen


def main(args: Sequence[str]) -> int:
    """Return 0 if everything agreed, 1 if something differs, 2 if nothing was done."""
    parser = argparse.ArgumentParser(
        prog="make live", description="Compare the real Hub with the table of moves of a request."
    )
    parser.add_argument("repo", help="a gated repo of your own that may be changed: datasets/you/sandbox")
    parser.add_argument("--yes", action="store_true", help="do not ask for the repo's name")
    parser.add_argument(
        "--patience", type=float, default=20.0, metavar="SECONDS", help="longest time until the Hub shows a change"
    )
    asked = parser.parse_args(args)
    try:
        with Hub() as owner:
            return _run(owner, parse_repo(asked.repo), is_sure=asked.yes, patience=asked.patience)
    except (Refused, HfGateError) as problem:
        print(f"Error: {_make_plain(str(problem))}", file=sys.stderr)
        if hint := getattr(problem, "hint", ""):
            print(f"Hint: {_make_plain(hint)}", file=sys.stderr)
        return 2


def _run(owner: Hub, repo: Repo, *, is_sure: bool, patience: float) -> int:
    if os.environ.get("CI") and not is_loopback(owner.endpoint):
        raise Refused("CI is set, and this check must not run in CI.")
    me = owner.whoami()
    form = _check_repo(owner, repo, me)
    second = os.environ.get(SECOND)
    if not second:
        only = f"read its gate, form, lists, report and headers; {SECOND} is not set, so nothing is changed"
        _confirm(owner, repo, [only], is_sure)
        return _print_lines(_check_reads(owner, repo))
    with Hub(second) as requester:
        stage = LiveCheck(owner, requester, repo, form, patience)
        path = find_path(stage.status())
        _confirm(owner, repo, stage.plan(path), is_sure)
        return _print_lines(chain(_check_reads(owner, repo), stage.run(path)))


def _check_repo(owner: Hub, repo: Repo, me: Account) -> GateForm:
    gate = owner.gate(repo)
    if repo.namespace.lower() not in {name.lower() for name in (me.name, *me.orgs)}:
        raise Refused(f"{repo} belongs neither to {me.name} nor to one of their organisations.")
    if gate.mode != "manual":
        how = "not gated" if gate.mode is False else f"gated {gate.mode}"
        raise Refused(f"{repo} is {how}; this check needs a manual gate.")
    return owner.gate_form(repo)


def _confirm(owner: Hub, repo: Repo, plan: Sequence[str], is_sure: bool) -> None:
    print(f"On {owner.endpoint}, {repo}, this will")
    for step in plan:
        print(f"  - {_make_plain(step)}")
    if is_sure:
        return
    print(f"Type {repo.id} to go on: ", end="", flush=True)
    if sys.stdin.readline().strip() != repo.id:
        raise Refused("the name was not typed, so nothing was done. Use --yes to skip this question.")


def _print_lines(lines: Iterable[Line]) -> int:
    """Print each row as soon as it is known; return the exit code."""
    agreed = differ = 0
    try:
        for line in lines:
            said = "agrees" if line.agrees else f"differs: expected {line.expected}, seen {line.seen}"
            print(f"  {line.what:46}  {_make_plain(said)}", flush=True)
            agreed, differ = agreed + line.agrees, differ + (not line.agrees)
    except (Refused, HfGateError, OSError, KeyboardInterrupt) as end:
        print(f"  stopped: {_make_plain(str(end)) or 'by you'}. Check the request before you start again.")
        differ += 1
    print(f"{agreed} agreed, {differ} differ")
    return 1 if differ else 0


def _make_plain(text: str) -> str:
    return make_visible(text, one_line=True)


# ---- reads -----------------------------------------------------------------------------------------------------------


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class _NoRedirect(HTTPRedirectHandler):
    """Follows no redirect, so that the token is sent to the Hub only."""

    def redirect_request(self, *_: object, **__: object) -> None:
        return None


def fetch(path: str) -> Reply:
    """Send one read without the client, to see what the client does not show."""
    token = resolve_token(None)
    headers = {"authorization": f"Bearer {token.reveal()}"} if token else {}
    request = Request(resolve_endpoint(None) + path, headers=headers)  # noqa: S310 - the Hub's own address
    try:
        with build_opener(_NoRedirect).open(request, timeout=30) as reply:
            return Reply(reply.status, {k.lower(): v for k, v in reply.headers.items()}, reply.read(64 << 20))
    except HTTPError as error:
        with error:
            return Reply(error.code, {k.lower(): v for k, v in error.headers.items()}, error.read(1 << 20))


def _check_reads(owner: Hub, repo: Repo) -> Iterator[Line]:
    """Check everything that can be read without changes."""
    total = 0
    for status in STATUSES:
        listing = owner.list(repo, status)
        statuses = [request.status for request in listing]
        total += len(statuses)
        is_whole = listing.completeness.proved and set(statuses) <= {status}
        yield Line(f"list {status}: complete, and of that status only", "yes", _yes(is_whole))
        yield Line(f"list {status}: unreadable records", "0", str(len(listing.quarantined)))
    yield Line("report: as many as the lists", str(total), str(len(owner.access_report(repo))))
    lists = f"/api/{repo.type.value}s/{repo.id}/user-access-request"
    page, wrong = fetch(f"{lists}/pending?limit=10"), fetch(f"{lists}/nonsense")
    yield Line("list: status", "200", str(page.status))
    yield Line("list: media type", "application/json; charset=utf-8", page.headers.get("content-type", "none"))
    yield Line("list: weak ETag", "yes", _yes(page.headers.get("etag", "").startswith('W/"')))
    yield Line("list: rate-limit headers", "yes", _yes({"ratelimit", "ratelimit-policy"} <= set(page.headers)))
    yield Line("list: x-request-id", "yes", _yes("x-request-id" in page.headers))
    yield Line(
        "list: a requestId for each request",
        "yes",
        _yes(page.body.count(b'"timestamp":') == page.body.count(b'"requestId":')),
    )
    yield Line(
        "unknown status: refused, without a code",
        "400, none",
        f"{wrong.status}, {wrong.headers.get('x-error-code', 'none')}",
    )
    yield Line(
        "unknown status: names the four",
        "yes",
        _yes(all(f'\\"{status}\\"'.encode() in wrong.body for status in STATUSES)),
    )


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"


# ---- changes ---------------------------------------------------------------------------------------------------------


def find_path(start: Status | None) -> list[Move]:
    """Return moves from `start` that include every allowed move and end without a request."""
    path, here = list[Move](), start
    while left := [move for move in MOVES if move not in path]:
        path += _find_shortest(here, left)
        here = path[-1].after
    return path if here is None else path + _find_shortest(here, [move for move in MOVES if move.after is None])


def _find_shortest(here: Status | None, ends: Collection[Move]) -> list[Move]:
    """Return the shortest path from `here` whose last move is one of `ends`."""
    ways = [[move] for move in MOVES if move.before is here]
    while not (found := next((way for way in ways if way[-1] in ends), None)):
        ways = [[*way, move] for way in ways for move in MOVES if move.before is way[-1].after]
    return found


class LiveCheck:
    """The two accounts, their repo, and the one request that is moved."""

    def __init__(self, owner: Hub, requester: Hub, repo: Repo, form: GateForm, patience: float) -> None:
        self.owner, self.requester, self.repo, self.patience = owner, requester, repo, patience
        them = requester.whoami()
        self.user, self.user_id = them.name, them.id
        if repo.namespace.lower() in {name.lower() for name in (them.name, *them.orgs)}:
            raise Refused(
                f"{self.user} ({SECOND}) passes the gate anyway: use an account that is not a member of {repo.namespace}."
            )
        self.answers = {
            field.label: _answer(field.type, [option.value for option in field.options]) for field in form.fields
        }
        self.answers = {label: text for label, text in self.answers.items() if text}
        self.request: AccessRequest | None = None

    def status(self) -> Status | None:
        """Return the status of the request according to the lists, and remember the request."""
        self.request, others = None, 0
        for status in STATUSES:
            for request in self.owner.list(self.repo, status):
                if request.person.id == self.user_id:
                    self.request = request
                    return status
                others += 1
        if others > MOST_OTHERS:
            raise Refused(f"{self.repo} has more than {MOST_OTHERS} requests of other people, so it is not a sandbox.")
        return None

    def plan(self, path: Sequence[Move]) -> list[str]:
        resets = sum(move.after is Status.RESET for move in path)
        return [
            "read its gate, form, lists, report and headers",
            f"move the request of {self.user} {len(path)} times, so that every move is made once, and leave no request behind",
            f"make the Hub send mails: {resets} about a reset to {self.user}, and those about new requests to the address that the repo notifies",
        ]

    def run(self, path: Sequence[Move]) -> Iterator[Line]:
        before = self.status()
        for number, move in enumerate(path, 1):
            asked_at = None if self.request is None else self.request.asked_at
            did = self._act(move)
            after = self._wait_for(move.after)
            what = f"{number:2} {before or 'none'} > {move.verb}"
            yield Line(what, f"done, {_describe_status(move.after)}", f"{did}, {after}")
            if (None if self.request is None else self.request.status) != move.after:
                raise Refused("the request does not have the expected status")
            if move.verb == "ask" and self.request is not None:
                yield Line(
                    f"{what}: the answers come back",
                    _format_answers(self.answers),
                    _format_answers(self.request.answers),
                )
            if move.verb not in {"ask", "withdraw"} and asked_at is not None and self.request is not None:
                yield Line(f"{what}: the time of asking stays", str(asked_at), str(self.request.asked_at))
            if move.after is not None and move.verb not in {"ask", "withdraw"}:
                yield Line(
                    f"{what} again",
                    f"already, {_describe_status(move.after)}",
                    f"{self._act(move)}, {self._wait_for(move.after)}",
                )
            before = move.after

    def _act(self, move: Move) -> str:
        """Make a move; return done, already, or the error."""
        verbs: dict[str, Callable[[], object]] = {
            "ask": lambda: self.requester.ask_access(self.repo, self.answers),
            "withdraw": lambda: self.requester.withdraw(self.repo).kind,
            "grant": lambda: self.owner.grant_access(self.repo, self.user).kind,
            "accept": lambda: self.owner.accept(self.repo, self.user).kind,
            "cancel": lambda: self.owner.cancel(self.repo, self.user).kind,
            "reject": lambda: self.owner.reject(self.repo, self.user, reason=REASON).kind,
            "reset": lambda: self.owner.reset(self.repo, self.user, reason=REASON).kind,
        }
        try:
            said = verbs[move.verb]()
        except HfGateError as error:
            return str(error)
        return "done" if move.verb == "ask" else str(said)

    def _wait_for(self, wanted: Status | None) -> str:
        """Wait until lists, times and the requester's own check show the wanted status; return what they show.

        After one timeout, later moves are not waited for.
        """
        end = time.monotonic() + self.patience
        while (said := self._describe_state()) != _describe_status(wanted):
            if time.monotonic() >= end:
                self.patience = 0.0
                break
            time.sleep(1)
        return said

    def _describe_state(self) -> str:
        status = self.status()
        return f"{status or 'none'}, check says {self._check()}{self._describe_faults(status)}"

    def _check(self) -> str:
        try:
            return self.requester.check_access(self.repo)
        except HfGateError as error:
            return str(error)

    def _describe_faults(self, status: Status | None) -> str:
        request = self.request
        if request is None:
            return ""
        odd = [] if (request.reviewed_at is None) == (status is Status.PENDING) else ["its time of review"]
        odd += [] if (request.granted_by is not None) == (status is Status.ACCEPTED) else ["who granted it"]
        return f", but for {' and '.join(odd)}" if odd else ""


def _describe_status(status: Status | None) -> str:
    return f"{status or 'none'}, check says {WORDS[status]}"


def _format_answers(answers: object) -> str:
    return json.dumps(answers, sort_keys=True, ensure_ascii=False)


def _answer(kind: str, options: Sequence[str]) -> str:
    """Return an answer as the Hub's page would send it; empty for `ip_location`, which the Hub fills in itself."""
    typical = {"checkbox": "on", "date_picker": "2000-02-29", "country": "CH", "ip_location": ""}
    return options[0] if options else typical.get(kind, "A live check of hf-gate.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
