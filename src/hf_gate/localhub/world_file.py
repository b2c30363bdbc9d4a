"""Saves a world in one file, atomically, and loads it from there."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Raw, Struct

from ..decoding import decode_json
from ..domain.ids import Repo, RepoType
from ..domain.lifecycle import Status
from ..private_files import write_private_file
from .records import Commit, HubAccount, HubRepo, HubToken, JournalEntry, StoredRequest
from .world import World

VERSION = 1
WORLD_FILE, ORACLE_FILE = "world.json", "oracle.jsonl"


class _SavedToken(Struct):
    name: str
    secret: str
    account: str
    role: str
    permissions: list[str]
    created_ms: int
    repos: list[str] | None = None  # earlier versions: the permissions apply to these repos only
    repo_permissions: dict[str, frozenset[str]] = {}
    can_read_gated: bool = False
    is_expired: bool = False
    restrictions: tuple[str, ...] = ()


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


class _SavedJournalEntry(Struct, array_like=True):
    seq: int
    at_ms: int
    repo: tuple[RepoType, str, str]
    request_id: str
    account: str
    before: Status | None
    after: Status | None
    route: str
    token: str
    user: str = ""


class SavedWorld(Struct):
    """The content of the file. `now_ms` is the time by the Hub's clock."""

    version: int
    now_ms: int
    seed: int
    world_id: str
    made: int
    accounts: list[HubAccount]
    orgs: dict[str, dict[str, str]]
    tokens: list[_SavedToken]
    revoked: list[str]
    repos: list[_SavedRepo]
    renamed: list[tuple[RepoType, str, tuple[str, str]]]
    journal: list[_SavedJournalEntry]
    outbox: list[dict[str, str | None]]


_SETTINGS = (
    "gated", "visibility", "org_members_gated", "notify_mode", "notify_email", "hide_usernames", "hide_emails", "is_disabled",
)  # fmt: skip


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
        [
            _SavedToken(
                t.name,
                t.secret,
                t.account.id,
                t.role,
                sorted(t.permissions),
                t.created_ms,
                None,
                dict(t.repo_permissions),
                t.can_read_gated,
                t.is_expired,
                t.restrictions,
            )
            for t in world.tokens.values()
        ],
        sorted(world.revoked),
        [_to_saved_repo(hub_repo) for hub_repo in world.repos.values()],
        [(of, name, (repo.namespace, repo.name)) for (of, name), repo in world.renamed.items()],
        [
            _SavedJournalEntry(
                m.seq, m.at_ms, (m.repo.type, m.repo.namespace, m.repo.name), m.request_id, m.account.id, *m[5:]
            )
            for m in world.journal
        ],
        world.outbox,
    )


def _to_saved_repo(hub_repo: HubRepo) -> _SavedRepo:
    rows = [
        _SavedRequest(
            r.id, r.account.id, r.status, r.asked_ms, r.reviewed_ms, r.granter.id if r.granter else None, r.has_email,
            Raw(r.answers or b"null"),
        )
        for r in hub_repo.requests.values()
    ]  # fmt: skip
    return _SavedRepo(
        hub_repo.repo.type, hub_repo.repo.namespace, hub_repo.repo.name, hub_repo.id, hub_repo.creator.id, hub_repo.created_ms,
        {key: getattr(hub_repo, key) for key in _SETTINGS}, hub_repo.commits, rows,
    )  # fmt: skip


def _from_saved_world(saved: SavedWorld) -> World:
    world = World(saved.seed, saved.world_id)
    world.id_counter, world.outbox, world.revoked = saved.made, saved.outbox, set(saved.revoked)
    for account in saved.accounts:
        if account.id in saved.orgs:
            world.add_org(account).roles.update(saved.orgs[account.id])
        else:
            world.add_account(account)
    for t in saved.tokens:
        world.add_token(
            HubToken(
                t.name,
                t.secret,
                world.accounts[t.account],
                t.role,
                frozenset(t.permissions if t.repos is None else ()),
                t.created_ms,
                t.repo_permissions | dict.fromkeys(t.repos or (), frozenset(t.permissions)),
                t.can_read_gated,
                t.is_expired,
                t.restrictions,
            )
        )
    world.find_accounts_by_prefix("")  # sort now, so that the first search is fast
    for repo in saved.repos:
        _restore_repo(world, repo)
    for of, name, (namespace, new) in saved.renamed:
        world.renamed[of, name] = Repo(of, namespace, new)
    for m in saved.journal:
        account, repo_then = world.accounts[m.account], Repo(*m.repo)
        move = (m.before, m.after, m.route, m.token, m.user or account.username)
        world.journal.append(JournalEntry(m.seq, m.at_ms, repo_then, m.request_id, account, *move))
    return world


def _restore_repo(world: World, saved: _SavedRepo) -> None:
    people = world.accounts
    hub_repo = HubRepo(Repo(saved.type, saved.namespace, saved.name), saved.id, people[saved.creator], saved.created_ms)
    for key in saved.settings.keys() & set(_SETTINGS):
        setattr(hub_repo, key, saved.settings[key])
    hub_repo.commits = saved.commits
    rows = [
        StoredRequest(
            r.id, people[r.account], r.status, r.asked_ms, r.reviewed_ms, people[r.granter] if r.granter else None,
            has_email=r.mailed, answers=None if r.answers == b"null" else bytes(r.answers),
        )
        for r in saved.rows
    ]  # fmt: skip
    world.add_repo(hub_repo)
    world.load_requests(hub_repo, rows)
