"""Keeps a world in one file, written whole or not at all, and makes it again from there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Raw, Struct

from ..domain.ids import Repo, RepoType
from ..domain.lifecycle import Status
from .records import Account, Commit, Gated, Moved, Token
from .shelf import Row
from .world import World

VERSION = 1
WORLD, ORACLE = "world.json", "oracle.jsonl"


class _Account(Struct, array_like=True):
    id: str
    username: str
    fullname: str
    email: str | None
    kind: str
    is_pro: bool
    verified_orgs: tuple[str, ...]
    orgs: tuple[tuple[str, str, str], ...]
    counts: tuple[int, int, int]


class _Token(Struct):
    name: str
    secret: str
    account: str
    role: str
    permissions: list[str]
    created_ms: int
    repos: list[str] | None = None


class _Row(Struct, array_like=True):
    id: str
    account: str
    status: Status
    asked_ms: int
    reviewed_ms: int | None
    granter: str | None
    mailed: bool
    answers: Raw  # null for none


class _Repo(Struct):
    type: RepoType
    namespace: str
    name: str
    id: str
    creator: str
    created_ms: int
    settings: dict[str, str | bool | None]
    commits: list[Commit]
    rows: list[_Row]


class _Moved(Struct, array_like=True):
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


class Kept(Struct):
    """The file. `now_ms` is where the Hub's clock stood."""

    version: int
    now_ms: int
    seed: int
    world_id: str
    made: int
    accounts: list[_Account]
    orgs: dict[str, dict[str, str]]
    tokens: list[_Token]
    revoked: list[str]
    repos: list[_Repo]
    renamed: list[tuple[RepoType, str, tuple[str, str]]]
    journal: list[_Moved]
    outbox: list[dict[str, str | None]]


_SETTINGS = ("gated", "visibility", "org_members_gated", "notify_mode", "notify_email", "hide_usernames", "hide_emails")


def private(path: Path) -> BinaryIO:
    """A file to write that nobody else may read: it holds tokens, or what is true of people."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, 0o600), "wb")


def save(world: World, folder: Path, now_ms: int) -> None:
    """Atomic: a reader sees the world before or the world after. OSError when the folder cannot be written."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    target = folder / WORLD
    scratch = target.with_name(f".{WORLD}.{os.getpid()}")
    with private(scratch) as file:
        file.write(msgspec.json.encode(_kept(world, now_ms)))
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(target)


def load(folder: Path) -> tuple[World, int] | None:
    """The world and where its clock stood; None when none is kept. ValueError when the file is no world."""
    path = folder / WORLD
    if not path.exists():
        return None
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=Kept)
    except msgspec.DecodeError as error:
        raise ValueError(f"{path} is no world of a local Hub ({error}); move it away to begin anew") from None
    if kept.version != VERSION:
        raise ValueError(f"{path} was kept by another version ({kept.version}); move it away to begin anew")
    return _world(kept), kept.now_ms


def _kept(world: World, now_ms: int) -> Kept:
    return Kept(
        VERSION,
        now_ms,
        world.seed,
        world.world_id,
        world.made,
        [
            _Account(a.id, a.username, a.fullname, a.email, a.kind, a.is_pro, a.verified_orgs, a.orgs, a.counts)
            for a in world.accounts.values()
        ],
        {org.account.id: org.roles for org in world.orgs.values()},
        [
            _Token(
                t.name,
                t.secret,
                t.account.id,
                t.role,
                sorted(t.permissions),
                t.created_ms,
                None if t.repos is None else sorted(t.repos),
            )
            for t in world.tokens.values()
        ],
        sorted(world.revoked),
        [_kept_repo(gated) for gated in world.repos.values()],
        [(of, name, (repo.namespace, repo.name)) for (of, name), repo in world.renamed.items()],
        [
            _Moved(m.seq, m.at_ms, (m.repo.type, m.repo.namespace, m.repo.name), m.request_id, m.account.id, *m[5:])
            for m in world.journal
        ],
        world.outbox,
    )


def _kept_repo(gated: Gated) -> _Repo:
    rows = [
        _Row(
            r.id, r.account.id, r.status, r.asked_ms, r.reviewed_ms, r.granter.id if r.granter else None, r.mailed,
            Raw(r.answers or b"null"),
        )
        for r in gated.requests.values()
    ]  # fmt: skip
    return _Repo(
        gated.repo.type, gated.repo.namespace, gated.repo.name, gated.id, gated.creator.id, gated.created_ms,
        {key: getattr(gated, key) for key in _SETTINGS}, gated.commits, rows,
    )  # fmt: skip


def _world(kept: Kept) -> World:
    world = World(kept.seed, kept.world_id)
    world.made, world.outbox, world.revoked = kept.made, kept.outbox, set(kept.revoked)
    for a in kept.accounts:
        account = Account(
            a.id, a.username, a.fullname, a.email,
            kind=a.kind, is_pro=a.is_pro, verified_orgs=a.verified_orgs, orgs=a.orgs, counts=a.counts,
        )  # fmt: skip
        if a.id in kept.orgs:
            world.add_org(account).roles.update(kept.orgs[a.id])
        else:
            world.add_account(account)
    for t in kept.tokens:
        world.add_token(
            Token(
                t.name,
                t.secret,
                world.accounts[t.account],
                t.role,
                frozenset(t.permissions),
                t.created_ms,
                None if t.repos is None else frozenset(t.repos),
            )
        )
    world.called("")  # sorts them, so that the first search need not
    for repo in kept.repos:
        _put(world, repo)
    for of, name, (namespace, new) in kept.renamed:
        world.renamed[of, name] = Repo(of, namespace, new)
    for m in kept.journal:
        account, repo_then = world.accounts[m.account], Repo(*m.repo)
        move = (m.before, m.after, m.route, m.token, m.user or account.username)
        world.journal.append(Moved(m.seq, m.at_ms, repo_then, m.request_id, account, *move))
    return world


def _put(world: World, kept: _Repo) -> None:
    people = world.accounts
    gated = Gated(Repo(kept.type, kept.namespace, kept.name), kept.id, people[kept.creator], kept.created_ms)
    for key in _SETTINGS:
        setattr(gated, key, kept.settings[key])
    gated.commits = kept.commits
    rows = [
        Row(
            r.id, people[r.account], r.status, r.asked_ms, r.reviewed_ms, people[r.granter] if r.granter else None,
            mailed=r.mailed, answers=None if r.answers == b"null" else bytes(r.answers),
        )
        for r in kept.rows
    ]  # fmt: skip
    world.add_repo(gated)
    world.load(gated, rows)
