"""A pasted log is explained by the refusal in it: its repo, its cause, and no more certainty than the text gives."""

from __future__ import annotations

import time

import pytest

import hf_gate
from hf_gate.hub.why.failures import MAX_LOG, parse_url, read_log
from tests.kits.pasted_logs import HUB, LLAMA, LOGS, LOGS_OF_OTHERS, PastedLog, gated

ALL_LOGS = [*LOGS, *LOGS_OF_OTHERS]
REJECTED = gated(LLAMA, 403, f"Your request to access model {LLAMA} has been rejected by the repo's authors.")


@pytest.mark.parametrize("log", ALL_LOGS, ids=[log.name for log in ALL_LOGS])
def test_a_log_says_what_it_knows(log: PastedLog) -> None:
    found = hf_gate.explain(log.text)
    assert (found.code in log.codes, found.repo, found.certain) == (True, log.repo, log.is_certain), found
    assert found.calls == 0
    assert found.account is None
    assert "None" not in " ".join(
        [found.title, found.sentence, *(str(step.command) for step in found.next if step.command)]
    )
    assert found.next


@pytest.mark.parametrize("log", ALL_LOGS, ids=[log.name for log in ALL_LOGS])
def test_what_stands_around_a_failure_changes_nothing(log: PastedLog) -> None:
    """Noise of training, and of a shell with a token, before and after."""
    noise = (
        "INFO:root:step 404 loss 4.03 lr 5.00e-05\n$ export HF_TOKEN=hf_local_canary_token\n"
        f"Fetching 5 files: 100%|##########| 5/5 [00:01<00:00]\nsee {HUB}/docs/transformers/main_classes/model\n"
    )
    found = hf_gate.explain(f"{noise}{log.text}\n{noise}")
    assert (found.code in log.codes, found.repo, found.certain) == (True, log.repo, log.is_certain), found
    assert "canary" not in f"{found}{found!r}{found.to_document()}"


@pytest.mark.parametrize(
    "url",
    [
        f"{HUB}/docs/hub/models-gated", f"{HUB}/settings/tokens", f"{HUB}/settings/gated-repos", f"{HUB}/blog/acme/x",
        f"{HUB}/{LLAMA}/discussions/5", f"{HUB}/{LLAMA}/commit/0a1b", f"{HUB}/spaces/acme/demo", f"{HUB}/models", HUB,
        f"{HUB}/api/whoami-v2", f"{HUB}/api/repos/create", f"{HUB}/collections/acme/x-0a1b", f"{HUB}/papers/2401.0001",
        f"{HUB}/gpt2/resolve/main/config.json", f"{HUB}/None/resolve/main/a", f"{HUB}/api/models/gpt2/revision/main",
        f"{HUB}/datasets/squad/resolve/main/a", f"{HUB}/api/datasets/squad/tree/main",
        "https://discuss.huggingface.co/t/gated/1", "https://github.com/acme/x/blob/main/a.py",
        "https://github.com/user-attachments/assets/1", "https://router.huggingface.co/v1/chat/completions",
        "https://cas-server.xethub.hf.co/v1/reconstructions/0a", "https://cdn-lfs.hf.co/repos/0a/1b/2c",
        "https://evilhuggingface.co/acme/x", "https://example.org/project/torch", "http://[::1", "https://", "x",
    ],
)  # fmt: skip
def test_other_addresses_are_not_taken_for_repos(url: str) -> None:
    assert parse_url(url) is None


@pytest.mark.parametrize(
    "unit",
    ["'a/b' model ", "access model a/b is ", "a" * 100 + "/", f"{HUB}/a/b/resolve/main/c 403 ", "\x1b[1m"],
)
def test_a_large_log_is_read_in_short_time(unit: str) -> None:
    text = unit * (10 * MAX_LOG // len(unit)) + "\n" + REJECTED
    start = time.process_time()
    found = hf_gate.explain(text)
    assert time.process_time() - start < 8  # seconds; a quadratic pattern takes hours
    assert (found.code, found.repo) == ("rejected", LLAMA)


def test_only_the_end_of_a_log_is_read() -> None:
    assert read_log(REJECTED + "x" * MAX_LOG).repo is None
