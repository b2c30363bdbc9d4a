"""Situations in which a download fails: a Hub with repos in each state, tokens and variables, and what programs print."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from huggingface_hub import HfApi

from hf_gate.hub.protocol.access_refusals import RefusalCause, get_refusals
from hf_gate.testing import LocalHub
from tests.kits.pasted_logs import HUB, NONE_TYPE, PYANNOTE, forbidden, gated, not_found
from tests.kits.paths import DATA
from tests.kits.public_hub import open_public_hub
from tests.kits.raw_hub import RawHub, answer, open_raw_hub

CASES: Final = DATA / "asker_cases.txt"
CLOSED: Final = "http://127.0.0.1:9"  # a port below 1024, which no other test can get meanwhile
MIRROR: Final = "http://mirror.example"
BAD_TOKEN: Final = "hf_local_nobody"
STATES: Final = ("not asked", "pending", "rejected", "accepted", "fine-grained", "expired")


class DownloadCase(NamedTuple):
    """A line of the table of public reports. `?` after a code says that the answer is not certain."""

    id: str
    situation: str
    world: str
    text: str
    alone: str
    found: str


def read_cases() -> list[DownloadCase]:
    lines = [line for line in CASES.read_text("utf-8").splitlines() if not line.startswith("#")]
    return [DownloadCase(*(part.strip() for part in line.split("|"))) for line in lines]


def list_cases() -> list[str]:
    """Return the table with totals, as the test run prints it: id, code, and how the case is played or why not."""
    cases = read_cases()
    rows = [
        f"{case.id}  {case.found if case.world != '-' else case.alone:30} "
        + (f"not played: {case.found}" if case.world == "-" else f"played: {case.world}; text: {case.text}")
        for case in cases
    ]
    played = sum(case.world != "-" for case in cases)
    return [*rows, f"{len(cases)} cases: {played} played on the local Hub, {len(cases) - played} as a text only"]


@dataclass
class DownloadAttempt:
    """Where somebody tries to download: the endpoint, the repo, and what their process has."""

    endpoint: str
    repo: str
    token: str | None = None  # of the process, for calls within a test
    variables: dict[str, str] = field(default_factory=dict)
    argument: str | None = None  # a token that the program passes


class DownloadHub:
    """A local Hub with a gated model, an open adapter of it, a dataset, and a person in each state."""

    def __init__(self, hub: LocalHub) -> None:
        self.hub, self.gated = hub, str(hub.repos[0]["repo"])
        self.dataset = next(str(row["repo"]) for row in hub.repos if row["repo_type"] == "dataset")
        owner = HfApi(endpoint=hub.url, token=hub.tokens["owner"])
        hub.add_people([{"username": name.replace(" ", "-")} for name in STATES])
        for state in STATES[1:]:
            hub.add_requests([{"repo": self.gated, "user": state.replace(" ", "-")}])
        owner.reject_access_request(self.gated, "rejected", rejection_reason=None)
        for state in ("accepted", "fine-grained", "expired"):
            owner.accept_access_request(self.gated, state)
        self.tokens = {state: hub.tokens[state.replace(" ", "-")] for state in STATES[:4]}
        self.tokens["fine-grained"] = hub.add_token("fine-grained", "fineGrained")
        self.tokens["expired"] = hub.add_token("expired", expired=True)
        self.adapter = f"{owner.whoami()['name']}/my-adapter"
        owner.create_repo(self.adapter)
        owner.upload_file(
            path_or_fileobj=f'{{"base_model_name_or_path": "{self.gated}"}}'.encode(),
            path_in_repo="adapter_config.json",
            repo_id=self.adapter,
        )

    @contextmanager
    def enter(self, name: str, home: Path) -> Iterator[DownloadAttempt]:
        """Write the files of a world and give the rest of it; the caller sets the variables."""
        good = self.tokens["accepted"]
        fields: dict[str, dict[str, Any]] = {
            "adapter": {"repo": self.adapter, "token": self.tokens["not asked"]},
            "missing": {"repo": "acme/nothing", "token": good},
            "missing, no token": {"repo": "acme/nothing"},
            "dataset": {"repo": self.dataset, "token": good},
            "bad token": {"token": BAD_TOKEN},
            "shadowed": {"token": BAD_TOKEN},
            "malformed": {"argument": "hf_local_canary\n"},
            "a word": {"token": "None"},
            "look-alike": {"variables": {"HUGGINGFACE_TOKEN": good}},
            "offline": {"token": good, "variables": {"HF_HUB_OFFLINE": "1"}},
            "no network": {"token": good, "endpoint": CLOSED},
            "mirror": {"token": good, "endpoint": MIRROR},
        }
        fields |= {place: {"variables": dict([pair])} for place, pair in _PLACES.items()}
        fields |= {state: {"token": token} for state, token in self.tokens.items()}
        world = DownloadAttempt(**{"endpoint": self.hub.url, "repo": self.gated} | fields.get(name, {}))
        if name == "shadowed":
            (home / ".cache" / "huggingface").mkdir(parents=True, exist_ok=True)
            (home / ".cache" / "huggingface" / "token").write_text(good, "utf-8")
        if name == "env file":
            Path(".env").write_text(f"HF_TOKEN={good}\n", "utf-8")
        with open_raw_hub(_drop_token) as proxy, ExitStack() as stack:
            world.variables |= {"HF_ENDPOINT": world.endpoint} | ({"HF_TOKEN": world.token} if world.token else {})
            world.variables |= {"HTTP_PROXY": proxy.url} if name == "mirror" else {}
            if name == "shadowed":  # only the public Hub gets a second token
                world.variables |= stack.enter_context(open_public_hub(self.hub.url, home))
            yield world


_PLACES: Final = {
    "in Kubernetes": ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
    "in CI": ("CI", "true"),
    "in Colab": ("COLAB_RELEASE_TAG", "release-colab"),
    "in a Space": ("SPACE_ID", "mia/demo"),
}


def _drop_token(_hub: RawHub, caller: socket.socket, _line: str) -> None:
    words = b"Invalid username or password."
    answer(caller, "401 Unauthorized", b'{"error":"%s"}' % words, b"content-type: application/json")


# ---- what programs print -----------------------------------------------------------------------------------------------------


def _say(cause: RefusalCause, repo: str, number: int = 0) -> str:
    text = get_refusals(cause)[number].text
    return text.format(what=f"model {repo}", page=f"{HUB}/{repo}", type="model", token="laptop", user="mia")


def old(status: int, reason: str, url: str, last: str) -> str:
    """Return a traceback of huggingface_hub 0.30, which used requests."""
    return (
        'Traceback (most recent call last):\n  File "/app/huggingface_hub/utils/_http.py", line 409, in hf_raise_for_status\n'
        f"requests.exceptions.HTTPError: {status} Client Error: {reason} for url: {url}\n\nThe above exception was the direct cause "
        f'of the following exception:\n\nTraceback (most recent call last):\n  File "/app/run.py", line 403, in main\n{last}\n'
    )


def _refuse(repo: str, status: int, words: str) -> str:
    url, reason = f"{HUB}/{repo}/resolve/main/config.json", {401: "Unauthorized", 403: "Forbidden"}[status]
    return old(status, reason, url, gated(repo, status, words))


def _in_transformers(text: str, repo: str) -> str:
    return (
        f"{text}\nThe above exception was the direct cause of the following exception:\n\nOSError: You are trying to access a "
        f"gated repo.\nMake sure to have access to it at {HUB}/{repo}.\n"
    )


def _bare(repo: str, status: int, reason: str) -> str:
    return (
        f"requests.exceptions.HTTPError: {status} Client Error: {reason} for url: {HUB}/{repo}/resolve/main/config.json"
    )


def _file(repo: str) -> str:
    return f"{HUB}/{repo}/resolve/main/config.json"


_CONNECT: Final = (
    f"OSError: We couldn't connect to '{HUB}' to load the files, and couldn't find them in the cached files."
)
_NO_GATED: Final = _say(RefusalCause.TOKEN_NO_GATED_PERMISSION, "")
_BAD: Final = _say(RefusalCause.TOKEN_INVALID, "", 1)
TEXTS: Final[dict[str, Callable[[str], str]]] = {
    "gated 401": lambda repo: _refuse(repo, 401, _say(RefusalCause.NO_TOKEN, repo)),
    "gated 401 of 2024": lambda repo: _refuse(repo, 401, _say(RefusalCause.NO_TOKEN, repo, 1)),
    "gated 401 of 2023": lambda repo: _refuse(repo, 401, _say(RefusalCause.NO_TOKEN, repo, 2)),
    "gated 401 in transformers": lambda repo: _in_transformers(TEXTS["gated 401"](repo), repo),
    "gated 403 in transformers": lambda repo: _in_transformers(_bare(repo, 403, "Forbidden"), repo),
    "gated, no status": lambda repo: f"huggingface_hub.errors.GatedRepoError: Cannot access gated repo for url {_file(repo)}.",
    "bare 401": lambda repo: _bare(repo, 401, "Unauthorized"),
    "bare 403": lambda repo: _bare(repo, 403, "Forbidden"),
    "bare 404": lambda repo: _bare(repo, 404, "Not Found"),
    "Rust 401": lambda repo: f"Error: request error: {_file(repo)}: status code 401",
    "Rust 403": lambda repo: f"RequestError(Status(403, Response[status: 403, status_text: Forbidden, url: {_file(repo)}]))",
    "not asked 403": lambda repo: _refuse(repo, 403, _say(RefusalCause.NOT_ASKED, repo)),
    "rejected 403": lambda repo: _refuse(repo, 403, _say(RefusalCause.REJECTED, repo)),
    "fine-grained 403": lambda repo: old(403, "Forbidden", _file(repo), forbidden(_file(repo), _NO_GATED)),
    "fine-grained 403 in transformers": lambda repo: f"{TEXTS['fine-grained 403'](repo)}\n{_CONNECT}",
    "right is false": lambda repo: f"canReadGatedRepos: false\n{_file(repo)}",
    "inference 403": lambda repo: old(
        403, "Forbidden", f"https://api-inference.huggingface.co/models/{repo}",
        f"huggingface_hub.errors.HfHubHTTPError: {_say(RefusalCause.TOKEN_NO_INFERENCE_PERMISSION, repo)}",
    ),
    "bad credentials": lambda repo: old(
        401, "Unauthorized", f"{HUB}/api/models/{repo}", f"huggingface_hub.errors.HfHubHTTPError: {_BAD}"
    ),
    "not found 401": lambda repo: old(
        401, "Unauthorized", _file(repo), not_found(_file(repo), 401, _say(RefusalCause.TOKEN_INVALID, repo))
    ),
    "not found, bad credentials": lambda repo: old(401, "Unauthorized", _file(repo), not_found(_file(repo), 401, _BAD)),
    "expired": lambda repo: old(401, "Unauthorized", _file(repo), _say(RefusalCause.TOKEN_EXPIRED, repo)),
    "invalid user token": lambda _: "requests.exceptions.HTTPError: Invalid user token. The token from HF_TOKEN environment "
    "variable is invalid. Note that HF_TOKEN takes precedence over `huggingface-cli login`.",
    "old whoami": lambda _: f'$ curl -H "Authorization: Bearer $HF_TOKEN" {HUB}/api/whoami\n{{"error":"{_BAD}"}}',
    "token_invalid in a 502": lambda _: 'POST /api/session 502 Bad Gateway {"error":"token_invalid"}',
    "not set": lambda _: "start.sh: HF_TOKEN is not set in the container",
    "Colab": lambda _: "UserWarning: Error while fetching `HF_TOKEN` secret value from your vault: 'Requesting secret HF_TOKEN timed "
    "out. Secrets can only be fetched when running from the Colab UI.'.",
    "illegal header": lambda _: "httpx.LocalProtocolError: Illegal header value b'Bearer '",
    "pyannote": lambda repo: PYANNOTE.format(repo, "pipeline") + NONE_TYPE,
    "nothing is returned": lambda _: NONE_TYPE,
    "dataset not found": lambda repo: f"FileNotFoundError: '{repo}' doesn't exist on the Hub. If the repo is private or gated, make "
    "sure to log in with `huggingface-cli login`.",
    "address only": lambda repo: f"FileNotFoundError: {_file(repo)}",
    "datasets 401": lambda repo: f"ConnectionError: Couldn't reach {_file(repo)} (error 401)",
    "empty dataset": lambda repo: f"EmptyDatasetError: The directory at {HUB}/{repo} doesn't contain any data files",
    "not a valid name": lambda repo: f"OSError: {repo} is not a local folder and is not a valid model identifier listed on "
    f"'{HUB}/models'",
    "None 401": lambda _: old(401, "Unauthorized", f"{HUB}/None/resolve/main/config.json", "OSError: None is not a local folder"),
    "offline": lambda repo: f"OfflineModeIsEnabled: Cannot reach {_file(repo)}: offline mode is enabled. To disable it, please unset "
    "the `HF_HUB_OFFLINE` environment variable.",
    "not cached": lambda _: "LocalEntryNotFoundError: Cannot find an appropriate cached snapshot folder for the specified revision on "
    "the local disk and outgoing traffic has been disabled.",
    "proxy 403": lambda repo: "requests.exceptions.ProxyError: HTTPSConnectionPool(host='huggingface.co', port=443): Max retries "
    f"exceeded with url: /{repo}/resolve/main/config.json (Caused by ProxyError('Cannot connect to proxy.', OSError('Tunnel "
    "connection failed: 403 Forbidden')))",
    "certificate": lambda repo: f"requests.exceptions.SSLError: Max retries exceeded with url: /{repo}/resolve/main/config.json "
    "(Caused by SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: Hostname mismatch')))",
    "storage 403": lambda repo: f"downloading {_file(repo)}\nERROR hf_xet: Auth failed: SignatureError: invalid key pair id (403 "
    "Forbidden) from https://cas-bridge.xethub.hf.co/xet-bridge-us/0a1b",
    "git password": lambda repo: "remote: Password authentication in git is no longer supported. You must use a user access token "
    f"or an SSH key instead.\nfatal: Authentication failed for '{HUB}/{repo}/'",
    "lfs password": lambda repo: f"batch response: Authentication required: Authorization error.\nerror: failed to fetch some objects "
    f"from '{HUB}/{repo}.git/info/lfs'",
    "wget 401": lambda repo: f"--2026-01-01--  {_file(repo)}\nHTTP request sent, awaiting response... 401 Unauthorized\n\n"
    "Username/Password Authentication Failed.",
    "page: pending": lambda _: "Your request to access this repo has been submitted, and is pending a review from the repo's authors.",
    "page: awaiting": lambda _: "Gated model: you are awaiting review from the repository authors",
    "page: rejected": lambda _: "Your request to access this repo has been rejected by the repo's authors.",
}  # fmt: skip


def play_calls(world: DownloadAttempt, cache: Path) -> dict[str, Callable[[], Any]]:
    """Return the calls of huggingface_hub in this process, each of which fails in a world where access fails."""
    from huggingface_hub import hf_hub_download, snapshot_download

    token: Any = world.argument or world.token or False
    api, where = (
        HfApi(endpoint=world.endpoint, token=token),
        {"endpoint": world.endpoint, "cache_dir": cache, "token": token},
    )
    return {
        "download": lambda: hf_hub_download(world.repo, "config.json", **where),
        "snapshot": lambda: snapshot_download(world.repo, **where),
        "check": lambda: api.auth_check(world.repo),
        "info": lambda: api.model_info(world.repo),
    }
