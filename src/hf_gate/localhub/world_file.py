"""Saves a world in one file, atomically, and loads it from there."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from hf_gate.base.decoding import decode_json
from hf_gate.base.ids import Repo, RepoType
from hf_gate.base.private_files import write_private_file
from hf_gate.core.lifecycle import Status

from .records import Commit, HubAccount, HubRepo, HubToken, JournalEntry, StoredRequest
from .world import World

VERSION = 2
WORLD_FILE = "world.json"
ORACLE_FILE = "oracle.jsonl"


class _SavedRequest(Struct, array_like=True):
    id: str
    account: str
    status: Status
    asked_ms: int
    reviewed_ms: int | None
    granter: str | None
    mailed: bool
    answers: Raw  # null without a value


class _SavedRepo(Struct):
    type: RepoType
    namespace: str
    name: str
    id: str
    creator: str
    created_ms: int
    settings: dict[str, str | bool | None]
    commits: list[Commit]
    rows: list[_SavedRequest]


class SavedWorld(Struct):
    """The content of the file. `now_ms` is the time by the Hub's clock."""

    version: int
    now_ms: int
    seed: int
    world_id: str
    made: int
    accounts: list[HubAccount]
    orgs: dict[str, dict[str, str]]
    tokens: list[HubToken]
    revoked: list[str]
    repos: list[_SavedRepo]
    renamed: list[tuple[RepoType, str, tuple[str, str]]]
    journal: list[JournalEntry]
    outbox: list[dict[str, str | None]]


_SETTINGS = (
    "gated",
    "visibility",
    "org_members_gated",
    "notify_mode",
    "notify_email",
    "hide_usernames",
    "hide_emails",
    "is_disabled",
)


def save_world(world: World, folder: Path, now_ms: int) -> None:
    """Write the world to its file atomically. Raises OSError if the folder cannot be written."""
    write_private_file(folder / WORLD_FILE, msgspec.json.encode(_to_saved_world(world, now_ms)))


def load_world(folder: Path) -> tuple[World, int] | None:
    """Return the saved world and its time; None if there is no file. Raise ValueError if the file is invalid."""
    path = folder / WORLD_FILE
    if not path.exists():
        return None
    try:
        saved = decode_json(path.read_bytes(), SavedWorld)
    except msgspec.DecodeError as error:
        raise ValueError(
            f"{path} is not a saved local Hub ({error}); move the file away to start with a new world"
        ) from None
    if saved.version != VERSION:
        raise ValueError(
            f"{path} was saved by another version ({saved.version}); move the file away to start with a new world"
        )
    return _from_saved_world(saved), saved.now_ms


def _to_saved_world(world: World, now_ms: int) -> SavedWorld:
    return SavedWorld(
        VERSION,
        now_ms,
        world.seed,
        world.world_id,
        world.id_counter,
        list(world.accounts.values()),
        {org.account.id: org.roles for org in world.orgs.values()},
        list(world.tokens.values()),
        sorted(world.revoked),
        [_to_saved_repo(hub_repo) for hub_repo in world.repos.values()],
        [(of, name, (repo.namespace, repo.name)) for (of, name), repo in world.renamed.items()],
        world.journal,
        world.outbox,
    )


def _to_saved_repo(hub_repo: HubRepo) -> _SavedRepo:
    rows = [
        _SavedRequest(
            r.id,
            r.account.id,
            r.status,
            r.asked_ms,
            r.reviewed_ms,
            r.granter.id if r.granter else None,
            r.has_email,
            Raw(r.answers or b"null"),
        )
        for r in hub_repo.requests.values()
    ]
    return _SavedRepo(
        hub_repo.repo.type,
        hub_repo.repo.namespace,
        hub_repo.repo.name,
        hub_repo.id,
        hub_repo.creator.id,
        hub_repo.created_ms,
        {key: getattr(hub_repo, key) for key in _SETTINGS},
        hub_repo.commits,
        rows,
    )


def _from_saved_world(saved: SavedWorld) -> World:
    world = World(saved.seed, saved.world_id)
    world.id_counter = saved.made
    world.outbox = saved.outbox
    world.revoked = set(saved.revoked)
    for account in saved.accounts:
        if account.id in saved.orgs:
            world.add_org(account).roles.update(saved.orgs[account.id])
        else:
            world.add_account(account)
    for token in saved.tokens:
        world.add_token(replace(token, account=world.accounts[token.account.id]))
    world.find_accounts_by_prefix("")  # sort now, so that the first search is fast
    for repo in saved.repos:
        _restore_repo(world, repo)
    for of, name, (namespace, new) in saved.renamed:
        world.renamed[of, name] = Repo(of, namespace, new)
    world.journal = [entry._replace(account=world.accounts[entry.account.id]) for entry in saved.journal]
    return world


def _restore_repo(world: World, saved: _SavedRepo) -> None:
    people = world.accounts
    hub_repo = HubRepo(Repo(saved.type, saved.namespace, saved.name), saved.id, people[saved.creator], saved.created_ms)
    for key in saved.settings.keys() & set(_SETTINGS):
        setattr(hub_repo, key, saved.settings[key])
    hub_repo.commits = saved.commits
    rows = [
        StoredRequest(
            r.id,
            people[r.account],
            r.status,
            r.asked_ms,
            r.reviewed_ms,
            people[r.granter] if r.granter else None,
            has_email=r.mailed,
            answers=None if bytes(r.answers) == b"null" else bytes(r.answers),
        )
        for r in saved.rows
    ]
    world.add_repo(hub_repo)
    world.load_requests(hub_repo, rows)
