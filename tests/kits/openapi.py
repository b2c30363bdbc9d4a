"""Records exchanges with a local Hub and checks them against the Hub's OpenAPI: endpoints, keys, types and enums."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped]  # its stubs are a package more

_ABOUT_ACCESS = re.compile(r"user-access|ask-access|/settings$")


class Exchange(NamedTuple):
    """One call and its answer, as they were sent.

    `is_ours`: sent by hf-gate, so its request is judged too. `is_next`: the address came whole from a Link header.
    """

    method: str
    target: str
    sent: bytes
    status: int
    headers: Mapping[str, str]
    body: bytes
    is_ours: bool
    is_next: bool

    def __str__(self) -> str:
        return f"{self.method} {self.target} {self.sent[:200]!r} -> {self.status}"


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path: its parameters by name, the schema of its body, and of each answer by status."""

    path: str
    method: str
    document: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.method.upper()} {self.path}"


class Spec:
    """A description in which each parameter, body and answer lies under a short address, so that a patch is one line.

    Objects of a request that list their keys are closed: a key that is not listed is a fault of the client.
    """

    def __init__(self, paths: Mapping[str, Any], patch: Sequence[Mapping[str, Any]] = ()) -> None:
        tree = {path: {verb: _short(told) for verb, told in verbs.items()} for path, verbs in paths.items()}
        for line in patch:
            for repo_type in ("models", "datasets"):
                _add(tree[line["on"].replace("{T}", repo_type)], line["at"], deepcopy(line["value"]))
        for verbs in tree.values():
            for told in verbs.values():
                _close(told["body"])
        self._operations = [
            (re.compile(re.sub(r"\\\{\w+\\\}", "([^/]+)", re.escape(path))), re.findall(r"\{(\w+)\}", path), Operation(path, verb, told))
            for path, verbs in tree.items()
            for verb, told in verbs.items()
        ]  # fmt: skip

    def find(self, exchange: Exchange) -> tuple[Operation, dict[str, str]] | None:
        """Return the operation of a call and the parts of its path."""
        path = urlsplit(exchange.target).path
        for pattern, names, operation in self._operations:
            if operation.method == exchange.method.lower() and (match := pattern.fullmatch(path)):
                return operation, dict(zip(names, map(unquote, match.groups()), strict=True))
        return None

    def faults(self, exchange: Exchange) -> Iterator[str]:
        """Yield what is wrong with the request, if it is ours, and with the answer."""
        found = self.find(exchange)
        if found is None:
            if _ABOUT_ACCESS.search(urlsplit(exchange.target).path) and (exchange.is_ours or exchange.status < 400):
                yield f"{exchange}: no such route"
            return
        operation, parts = found
        asked = _request_faults(operation, parts, exchange) if exchange.is_ours else ()
        for fault in (*asked, *_answer_faults(operation, exchange)):
            yield f"{exchange}: {fault}"


def _short(told: Mapping[str, Any]) -> dict[str, Any]:
    body = told.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    answers = {
        status: answer.get("content", {}).get("application/json", {}).get("schema", {})
        for status, answer in told.get("responses", {}).items()
    }
    parameters = {parameter["name"]: parameter for parameter in told.get("parameters", ())}
    return deepcopy({"parameters": parameters, "body": body, "answer": answers})


def _add(tree: Any, at: str, value: Any) -> None:
    *way, last = at.strip("/").split("/")
    for step in way:
        tree = tree[step]
    if last == "-":
        assert value not in tree, f"{at}: {value!r} is there already"
        tree.append(value)
    else:
        assert last not in tree, f"{at} is there already"
        tree[last] = value


def _close(schema: Any) -> None:
    if isinstance(schema, dict):
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
        for inner in schema.values():
            _close(inner)
    elif isinstance(schema, list):
        for inner in schema:
            _close(inner)


