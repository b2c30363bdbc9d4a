"""Builds a world from a seed: staff accounts with tokens, gated repos, and people with requests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import msgspec

from hf_gate.base.ids import Repo, RepoType
from hf_gate.base.timestamps import DAY_MS
from hf_gate.core.lifecycle import Status
from hf_gate.localhub.handlers.files import commit_files
from hf_gate.localhub.records import HubAccount, HubRepo, HubToken, StoredRequest
from hf_gate.localhub.world import World

from .generator import GeneratedRequest, generate_data
from .sample import DemoGate

# The staff. The owner is the first user whose namespace has a gate, or this one.
OWNER = "lena-brandt"
STAFF = (
    ("admin", "ada-admin", "Ada Keller"),
    ("writer", "wim-writer", "Wim de Graaf"),
    ("reader", "rosa-reader", "Rosa Lindt"),
)
ROLE_IN_ORG = {"owner": "admin", "admin": "admin", "writer": "write", "reader": "read"}
# Token name, account, role and permissions.
TOKENS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("owner", "owner", "write", ()),
    ("admin", "admin", "write", ()),
    ("writer", "writer", "write", ()),
    ("reader", "reader", "read", ()),
    ("stranger", "stranger", "write", ()),
    ("owner_read", "owner", "read", ()),
    ("fine_write", "owner", "fineGrained", ("repo.content.read", "repo.access.read", "repo.write")),
    ("fine_access", "owner", "fineGrained", ("repo.content.read", "repo.access.read")),
    ("fine_content", "owner", "fineGrained", ("repo.content.read",)),
)
# Fine-grained tokens of the owner for the first repo only, as the docs advise: one to read and one to decide.
REPO_TOKENS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("fine_look", ("repo.content.read", "repo.access.read")),
    ("fine_decide", ("repo.content.read", "repo.access.read", "repo.write")),
)
NO_REPOS: Mapping[str, frozenset[str]] = {}
_encode = msgspec.json.Encoder().encode


def seed_world(
    seed: int, requests: int, repos: int, preset: str, now_ms: int, *, protocol: str = "2026-10-23", world_id: str = ""
) -> World:
    """Return a new world; raise ValueError for an unknown preset."""
    world = World(seed, world_id)
    world.protocol = protocol
    generated_data = generate_data(seed, requests, repos, preset, now_ms)
    start_ms = now_ms - 900 * DAY_MS
    staff = _add_staff(world, generated_data.gates, start_ms)
    gates = [_add_gate(world, gate, staff, start_ms) for gate in generated_data.gates]
    for name, permissions in REPO_TOKENS:
        limited = {hub_repo.id: frozenset(permissions) for hub_repo in gates[:1]}
        _add_token(world, name, staff["owner"], "fineGrained", (), start_ms, limited)
    people = [world.add_account(account) for account in generated_data.accounts]
    _load_requests(world, gates, people, generated_data.rows, staff["owner"])
    world.find_accounts_by_prefix("")  # sort now, so that the first search is fast
    return world


def make_id(name: str, at_ms: int) -> str:
    """Return an id like the Hub's: the first 8 digits are the time of creation in seconds; the rest
    depends on `name`.
    """
    return f"{at_ms // 1000:08x}{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def _add_staff(world: World, gates: tuple[DemoGate, ...], start_ms: int) -> dict[str, HubAccount]:
    owner = next((gate.namespace for gate in gates if gate.owner_kind == "user"), OWNER)
    names = (("owner", owner, "Lena Brandt" if owner == OWNER else owner.replace("-", " ").title()), *STAFF)
    staff = {}
    for part, username, fullname in (*names, ("stranger", "sam-stranger", "Sam Okoye")):
        hub_id = make_id(f"{world.seed}:{username}", start_ms)
        staff[part] = world.add_account(HubAccount(hub_id, username, fullname, f"{username}@example.org"))
    for name, part, role, permissions in TOKENS:
        _add_token(world, name, staff[part], role, permissions, start_ms)
    return staff


def _add_token(
    world: World,
    name: str,
    account: HubAccount,
    role: str,
    permissions: tuple[str, ...],
    at_ms: int,
    repo_permissions: Mapping[str, frozenset[str]] = NO_REPOS,
) -> None:
    secret = f"hf_local_{name}_{world.seed}"
    world.add_token(HubToken(name, secret, account, role, frozenset(permissions), at_ms, repo_permissions))


def _add_gate(world: World, gate: DemoGate, staff: dict[str, HubAccount], start_ms: int) -> HubRepo:
    if gate.namespace.lower() not in world.names:
        hub_id = make_id(f"{world.seed}:org:{gate.namespace}", start_ms)
        org = world.add_org(HubAccount(hub_id, gate.namespace, gate.namespace.replace("-", " ").title(), kind="org"))
        org.roles.update({staff[part].id: role for part, role in ROLE_IN_ORG.items()})
    repo = Repo(RepoType(gate.repo_type), gate.namespace, gate.name)
    made = HubRepo(repo, make_id(f"{world.seed}:{repo}", start_ms), staff["owner"], start_ms, gated=gate.mode)
    files = {"README.md": gate.card.encode(), "config.json": b'{"invented": true}\n', "data/part-0.bin": b"\0" * 64}
    commit_files(made, files, "initial commit", start_ms)
    return world.add_repo(made)


def _load_requests(
    world: World, gates: list[HubRepo], people: list[HubAccount], rows: Iterable[GeneratedRequest], owner: HubAccount
) -> None:
    """Load the requests repo by repo.

    The protocol of August 2026 has no reset, so such requests are loaded as rejected.
    """
    of_repo: list[list[StoredRequest]] = [[] for _ in gates]
    for generated in rows:
        status = Status.REJECTED if world.is_old and generated.status == "reset" else Status(generated.status)
        is_granted = generated.answers is None
        is_auto = generated.gate.mode == "auto" and not is_granted
        granter = owner if status is Status.ACCEPTED and not is_auto else None
        answers = None if not generated.answers else _encode(generated.answers)
        of_repo[generated.repo_index].append(
            StoredRequest(
                generated.request_id,
                people[generated.person_index],
                status,
                generated.asked_ms,
                generated.reviewed_ms,
                granter,
                has_email=not is_granted,
                answers=answers,
            )
        )
    for hub_repo, requests in zip(gates, of_repo, strict=True):
        world.load_requests(hub_repo, requests)
