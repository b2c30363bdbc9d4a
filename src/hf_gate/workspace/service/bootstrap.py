"""Builds the Hub client, the account, the clock and the workspace from settings."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from functools import cached_property, lru_cache, partial
from pathlib import Path
from socket import gethostname
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

from hf_gate.base.environment import is_read_only, require_writes
from hf_gate.base.locks import ProcessLock, is_held
from hf_gate.base.network_hosts import PUBLIC_HUB
from hf_gate.base.private_files import make_private_folder, read_regular_file, write_private_file
from hf_gate.base.time_zones import TimeZones
from hf_gate.config import Flags, Settings, read_settings
from hf_gate.core.forms.roles import Role, role_of
from hf_gate.core.people.accounts import Account, TokenRights
from hf_gate.errors import HfGateError, HubUnavailable, NotAllowed, Offline, UsageError
from hf_gate.hub.credentials import resolve_endpoint, resolve_token
from hf_gate.hub.drivers.clock import HubClock
from hf_gate.hub.drivers.local_hub_headers import PROBE_S, get_world_id
from hf_gate.policies.facts.countries import country_code
from hf_gate.settings.service.workspace import CONFIG_FILE, WorkspaceLocation
from hf_gate.settings.workspace_config import WorkspaceConfig
from hf_gate.store.store_path import is_on_server, parse_path

if TYPE_CHECKING:
    from hf_gate.automation.service.leading import LoopLead
    from hf_gate.core.events.classification import RequestClassifier
    from hf_gate.core.requests import AccessRequest
    from hf_gate.hub.client import Hub
    from hf_gate.settings.service.workspace import Workspace
    from hf_gate.store.leases import LeaseKeeper
    from hf_gate.verdicts.drivers.domain_lists import DomainLists

_STORE_WAIT: Final = 60.0  # seconds; most syncs and runs of a desk finish sooner
_LOOP_WAIT: Final = 5.0  # seconds; a loop that is being restarted ends within this time
_ACCOUNT_MAX_AGE: Final = 24 * 3600  # seconds; the account of a token never changes, but its organisations may


def read_process_settings(flags: Flags) -> Settings:
    """Return the settings of this process."""
    return read_settings(flags, os.environ, Path.home())


def endpoint_of(settings: Settings) -> str:
    """Return the Hub's URL from these settings."""
    return resolve_endpoint(settings.endpoint)


def has_other_hub(settings: Settings) -> bool:
    """Whether commands must name the Hub and account, because they are not the default ones."""
    return endpoint_of(settings) != PUBLIC_HUB or settings.profile is not None or settings.token_from is not None


def name_of_hub(settings: Settings) -> str:
    """Return the Hub's host, with the port of a local Hub."""
    return urlsplit(endpoint_of(settings)).netloc


def has_token(settings: Settings) -> bool:
    """Whether calls carry a token."""
    return resolve_token(settings.token) is not None


def fingerprint_token(settings: Settings) -> str | None:
    """Return a short digest of the token that calls would carry now; None without a token."""
    token = resolve_token(settings.token)
    return None if token is None else token.fingerprint


def open_hub(settings: Settings) -> Hub:
    """Return a Hub client. The caller closes it."""
    from hf_gate.hub.client import Hub

    return Hub(
        token=settings.token,
        endpoint=settings.endpoint,
        timeout=settings.timeout,
        max_wait=settings.max_wait,
        insecure_http=settings.insecure_http,
        reserve=settings.reserve,
    )


def utc_now() -> datetime:
    """Return the current time in UTC by this machine's clock."""
    return datetime.now(UTC)  # noqa: TID251 - the only place that reads the clock


# ---- accounts --------------------------------------------------------------------------------------------------------


