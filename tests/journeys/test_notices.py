"""Notices reach a webhook in order, tell what happened since they were turned on, and name nobody unless asked to."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from hf_gate.base.environment import READ_ONLY
from hf_gate.core.letters.messages import retry_wait
from tests.kits.command_line import DATASET, Console, request_access
from tests.kits.message_servers import HOOK_KEY, Hook
from tests.kits.notice_workspace import NOTIFY, POLICY, configure, console, hook, run_once
from tests.kits.paths import ROOT

__all__ = ["console", "hook"]


def test_a_test_message_is_signed_and_as_the_schema_says(console: Console, hook: Hook) -> None:
    ended = console.run("messages", "test")
    assert (ended.code, ended.out) == (0, "team: delivered\n")
    (call,) = hook.calls
    assert call.is_signed
    assert "authorization" not in call.headers
    assert console.hub.tokens["owner"] not in str(call)
    jsonschema.validate(call.document, console.run("schema", "notice").json)
    assert call.document["subject"] == "hf-gate: test"


def test_no_test_message_is_sent_where_nothing_may_be_changed(console: Console, hook: Hook) -> None:
    refused = console.run("messages", "test", env={READ_ONLY: "1"})
    assert (refused.code, refused.out, hook.calls) == (2, "", [])
    assert f"{READ_ONLY} is set, so the notice is not sent." in refused.err


def test_a_destination_may_have_names_if_its_owner_says_so(console: Console, hook: Hook, tmp_path: Path) -> None:
    configure(tmp_path, f"{NOTIFY}    personal: true\n    events: {{new_requests: immediate}}\n")
    run_once(console)
    console.hub.clock.advance("1h")
    request_access(console.hub, ["bob"], DATASET)
    run_once(console)
    assert [one["user"] for one in hook.calls[0].document["items"][0]["requests"]] == ["bob"]


def test_the_list_says_when_an_undelivered_message_is_tried_next(console: Console, hook: Hook) -> None:
    run_once(console)
    assert console.run("stop").code == 0
    assert console.run("start").code == 0
    hook.answer = 503
    run_once(console)
    listed = console.run("messages", "ls", "--json").json
    jsonschema.validate(listed, console.run("schema", "messages-ls").json)
    behind, head = listed
    tried, due = (datetime.fromisoformat(head[key]) for key in ("tried_at", "next_at"))
    assert due - tried >= timedelta(milliseconds=retry_wait(1, is_alarm=False))
    assert (behind["next_at"], behind["tried_at"]) == (None, None)
    table = console.run("messages", "ls", "--format", "human").out
    assert "after the previous message" in table
    assert head["next_at"] in table
    assert "the receiver answered 503" in " ".join(table.split())
    console.hub.clock.advance("1h")
    assert "at the next turn" in console.run("messages", "ls").out
    hook.answer = 400
    run_once(console)
    dead = console.run("messages", "ls", "--json").json
    assert {(one["state"], one["next_at"]) for one in dead} == {("bounced", None)}
    assert "at the next turn" not in console.run("messages", "ls").out


@pytest.mark.parametrize(("answer", "outcome"), [(500, "failed"), ("die", "unknown"), (403, "failed")])
def test_what_was_not_confirmed_is_sent_again_with_the_same_id(
    console: Console, hook: Hook, answer: int | str, outcome: str
) -> None:
    run_once(console)
    console.hub.clock.advance("1m")
    assert console.run("stop").code == 0
    hook.answer = answer
    assert "A notice to team was not delivered" in run_once(console)
    (message,) = console.run("messages", "ls", "--json").json
    assert (message["state"], message["outcome"], message["attempts"]) == ("waiting", outcome, 1)
    run_once(console)
    assert len(hook.calls) == 1, "it is not due yet"
    hook.answer = 200
    console.hub.clock.advance("1m")
    run_once(console)
    assert hook.ids == [message["id"]] * 2
    assert console.run("messages", "ls", "--json").json == []


def test_a_refused_message_is_dead_the_next_goes_on_and_it_can_be_sent_again(console: Console, hook: Hook) -> None:
    run_once(console)
    console.hub.clock.advance("1m")
    assert console.run("stop").code == 0
    hook.answer = 400
    run_once(console)
    hook.answer = 200
    assert console.run("start").code == 0
    run_once(console)
    assert hook.events == ["unattended", "unattended", "stuck"]
    assert "1 dead letter" in console.run("messages", "preview").out
    (dead,) = console.run("messages", "ls", "--json").json
    assert (dead["state"], dead["problem"]) == ("bounced", "the receiver answered 400")
    assert console.run("messages", "retry", dead["id"], "--json").json["messages"] == [dead["id"]]
    run_once(console)
    assert hook.ids.count(dead["id"]) == 2
    assert hook.texts[-1].startswith("Solved: 1 notice to team was given up."), "a person has sent it again"
    assert console.run("messages", "retry", "--all").out == "0 messages queued again.\n"


def test_the_example_of_the_page_works(
    console: Console, hook: Hook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "messages.md").read_text("utf-8")
    (example,) = re.findall(r"```yaml\n(notify:.*?)```", page, re.DOTALL)
    configure(tmp_path, example)
    monkeypatch.setenv("HOOK_URL", hook.url)
    assert console.run("policy", "check").code == 0
    assert console.run("messages", "test", "team").out == "team: delivered\n"
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - a block of our page
    call = hook.calls[0]
    names["time"] = SimpleNamespace(
        time=lambda: int(call.headers["webhook-timestamp"]) + 299
    )  # by the local Hub's clock
    assert names["is_genuine"](HOOK_KEY, call.headers, call.body)
    assert not names["is_genuine"](HOOK_KEY, call.headers, call.body + b" ")
    assert not names["is_genuine"](HOOK_KEY, call.headers | {"webhook-id": "n_other"}, call.body)
    assert not names["is_genuine"](HOOK_KEY, call.headers | {"webhook-timestamp": "1000"}, call.body)
    (document,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    jsonschema.validate(json.loads(document), console.run("schema", "notice").json)


def test_a_redirect_is_not_followed(console: Console, hook: Hook) -> None:
    hook.answer = 302
    ended = console.run("messages", "test")
    assert (ended.code, ended.out) == (1, "team: refused (the receiver answered 302)\n")
    assert len(hook.calls) == 1


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("HOOK", "", "the environment variable HOOK is not set"),
        ("HOOK", "http://hook.example.org/9a1b-secret", "does not hold an https address"),
        ("HOOK", "http://127.0.0.1:1/9a1b-secret", "could not be reached"),
        ("HOOK_KEY", "short", "shorter than 16 characters"),
    ],
)
def test_what_cannot_be_sent_says_why_without_the_secret(
    console: Console, monkeypatch: pytest.MonkeyPatch, name: str, value: str, why: str
) -> None:
    monkeypatch.setenv(name, value)
    ended = console.run("messages", "test")
    assert (ended.code, why in ended.out, "9a1b" in ended.out + ended.err) == (1, True, False), ended.out


@pytest.mark.parametrize(
    ("notify", "why"),
    [
        ("notify: [{name: a, webhook: 'https://x.example', key: env:K}]", "webhook is a secret"),
        ("notify: [{name: a, webhook: env:H}]", "has no key"),
        ("notify: [{name: a, webhook: env:H, key: env:K}, {name: a, webhook: env:H, key: env:K}]", "Two destinations"),
        ("notify: [{name: a, webhook: env:H, key: env:K, smtp: 'x:1'}]", "exactly one of webhook, smtp and apprise"),
        ("notify: [{name: a}]", "exactly one of"),
        ("notify: [{webhook: env:H}]", "needs a name"),
        (
            "notify: [{name: a, webhook: env:H, key: env:K, events: {new_request: digest}}]",
            "Did you mean `new_requests`",
        ),
        ("notify: [{name: a, webhook: env:H, key: env:K, events: {stuck: soon}}]", "must be immediate"),
        ("notify: [{name: a, webhook: env:H, key: env:K, digest: 8 o clock}]", "not a time of day"),
        ("notify: [{name: a, smtp: mail.example, from: x, to: [b@example.org]}]", "not an e-mail address"),
        ("notify: [{name: a, smtp: 'mail.example:25', from: a@example.org, to: [b@example.org]}]", "port 25"),
        ("notify: [{name: a, smtp: mail.example, from: a@example.org, to: [b@example.org], user: u}]", "neither"),
        ("notify: {name: a}", "must be a list"),
    ],
)
def test_a_destination_that_cannot_be_read_is_one_line(console: Console, tmp_path: Path, notify: str, why: str) -> None:
    configure(tmp_path, notify + "\n")
    for command in (("policy", "check"), ("doctor",), ("run", "--once"), ("messages", "test")):
        ended = console.run(*command)
        assert ended.code == 2, command
        assert why in ended.out + ended.err, ended.out + ended.err


def test_a_destination_that_is_turned_off_leaves_dead_letters(console: Console, hook: Hook, tmp_path: Path) -> None:
    run_once(console)
    console.hub.clock.advance("1m")
    assert console.run("stop").code == 0
    hook.answer = 500
    run_once(console)
    configure(tmp_path, NOTIFY.replace("team", "others"))
    run_once(console)
    (message,) = console.run("messages", "ls", "--json").json
    assert (message["state"], message["destination"]) == ("failed", "team")
    assert console.run("messages", "retry", message["id"]).code == 1
    assert json.dumps(console.run("messages", "preview", "--json").json["destinations"]).count('"is_on": false') == 1


@pytest.mark.parametrize("damage", [b"SQLite format 3\0?", b"no database at all"])
def test_an_alarm_goes_out_directly_once_a_day_while_the_store_is_not_usable(
    console: Console, hook: Hook, tmp_path: Path, damage: bytes
) -> None:
    run_once(console)
    whole = (tmp_path / "desk.db").read_bytes()
    (tmp_path / "desk.db").write_bytes(damage)
    hook.answers = [500]
    for _ in range(4):
        assert console.run("run", "--once").code != 0
    assert (hook.events, hook.calls[0].document["is_alarm"]) == (["failed_turn"] * 2, True)
    assert "The next turn tries again." in hook.texts[1], "the first call failed"
    console.hub.clock.advance("25h")
    assert console.run("run", "--once").code != 0
    assert len(hook.calls) == 3
    (tmp_path / "desk.db").write_bytes(whole)
    run_once(console)
    run_once(console)
    assert hook.texts[3:] == [
        "Solved: A turn of hf-gate run failed: the store could not be used. There is nothing to do."
    ]


def test_a_failing_destination_never_fails_a_turn(
    console: Console, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_once(console)
    console.hub.clock.advance("1m")
    assert console.run("stop").code == 0
    monkeypatch.delenv("HOOK")
    assert "the environment variable HOOK is not set" in run_once(console)
    monkeypatch.setenv("HOOK", hook.url)
    console.hub.clock.advance("1m")
    run_once(console)
    assert hook.events == ["unattended"]


@pytest.mark.parametrize(
    ("condition", "quoted"), [("", " The rule: Accept everybody."), ("when: 'person.username != \"zoe\"', ", "")]
)
def test_a_notice_of_what_is_stuck_has_the_sentence_of_its_rule_unless_it_may_name_somebody(
    console: Console, hook: Hook, tmp_path: Path, condition: str, quoted: str
) -> None:
    text = POLICY.replace("then: human", f"{condition}then: accept")
    (tmp_path / "policies" / "starter.yaml").write_text(text, "utf-8")
    desk = tmp_path / "hf-gate.yaml"
    desk.write_text(desk.read_text("utf-8").replace("accept: 20000/h", "accept: 1/h"), "utf-8")
    request_access(console.hub, ["bob"], DATASET)
    run_once(console)
    assert console.run("stop").code == 0
    console.hub.clock.advance("25h")
    run_once(console)
    (found,) = [text for text in hook.texts if "although rule all of policy voices decides it" in text]
    assert found.endswith(f"decides it: hf-gate plan{'.' if quoted else ''}{quoted}")
    assert (quoted in console.run("status", "--check").out) is True
    (tmp_path / "policies" / "starter.yaml").write_text(
        text.replace("then: accept", "then: accept, until: 1y"), "utf-8"
    )
    assert "The rule:" not in console.run("status", "--check").out, "the policy changed since"
