"""Repos and people are named as people spell them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_gate.base.ids import Repo, RepoType, id_time, parse_repo
from hf_gate.errors import InvalidRepo, SpaceNotSupported, UsageError

MODEL, DATASET = Repo(RepoType.MODEL, "acme", "med-7b"), Repo(RepoType.DATASET, "acme", "med-7b")
segments = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.]{0,20}[A-Za-z0-9]", fullmatch=True).filter(
    lambda s: ".." not in s and "--" not in s and not s.endswith(".git")
)


@pytest.mark.parametrize("text", ["acme/med-7b", "model:acme/med-7b", "models/acme/med-7b", "hf://acme/med-7b", "https://huggingface.co/acme/med-7b", "https://hf.co/acme/med-7b/tree/main?x=1", "http://www.huggingface.co:80/acme/med-7b", " acme/med-7b "])  # fmt: skip
def test_a_model_in_each_of_its_spellings(text: str) -> None:
    assert parse_repo(text) == MODEL


@pytest.mark.parametrize("text", ["datasets/acme/med-7b", "dataset:acme/med-7b", "hf://datasets/acme/med-7b", "https://huggingface.co/datasets/acme/med-7b/blob/main/README.md", "https://huggingface.co/api/datasets/acme/med-7b"])  # fmt: skip
def test_a_dataset_in_each_of_its_spellings(text: str) -> None:
    assert parse_repo(text) == DATASET


@given(ns=segments, name=segments, kind=st.sampled_from(list(RepoType)))
def test_what_a_repo_prints_is_read_back(ns: str, name: str, kind: RepoType) -> None:
    repo = Repo(kind, ns, name)
    assert parse_repo(repo.web_path, kind) == repo
    assert parse_repo(f"{kind}:{repo.id}") == repo


@pytest.mark.parametrize(
    "text", ["gpt2", "", "a/b/c", "../x/y", "a/..", "a b/c", "a//b", "https://[x/a/b", "é/b", "a/" + "b" * 200]
)
def test_what_is_no_repo_is_refused(text: str) -> None:
    with pytest.raises(InvalidRepo):
        parse_repo(text)


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("http://127.0.0.1:8080/acme/med-7b", "http://127.0.0.1:8080"),
        ("https://HUB.test:443/acme/med-7b", "https://hub.test"),
        ("hf://acme/med-7b", "https://hub.test"),
        ("acme/med-7b", "https://hub.test"),
    ],
)
def test_a_url_of_the_endpoint_is_its_repo(url: str, endpoint: str) -> None:
    assert parse_repo(url, endpoint=endpoint) == MODEL


@pytest.mark.parametrize("text", [None, 7, b"a/b"])
def test_a_repo_of_another_type_than_text_is_refused(text: object) -> None:
    with pytest.raises(InvalidRepo):
        parse_repo(text)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["spaces/a/b", "space:a/b", "https://huggingface.co/spaces/a/b"])
def test_a_space_is_refused_by_name(text: str) -> None:
    with pytest.raises(SpaceNotSupported):
        parse_repo(text)


def test_two_spellings_that_disagree_are_refused() -> None:
    with pytest.raises(UsageError):
        parse_repo("datasets/a/b", "model")
    assert parse_repo("a/b", "dataset").type is RepoType.DATASET


@given(st.text())
def test_any_text_is_a_repo_or_one_clear_refusal(text: str) -> None:
    try:
        repo = parse_repo(text)
    except UsageError:
        return
    assert parse_repo(repo.web_path, repo.type) == repo


def test_an_id_tells_its_second() -> None:
    time = id_time("66460000" + "0" * 16)
    assert time is not None
    assert time.timestamp() == 0x66460000
    assert id_time("nonsense") is None