def find_token_account(hub: Callable[[], Hub], settings: Settings) -> Account | None:
    """Return the account of the token, cached for a day by the token's hash; None without a token or a `whoami` answer.

    `hub` is called only if no account is cached, because a Hub client takes 50 ms to load.
    """
    token = resolve_token(settings.token)
    if token is None:
        return None
    key = hashlib.sha256(f"{endpoint_of(settings)}\n{token.fingerprint}".encode()).hexdigest()
    moment = utc_now().timestamp()
    cached = _read_json(settings.paths.accounts)
    if (found := _cached_account(cached.get(key), moment)) is not None:
        return found
    account = _ask_account(hub())
    if account is None:
        return None
    names = {"name": account.name, "id": account.id, "orgs": list(account.orgs)}
    entry = {**names, "role": account.token_role, "at": moment}
    if is_read_only():
        return account
    with suppress(OSError):  # without a writable cache, each command makes one additional call
        fresh = {known: one for known, one in cached.items() if _is_fresh(one, moment)}
        write_private_file(settings.paths.accounts, json.dumps({**fresh, key: entry}).encode())
    return account


def _ask_account(hub: Hub) -> Account | None:
    """Ask for the account of the Hub's token; None if the Hub has no `whoami`, without which hf-gate works too."""
    try:
        return hub.whoami()
    except (NotAllowed, HubUnavailable, Offline):
        raise
    except HfGateError:
        return None


def _cached_account(entry: object, moment: float) -> Account | None:
    if not isinstance(entry, dict) or not _is_fresh(entry, moment):
        return None
    name, ident, orgs, role = (entry.get(key) for key in ("name", "id", "orgs", "role"))
    if not isinstance(name, str) or not isinstance(orgs, list):
        return None
    return Account(name, ident, tuple(map(str, orgs)), role, rights=TokenRights(role))


def _is_fresh(entry: object, moment: float) -> bool:
    at = entry.get("at") if isinstance(entry, dict) else None
    return isinstance(at, int | float) and 0 <= moment - at < _ACCOUNT_MAX_AGE


def _read_json(path: Path) -> dict[str, object]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


# ---- workspace and store ---------------------------------------------------------------------------------------------


def find_workspace_folder(settings: Settings, start: Path | None = None) -> Path | None:
    """Return the folder of the workspace: the given one, else the nearest parent folder with an
    hf-gate.yaml, or None.
    """
    if settings.workspace is not None:
        folder = settings.workspace.absolute()
        if not (folder / CONFIG_FILE).is_file():
            raise UsageError(f"{folder} is not a workspace: it has no {CONFIG_FILE}.", hint="Make one: hf-gate init.")
        return folder
    here = (start or Path.cwd()).absolute()
    return next((folder for folder in (here, *here.parents) if (folder / CONFIG_FILE).is_file()), None)


def read_location(settings: Settings) -> WorkspaceLocation:
    """Return the location of the workspace. Raises UsageError with the first error in hf-gate.yaml."""
    folder = find_workspace_folder(settings)
    if folder is None:
        return WorkspaceLocation(None, WorkspaceConfig())
    from hf_gate.policies.parsing.config_parser import parse_config
    from hf_gate.policies.parsing.policy_parser import find_foreign_urls

    file = folder / CONFIG_FILE
    try:
        text = read_regular_file(file).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{file} is not text in UTF-8.") from None
    except OSError as problem:
        raise UsageError(f"{file} cannot be read: {problem.strerror}.") from None
    parsed = parse_config(text, CONFIG_FILE, list_zones=TimeZones)
    foreign = find_foreign_urls(parsed.repo_urls, CONFIG_FILE, endpoint_of(settings))
    if parsed.config is None or foreign:
        fault = next(each for each in (*parsed.problems, *foreign) if each.is_error)
        at = f"{file}:{fault.position.line}:{fault.position.column}"
        raise UsageError(
            f"{at}: {fault.message}", hint=fault.hint or "Correct it. All problems of the files: hf-gate policy check"
        )
    return WorkspaceLocation(folder, parsed.config)


def keep_config(settings: Settings, location: WorkspaceLocation) -> None:
    """Keep a copy of hf-gate.yaml, which has just been read, for `read_last_location`."""
    if location.folder is None:
        return
    path = path_of_config_copy(settings, location.folder)
    with suppress(OSError):  # without the copy, notices wait until the file is mended
        text = read_regular_file(location.folder / CONFIG_FILE)
        if not path.exists() or path.read_bytes() != text:
            make_private_folder(path.parent)
            write_private_file(path, text)


