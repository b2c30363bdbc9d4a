"""Builds the client for sign-in with the Hub, from hf-gate.yaml or a Space's variables; or says why it is off."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from msgspec import Struct, field

from hf_gate.base.network_hosts import is_loopback_host
from hf_gate.core.people.sign_in import RoleMap
from hf_gate.errors import UsageError
from hf_gate.hub.credentials import Secret
from hf_gate.hub.drivers.local_hub_headers import get_world_id
from hf_gate.members.drivers.openid import OpenIdClient
from hf_gate.messages.channels.secret_references import resolve_secret
from hf_gate.settings.service.workspace import Workspace
from hf_gate.workspace.service import bootstrap

START_PATH: Final = "/sign-in/hub"
CALLBACK_PATH: Final = "/sign-in/hub/callback"


class HubSignIn(Struct, frozen=True):
    """Whether members can sign in with the Hub. `problem` says why not; `origin` is where browsers come back to."""

    client: OpenIdClient | None = None
    origin: str = ""
    problem: str = "hf-gate.yaml has no sign_in."
    roles: RoleMap = field(default_factory=dict)

    @property
    def redirect(self) -> str:
        """The address to register with the provider."""
        return f"{self.origin}{CALLBACK_PATH}"


def find_space_origin(environ: Mapping[str, str]) -> str | None:
    """Return the public address of the Space in which this process runs; None elsewhere."""
    host = environ.get("SPACE_HOST", "").partition(",")[0].strip()  # a Space with its own domain has several
    return f"https://{host}" if host else None


def build_hub_sign_in(
    workspace: Workspace,
    environ: Mapping[str, str],
    public_url: str | None,
    host: str,
    port: int,
    *,
    is_port_fixed: bool = True,
) -> HubSignIn:
    """Build the client from hf-gate.yaml, or from a Space's variables. A port that changes with each start is not
    enough.

    Nothing is half on: without any part, the sign-in is off, and `problem` says which part is missing.
    """
    try:
        client_id, secret = _read_client(workspace, environ)
        needs_fixed_port = get_world_id(workspace.store.endpoint) is None  # the local Hub knows every address
        origin = _find_origin(public_url, host, port if is_port_fixed or not needs_fixed_port else None)
        issuer = bootstrap.endpoint_of(workspace.settings).rstrip("/")
        _check_issuer(issuer, environ)
        _check_package()
    except UsageError as problem:
        return HubSignIn(problem=f"{problem} {problem.hint}".strip())
    client = OpenIdClient(issuer, client_id, Secret(secret), lambda: workspace.now().timestamp())
    return HubSignIn(client, origin, "", workspace.location.config.sign_in.roles)


def _read_client(workspace: Workspace, environ: Mapping[str, str]) -> tuple[str, str]:
    location = workspace.location
    config = location.config.sign_in
    folder = location.folder or Path()
    if config.client_id is not None and config.client_secret is not None:
        client_id = resolve_secret(config.client_id, "sign_in.client_id", folder)
        return client_id, resolve_secret(config.client_secret, "sign_in.client_secret", folder)
    if find_space_origin(environ) is None:
        raise UsageError(
            "hf-gate.yaml has no sign_in with a client_id.", hint="docs/team.md shows how to register one."
        )
    found = environ.get("OAUTH_CLIENT_ID", "").strip(), environ.get("OAUTH_CLIENT_SECRET", "").strip()
    if not all(found):
        raise UsageError("this Space has no OAuth client.", hint="Write `hf_oauth: true` into its README.md.")
    return found


def _find_origin(public_url: str | None, host: str, port: int | None) -> str:
    if public_url is not None:
        return public_url
    if not is_loopback_host(host) or host == "::1":
        raise UsageError(
            "other machines reach this desk without TLS.", hint="Start it with --public-url and its https address."
        )
    if port is None:
        raise UsageError(
            "the port changes with each start, so it cannot be registered.", hint="Start the desk with a fixed --port."
        )
    return f"http://127.0.0.1:{port}"


def _check_issuer(issuer: str, environ: Mapping[str, str]) -> None:
    """Refuse a provider that is not this desk's Hub: its account ids would be compared with those of another Hub."""
    stated = environ.get("OPENID_PROVIDER_URL", "").strip().rstrip("/") if find_space_origin(environ) else ""
    if stated and stated != issuer:
        raise UsageError(
            f"OPENID_PROVIDER_URL is not the desk's Hub {issuer}.", hint="Set HF_ENDPOINT to the same Hub."
        )


def _check_package() -> None:
    if find_spec("joserfc") is None:
        raise UsageError(
            "sign-in with the Hub needs the package joserfc.", hint="Install hf-gate with the extra [sign-in]."
        )
