"""Whatever fits the document of the API, and whatever does not: the answer is one of those that the document names, never a fault."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, cast

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.transport import Response

from tests.kits.desk import HOST, Answer, Desk, Visitor, open_desk

load_all_checks()
WANTED: Final = [
    CHECKS.get_one(name)
    for name in (
        "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
        "response_schema_conformance",
    )
]  # fmt: skip
BASE: Final = f"http://{HOST}"
CALM: Final = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
WAYS: Final = (
    ("GET", "/api/v1/events"), ("POST", "/api/v1/decisions"), ("PUT", "/api/v1/tables/{name}/rows/{key}"),
    ("DELETE", "/api/v1/tables/{name}/rows/{key}"),
)  # fmt: skip


@pytest.fixture(scope="module")
def open_room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with open_desk(tmp_path_factory.mktemp("desk"), requests=60, repos=2) as desk:
        yield desk


@pytest.fixture(scope="module")
def lena(open_room: Desk) -> Visitor:
    return open_room.visitor()


@pytest.fixture(scope="module")
def schema(lena: Visitor) -> Any:
    return schemathesis.openapi.from_dict(lena.get("/api/openapi.json").json)


def _called(visitor: Visitor, case: Any) -> tuple[requests.PreparedRequest, Answer]:
    """One case, as a client would send it."""
    sent = requests.Request(**case.as_transport_kwargs(base_url=BASE)).prepare()
    body = sent.body.encode() if isinstance(sent.body, str) else sent.body or b""
    kept = {"content-type"} if body else set()
    headers = {name.lower(): str(value) for name, value in sent.headers.items() if name.lower() in kept}
    return sent, visitor.ask(sent.method or "GET", sent.path_url, cast("bytes", body), headers)


def _checked(visitor: Visitor, case: Any) -> Answer:
    sent, answer = _called(visitor, case)
    headers = {name: [value] for name, value in answer.headers.items()}
    told = Response(answer.status, headers, answer.body.encode(), sent, 0.0, verify=True)
    case.validate_response(told, checks=WANTED)
    return answer


def test_every_way_of_the_document_is_tried(schema: Any) -> None:
    found = [(one.ok().method.upper(), one.ok().path) for one in schema.get_all_operations()]
    assert sorted(found) == sorted(WAYS)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize(("method", "path"), WAYS)
def test_no_call_meets_a_fault(schema: Any, lena: Visitor, method: str, path: str, mode: GenerationMode) -> None:
    operation = schema[path][method]
    if mode is GenerationMode.NEGATIVE and not (operation.query or operation.body):
        return  # nothing can be wrong there

    @CALM
    @given(case=operation.as_strategy(generation_mode=mode))
    def tried(case: Any) -> None:
        _checked(lena, case)

    tried()