def read_last_location(settings: Settings) -> WorkspaceLocation:
    """Return the location of the workspace. If hf-gate.yaml has an error, its copy is used.

    Raises that error if neither `hf-gate run` nor a desk has kept a copy.
    """
    try:
        return read_location(settings)
    except UsageError:
        folder = find_workspace_folder(settings)
        path = None if folder is None else path_of_config_copy(settings, folder)
        if path is None or not path.is_file():
            raise
        from hf_gate.policies.parsing.config_parser import parse_config

        config = parse_config(path.read_text("utf-8-sig"), CONFIG_FILE, list_zones=TimeZones).config
        if config is None:
            raise
        return WorkspaceLocation(folder, config)


def path_of_config_copy(settings: Settings, folder: Path) -> Path:
    """Return the file with the last hf-gate.yaml of a workspace that had no error."""
    name = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    return settings.paths.state / "configs" / f"{name}.yaml"


def store_url(settings: Settings, location: WorkspaceLocation) -> str:
    """Return the URL of the store: as in hf-gate.yaml, relative to its folder, or without a workspace one file for each
    Hub.
    """
    if location.folder is None:
        return f"sqlite:///{own_store_path(settings)}"
    scheme, mark, path = location.config.store.partition("sqlite:///")
    return f"{scheme}{mark}{location.folder / Path(path).expanduser()}" if mark else location.config.store


def own_store_path(settings: Settings) -> Path:
    """Return the file of this user's store for one Hub, which commands use outside workspaces."""
    return settings.paths.stores / _store_name(endpoint_of(settings), _probe_limit(settings))


def store_wait(settings: Settings) -> float:
    """Return the seconds that a command waits for another process that holds the store."""
    return _STORE_WAIT if settings.max_wait is None else min(_STORE_WAIT, settings.max_wait)


def has_store(settings: Settings, location: WorkspaceLocation) -> bool:
    """Whether a store exists. A store on a server always counts as existing."""
    url = store_url(settings, location)
    return is_on_server(url) or parse_path(url).is_file()


def _load_lists() -> DomainLists:
    """Load the lists of e-mail domains and countries."""
    from hf_gate.verdicts.drivers.domain_lists import load_domain_lists

    return load_domain_lists()


def _load_classifier() -> RequestClassifier:
    """Load the classifier of requests; the lists are loaded at the first e-mail address."""
    from hf_gate.verdicts.drivers.rule_versions import read_rules_version
    from hf_gate.verdicts.request_classifier import AnswerClassifier

    return AnswerClassifier(lambda: _load_lists().email, read_rules_version)


def _make_country_lookup() -> Callable[[AccessRequest], str | None]:
    """Return a function that gives the country in a request's answers, for `country:` in queries.

    The country names are loaded lazily.
    """
    is_country = lru_cache(4096)(lambda label: role_of(label) is Role.COUNTRY)
    names: dict[str, str] = {}

    @lru_cache(65_536)
    def code_of(answer: str) -> str | None:
        if not names:
            names.update(_load_lists().countries)
        return country_code(answer, names)

    def country_of(request: AccessRequest) -> str | None:
        answer = next((text for label, text in request.answers.items() if text and is_country(label)), None)
        return None if answer is None else code_of(answer)

    return country_of


def _store_name(endpoint: str, limit: float) -> str:
    """Return the file name of a Hub's store.

    For a local Hub, it includes the world id, because each start counts as another Hub.
    """
    world = get_world_id(endpoint, limit)
    name = re.sub(r"[^a-z0-9.-]+", "-", endpoint.partition("://")[2].lower()).strip("-")
    return f"{name}.{world}.db" if world else f"{name}.db"


def _probe_limit(settings: Settings) -> float:
    """Return the seconds in which a local Hub must answer with its world id."""
    return PROBE_S if settings.max_wait is None else min(max(settings.max_wait, 1.0), PROBE_S)


# ---- open workspaces -------------------------------------------------------------------------------------------------


