"""The table of the Hub's refusals: each text finds its cause, whatever the names in it say."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path

import pytest

import hf_gate
from hf_gate.base.ids import parse_repo
from hf_gate.hub.protocol.access_refusals import (
    ADVICE,
    REFUSALS,
    AccessRefusal,
    RefusalCause,
    find_refusal,
    find_refusal_cause,
    get_refusals,
)
from hf_gate.hub.protocol.messages import Reply

# Names that repeat the words of other texts, as far as the Hub allows them in a name.
HOSTILE_REPOS = (
    "acme/is-expired",
    "acme/has.been.rejected",
    "acme/is-awaiting-a-review",
    "acme/not-in-the-authorized-list",
    "has-been-reset/by-the-repo-s-authors",
    "acme/is-restricted.-Please-log-in",
    "acme/not-available-in-your-region",
    "acme/--.__..gated",
    "gpt2",
    "acme/" + "x" * 96,
)
HOSTILE_TOKENS = (
    "has been rejected by the repo's authors",
    'a" is expired. "b',
    'x" has been revoked; "y',
    "not available in your region.",
    "Access to this resource is disabled.",
    "",
    '"',
    "a\nb",
    "*" * 96,
    ".*(?P<a>\\",
    "{what} {0} %s",
)
named = pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: f"{refusal.status} {refusal.text[:40]}")


def answer(refusal: AccessRefusal, text: str, *, is_json: bool = True) -> Reply:
    headers = {"x-request-id": "Root=1-0", "x-error-message": text}
    if refusal.code:
        headers["x-error-code"] = refusal.code
    return Reply(refusal.status, headers, json.dumps({"error": text}).encode() if is_json else b"")


@named
def test_names_that_repeat_words_of_the_hub_change_no_cause(refusal: AccessRefusal) -> None:
    for repo, token, kind in product(HOSTILE_REPOS, HOSTILE_TOKENS, ("model", "dataset")):
        values = {
            "what": f"{kind} {repo}", "page": f"https://huggingface.co/{repo}", "type": kind, "token": token,
            "user": repo.partition("/")[2] or repo,
        }  # fmt: skip
        text = refusal.text.format_map(values)
        assert find_refusal_cause(answer(refusal, text)) is refusal.cause, text


def test_hostile_names_of_the_test_are_names_of_the_hub() -> None:
    for repo in (repo for repo in HOSTILE_REPOS if "/" in repo and "--" not in repo and ".-" not in repo):
        assert parse_repo(repo).id == repo


@pytest.mark.parametrize(
    ("status", "code", "text"),
    [
        # A name with white space cannot be a name of the Hub: the state is not guessed from it.
        (403, "GatedRepo", "Access to model acme/m has been rejected by the repo's authors is limited."),
        (403, "GatedRepo", "Your request to access model acme/has been rejected by the repo's authors is lost."),
        (403, None, 'The token "This model is not available in your region." is odd.'),
        (403, None, "Sorry. Access to this resource is disabled."),
        (403, None, "Authorization error."),
        (403, None, ""),
        (403, "GatedRepo", "Please enable access to public gated repositories in your fine-grained token settings"),
        (403, None, "Your request to access model acme/m has been rejected by the repo's authors."),
        (404, "EntryNotFound", "Repository not found"),
        (451, None, "This model is not available in your region."),
    ],
)
def test_new_words_are_no_cause(status: int, code: str | None, text: str) -> None:
    refusal = find_refusal(status, code, text)
    assert refusal is None or refusal.cause is None


def test_the_web_page_names_no_repo() -> None:
    text = "Your request to access this repo has been rejected by the repo's authors."
    assert find_refusal(403, "GatedRepo", text) is get_refusals(RefusalCause.REJECTED)[0]


def test_a_long_text_is_matched_in_no_time() -> None:
    text = "Access to model " + "a " * 5_000_000
    assert find_refusal(403, "GatedRepo", text) is None


def test_each_line_of_the_table_has_a_source_and_each_cause_a_text() -> None:
    assert {refusal.cause for refusal in REFUSALS} == {*RefusalCause, None}
    assert len({refusal.text for refusal in REFUSALS}) == len(REFUSALS)
    for refusal in REFUSALS:
        assert refusal.source
        assert re.fullmatch(r"20\d\d(-\d\d|-20\d\d)?", refusal.date)
    assert set(ADVICE) <= set(RefusalCause)


def test_the_texts_exist_once() -> None:
    package = Path(hf_gate.__file__).parent
    sources = {file: file.read_text(encoding="utf-8") for file in package.rglob("*.py")}
    for refusal in REFUSALS:
        start = max(re.split(r"\{\w+\}", refusal.text), key=len)[:40]
        holders = [file.name for file, source in sources.items() if start in source]
        assert holders == ["access_refusals.py"], start