def _request_faults(operation: Operation, parts: Mapping[str, str], exchange: Exchange) -> Iterator[str]:
    told = operation.document
    for name, text in parts.items():
        yield from _against(told["parameters"][name]["schema"], text, f"{name} in the path")
    for key, text in () if exchange.is_next else parse_qsl(urlsplit(exchange.target).query, keep_blank_values=True):
        if key not in told["parameters"]:
            yield f"no parameter {key!r}"
        else:
            schema = told["parameters"][key]["schema"]
            value = int(text) if schema.get("type") == "integer" and text.isdecimal() else text
            yield from _against(schema, value, f"{key} in the query")
    if told["body"] is None:
        if exchange.sent:
            yield "a body that nobody asked for"
    else:
        yield from _against(told["body"], _json(exchange.sent), "request")


def _answer_faults(operation: Operation, exchange: Exchange) -> Iterator[str]:
    """Check an answer. Errors are not in the OpenAPI; they are an object with one sentence, or that sentence as text or HTML."""
    answers = operation.document["answer"]
    if exchange.status >= 400:
        body = _json(exchange.body) if operation.path.startswith("/api/") else {"error": ""}
        if not (isinstance(body, dict) and set(body) == {"error"} and isinstance(body["error"], str)):
            yield f"an error of another shape: {exchange.body[:200]!r}"
    elif not answers:
        if not isinstance(_json(exchange.body), dict):
            yield f"no object: {exchange.body[:200]!r}"
    elif str(exchange.status) not in answers:
        yield f"status {exchange.status} is not described"
    else:
        # The OpenAPI describes a download as text, and everything else by its JSON.
        is_file = exchange.headers.get("content-disposition", "").startswith("attachment")
        schema = answers[str(exchange.status)]
        is_any = not set(schema) - {"$schema"}
        body = None if is_any else exchange.body.decode() if is_file else _json(exchange.body)
        yield from _against(schema, body, "answer")


def _against(schema: Mapping[str, Any], value: object, where: str) -> Iterator[str]:
    if where == "request" and value is _NO_JSON:
        yield "the body is no JSON"
        return
    for error in Draft202012Validator(schema, format_checker=FormatChecker()).iter_errors(value):
        for cause in error.context or (error,):
            yield f"{where} {cause.json_path}: {cause.message[:300]}"


_NO_JSON = object()


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return _NO_JSON


def list_faults(spec: Spec, exchanges: Iterable[Exchange]) -> list[str]:
    """Return all faults of all exchanges, each once."""
    return list(dict.fromkeys(fault for exchange in exchanges for fault in spec.faults(exchange)))


_NOT_HANDED_ON = {"connection", "transfer-encoding", "keep-alive", "date", "server"}


class Recording:
    """The proxy's address and the exchanges so far."""

    def __init__(self) -> None:
        self.url = ""
        self.exchanges: list[Exchange] = []
        self._next: set[str] = set()
        self._lock = threading.Lock()

    def note(
        self, method: str, target: str, agent: str, sent: bytes, status: int, headers: dict[str, str], body: bytes
    ) -> None:
        """Record one exchange, in the order of the answers."""
        with self._lock:
            is_next = target in self._next
            self.exchanges.append(
                Exchange(method, target, sent, status, headers, body, agent.startswith("hf-gate/"), is_next)
            )
            for link in re.findall(r"<([^>]+)>; rel=\"next\"", headers.get("link", "")):
                parts = urlsplit(link)
                self._next.add(f"{parts.path}?{parts.query}")


@contextmanager
def record_exchanges(hub_url: str) -> Iterator[Recording]:
    """Run a proxy to the Hub at `hub_url` within a `with` block."""
    record = Recording()
    place = urlsplit(hub_url).netloc

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            sent = self.rfile.read(int(self.headers.get("content-length") or 0))
            hub = HTTPConnection(place, timeout=60)
            try:
                hub.request(self.command, self.path, sent or None, dict(self.headers.items()))
                answer = hub.getresponse()
                body = answer.read()
            finally:
                hub.close()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            record.note(self.command, self.path, self.headers.get("user-agent", ""), sent, answer.status, headers, body)
            kept = [f"{name}: {value}" for name, value in headers.items() if name not in _NOT_HANDED_ON]
            head = "\r\n".join([f"HTTP/1.1 {answer.status} {answer.reason}", *kept, "", ""])
            self.wfile.write(head.encode("latin-1") + body)  # at once: two small packets would wait for each other

        do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = _pass  # noqa: N815 - the names that http.server calls

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name there
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    server.daemon_threads = True
    record.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield record
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