class Connection:
    """The Hub and the account for some settings. The Hub client is loaded at its first use."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.keeper: LeaseKeeper | None = None  # of the stores that it opens; see `hold_loop_lock`
        self._closing = ExitStack()
        self._closing_earlier = ExitStack()
        self._token: str | None = None  # fingerprint; None before the first `follow_token`
        self._known_account: Account | None = None

    @cached_property
    def hub(self) -> Hub:
        """The Hub client; `close` closes it."""
        return self._closing.enter_context(open_hub(self.settings))

    @property
    def is_hub_open(self) -> bool:
        """Whether the Hub client was loaded."""
        return "hub" in vars(self)

    @cached_property
    def account(self) -> Account | None:
        """The account of the token, cached by the token's hash; None without a token."""
        return find_token_account(lambda: self.hub, self.settings)

    def read_account(self) -> Account | None:
        """Ask the Hub for the account of the token; None without a token or a `whoami` answer.

        Use this where an account counts as a person, because each user can write into the cache.
        """
        return _ask_account(self.hub) if has_token(self.settings) else None

    def follow_token(self, settings: Settings) -> str:
        """Use the token of these settings for calls that begin from now on; return its fingerprint.

        Calls in progress keep the client before. Raises UsageError if the token belongs to another account.
        """
        token = fingerprint_token(settings) or ""
        if self._token not in (None, token):
            self._replace_token(settings)
        self._token = token
        return token

    def _replace_token(self, settings: Settings) -> None:
        known = vars(self).get("account") or self._known_account
        with Connection(settings) as fresh, suppress(NotAllowed):  # the calls of the next turn report a refused token
            account = fresh.read_account()
            if known is not None and account is not None and known.id != account.id:
                raise UsageError(
                    f"the token file now holds the token of another account: {account.name}, not {known.name}.",
                    hint="Put a token of the same account there, or start hf-gate again.",
                )
            known = known or account
        self._known_account = known
        self._closing_earlier.close()
        self._closing_earlier = self._closing
        self._closing = ExitStack()
        self.settings = settings
        for name in ("hub", "account"):
            vars(self).pop(name, None)

    @cached_property
    def clock(self) -> HubClock:
        """This machine's clock, or the local Hub's clock if `HF_GATE_CLOCK=hub`."""
        return HubClock(endpoint_of(self.settings), lambda: self.hub)

    def close(self) -> None:
        """Close the Hub clients that were loaded."""
        self._closing_earlier.close()
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect_workspace(
    connection: Connection,
    location: WorkspaceLocation,
    *,
    url: str | None = None,
    read_only: bool = False,
    lends: bool = False,
    waits: bool = True,
    command: str = "",
    on_wait: Callable[[str, float], None] = lambda _, __: None,
    on_upgrade: Callable[[str], None] = lambda _: None,
) -> Workspace:
    """Open the workspace of a location, or this user's store for one Hub. The caller closes it.

    Creates the store if there is none, unless `read_only`. `lends`: other processes may write while this one does not
    (see `Store.hold_write_lock`). `url` replaces the store of the location. With `waits` false, StoreBusy is raised at
    once if another process holds the store. Other processes see `command` as the name of the holder. `on_wait`: see
    `store.write_lock`. `on_upgrade` gets one line if an older store was upgraded.
    """
    from hf_gate.settings.service.workspace import Workspace
    from hf_gate.workspace.rows.opening import WAIT_S, open_store

    settings = connection.settings
    endpoint = endpoint_of(settings)
    is_own = url is None
    url = url or store_url(settings, location)
    if is_own and not read_only:
        require_writes("the store")
    if is_own and location.folder is None and not read_only:
        make_private_folder(settings.paths.stores)
    store = open_store(
        url,
        endpoint=endpoint,
        world=get_world_id(endpoint, _probe_limit(settings)),
        read_only=read_only,
        lends=lends,
        wait=min(store_wait(settings), WAIT_S if lends else math.inf) if waits else 0.0,  # a page must not wait long
        on_wait=on_wait,
        on_upgrade=on_upgrade,
        host=gethostname(),
        command=command,
        country_of=_make_country_lookup(),
        load_classifier=_load_classifier,
        erasures=_find_erasures_file(location, url) if is_own else None,
        keeper=connection.keeper if is_own and not read_only else None,
    )
    reopen = partial(reopen_workspace, settings)

    def open_limited_hub() -> Hub:
        from hf_gate.hub.client import limit_client

        limit_client(connection.hub, store.seconds_to_call, lambda: store.sharers)
        return connection.hub

    return Workspace(
        settings,
        location,
        store,
        clock=connection.clock,
        open_hub=open_limited_hub,
        is_hub_open=lambda: connection.is_hub_open,
        reopen=reopen,
    )


