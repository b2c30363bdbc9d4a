"""The errors of the public API as a type checker sees them: one tree, each leaf with its hint and its exit code."""

from __future__ import annotations

from typing import assert_type

from hf_gate import (
    BadRequest,
    ForeignOrigin,
    Guarded,
    HfGateError,
    Hub,
    HubError,
    HubUnavailable,
    Incomplete,
    InsecureEndpoint,
    InvalidRepo,
    InvalidStatus,
    InvalidTarget,
    NotAllowed,
    NotGated,
    Offline,
    OutcomeUnknown,
    PersonNotFound,
    ReasonTooLong,
    RepoMoved,
    RepoNotFound,
    RequestNotFound,
    SpaceNotSupported,
    Stale,
    UnexpectedAnswer,
    UsageError,
    WrongRepoType,
)

ANY: list[type[HfGateError]] = [UsageError, HubError, Offline, Stale, Guarded, OutcomeUnknown, Incomplete]
OF_THE_HUB: list[type[HubError]] = [
    NotAllowed, RepoNotFound, WrongRepoType, RepoMoved, NotGated, PersonNotFound, RequestNotFound,
    BadRequest, UnexpectedAnswer, ForeignOrigin, HubUnavailable,
]  # fmt: skip
OF_THE_CALLER: list[type[ValueError]] = [
    UsageError, InvalidRepo, SpaceNotSupported, InvalidStatus, InvalidTarget, ReasonTooLong, InsecureEndpoint, WrongRepoType,
]  # fmt: skip
WRONG_1: list[type[HubError]] = [Stale]  # type: ignore[list-item]
WRONG_2: list[type[ValueError]] = [HubUnavailable]  # type: ignore[list-item]


def caught(hub: Hub) -> int:
    try:
        hub.accept("acme/med-7b", "mia")
    except HubError as error:
        assert_type(error.status, int | None)
        assert_type(error.code, str | None)
        assert_type(error.request_id, str | None)
        assert_type(error.server_message, str | None)
        return error.exit_code
    except HfGateError as error:
        assert_type(error.message, str)
        assert_type(error.hint, str)
        assert_type(error.exit_code, int)
        repr(error.status)  # type: ignore[attr-defined]
        return error.exit_code
    return 0


def raised() -> None:
    assert_type(Stale("it moved", hint="read it again"), Stale)
    assert_type(NotGated("not gated", status=400, code="RepoNotGated"), NotGated)
    Stale("it moved", "read it again")  # type: ignore[call-arg]
    Stale("it moved", status=409)  # type: ignore[call-arg]