def _find_erasures_file(location: WorkspaceLocation, url: str) -> Path | None:
    """Return the file beside hf-gate.yaml that lists erasures for a store on a server; a SQLite store has its own."""
    return location.folder / "erasures.jsonl" if location.folder is not None and is_on_server(url) else None


@contextmanager
def hold_loop_lock(connection: Connection, location: WorkspaceLocation) -> Iterator[LoopLead]:
    """Let one loop at a time run the turns of a workspace within the block.

    On SQLite, raises StoreBusy if another one does. On PostgreSQL, several loops may run, and the stores that the
    connection opens check the lease of the one that leads.
    """
    from hf_gate.automation.service.leading import LoopLead
    from hf_gate.store.leases import LeaseKeeper, hold_work_lock
    from hf_gate.store.write_lock import Holder, Work

    url = store_url(connection.settings, location)
    who = Holder(os.getpid(), gethostname(), "hf-gate run")
    if location.folder is None:
        yield LoopLead()
    elif url.startswith("sqlite:"):
        with hold_work_lock(url, who, Work.LOOP, _LOOP_WAIT):
            yield LoopLead()
    else:
        connection.keeper = LeaseKeeper(url, who)
        try:
            yield LoopLead(connection.keeper)
        finally:
            connection.keeper.close()


def reopen_workspace(settings: Settings) -> Workspace:
    """Open the workspace of these settings read-only, in another process."""
    return connect_workspace(Connection(settings), read_location(settings), read_only=True)


def name_of_local_zone() -> str:
    """Return the IANA name of this machine's time zone; UTC if it has none."""
    link = os.environ.get("TZ", "").lstrip(":") or str(Path("/etc/localtime").resolve()).partition("/zoneinfo/")[2]
    return link if link in TimeZones() else "UTC"


# ---- announcements ---------------------------------------------------------------------------------------------------


@contextmanager
def publish_process(path: Path, about: Mapping[str, object]) -> Iterator[None]:
    """Publish `about` in a private file while this process runs; `locks.read_announcement` reads it.

    A later process may replace the file. The file is valid while the lock file that it names is held.
    """
    make_private_folder(path.parent)
    _remove_lock_of_ended(path)
    lock_path = path.with_name(f"{path.name}.{secrets.token_hex(4)}.lock")
    lock = ProcessLock(lock_path)
    if not lock.acquire(1.0):
        raise UsageError(f"{lock_path} cannot be locked.", hint="Start the command again.")
    try:
        write_private_file(path, json.dumps({**about, "pid": os.getpid(), "lock": lock_path.name}).encode())
        yield
    finally:
        if _read_json(path).get("lock") == lock_path.name:
            path.unlink(missing_ok=True)
        lock.release()
        lock_path.unlink(missing_ok=True)


def _remove_lock_of_ended(path: Path) -> None:
    """Remove the lock file that a killed process left behind."""
    name = str(_read_json(path).get("lock", ""))
    if re.fullmatch(rf"{re.escape(path.name)}\.[0-9a-f]{{8}}\.lock", name) and not is_held(path.with_name(name)):
        path.with_name(name).unlink(missing_ok=True)


@contextmanager
def publish_profile(settings: Settings, name: str, endpoint: str, token: str, folder: Path) -> Iterator[Path]:
    """Publish a profile while this process runs, so that `--profile NAME` uses this endpoint and token.

    `folder` becomes its workspace. It also holds what commands with this profile cache, so that both go together.
    """
    path = settings.paths.profiles / f"{name}.json"
    cache = folder / ".cache" / "hf-gate"
    about = {"endpoint": endpoint, "token": token, "workspace": str(folder), "cache": str(cache)}
    with publish_process(path, about):
        yield path
