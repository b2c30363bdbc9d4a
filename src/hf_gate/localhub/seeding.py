"""Makes a world from a seed: the house accounts and their tokens, the gates, and the people who asked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import msgspec

from ..domain.ids import Repo, RepoType
from ..domain.lifecycle import Status
from .gates import DemoGate
from .handlers_files import commit_files
from .people import Drawn, Scene, oracle_line, scene
from .records import Account, Gated, Token
from .shelf import Row
from .world import World

DAY_MS = 86_400_000
# Who runs the house. The owner is the first user in whose namespace a gate stands, or this one.
OWNER = "lena-brandt"
HOUSE = (
    ("admin", "ada-admin", "Ada Keller"),
    ("writer", "wim-writer", "Wim de Graaf"),
    ("reader", "rosa-reader", "Rosa Lindt"),
)
ROLE_IN_ORG = {"owner": "admin", "admin": "admin", "writer": "write", "reader": "read"}
# Token name, the account that holds it, role, permissions.
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
# Fine-grained tokens of the owner that count at the first repo alone, as the docs advise: one to look, one to decide.
REPO_TOKENS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("fine_look", ("repo.content.read", "repo.access.read")),
    ("fine_decide", ("repo.content.read", "repo.access.read", "repo.write")),
)
_encode = msgspec.json.Encoder().encode


def seed_world(
    seed: int, requests: int, repos: int, preset: str, now_ms: int, *, protocol: str = "2026-10-23", world_id: str = ""
) -> tuple[World, Scene]:
    """The world and the scene it was drawn from (for the oracle). ValueError for an unknown preset."""
    world = World(seed, world_id)
    world.protocol = protocol
    drawn = scene(seed, requests, repos, preset, now_ms)
    start_ms = now_ms - 900 * DAY_MS
    staff = _house(world, drawn.gates, start_ms)
    gates = [_gate(world, gate, staff, start_ms) for gate in drawn.gates]
    first = frozenset(gated.id for gated in gates[:1])
    for name, permissions in REPO_TOKENS:
        _token(world, name, staff["owner"], "fineGrained", permissions, start_ms, first)
    people = [
        world.add_account(
            Account(
                a.id,
                a.username,
                a.fullname,
                a.email,
                is_pro=a.is_pro,
                verified_orgs=a.verified_orgs,
                orgs=tuple((o.id, o.name, o.fullname) for o in a.orgs),
                counts=(a.num_models, a.num_datasets, a.num_followers),
            )
        )
        for a in drawn.accounts
    ]
    _load(world, gates, people, drawn.rows, staff["owner"])
    world.called("")  # sorts them, so that the first search need not
    return world, drawn


def oracle(drawn: Scene) -> Iterator[bytes]:
    """What is true of each request, one line of JSON each; never on the wire."""
    return (oracle_line(row) for row in drawn.rows)


def fixed_id(name: str, at_ms: int) -> str:
    """An id whose first 8 digits are its second, as the Hub's are, and the rest comes from a name."""
    return f"{at_ms // 1000:08x}{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def _house(world: World, gates: tuple[DemoGate, ...], start_ms: int) -> dict[str, Account]:
    owner = next((gate.namespace for gate in gates if gate.owner_kind == "user"), OWNER)
    names = (("owner", owner, "Lena Brandt" if owner == OWNER else owner.replace("-", " ").title()), *HOUSE)
    staff = {}
    for part, username, fullname in (*names, ("stranger", "sam-stranger", "Sam Okoye")):
        hub_id = fixed_id(f"{world.seed}:{username}", start_ms)
        staff[part] = world.add_account(Account(hub_id, username, fullname, f"{username}@example.org"))
    for name, part, role, permissions in TOKENS:
        _token(world, name, staff[part], role, permissions, start_ms)
    return staff


def _token(
    world: World,
    name: str,
    account: Account,
    role: str,
    permissions: tuple[str, ...],
    at_ms: int,
    repos: frozenset[str] | None = None,
) -> None:
    secret = f"hf_local_{name}_{world.seed}"
    world.add_token(Token(name, secret, account, role, frozenset(permissions), at_ms, repos))


def _gate(world: World, gate: DemoGate, staff: dict[str, Account], start_ms: int) -> Gated:
    if gate.namespace.lower() not in world.names:
        hub_id = fixed_id(f"{world.seed}:org:{gate.namespace}", start_ms)
        org = world.add_org(Account(hub_id, gate.namespace, gate.namespace.replace("-", " ").title(), kind="org"))
        org.roles.update({staff[part].id: role for part, role in ROLE_IN_ORG.items()})
    repo = Repo(RepoType(gate.repo_type), gate.namespace, gate.name)
    made = Gated(repo, fixed_id(f"{world.seed}:{repo}", start_ms), staff["owner"], start_ms, gated=gate.mode)
    files = {"README.md": gate.card.encode(), "config.json": b'{"invented": true}\n', "data/part-0.bin": b"\0" * 64}
    commit_files(made, files, "initial commit", start_ms)
    return world.add_repo(made)


def _load(world: World, gates: list[Gated], people: list[Account], rows: Iterable[Drawn], owner: Account) -> None:
    """In repo order, one repo at a time. A Hub of August 2026 has no reset: those requests are rejected there."""
    of_repo: list[list[Row]] = [[] for _ in gates]
    for drawn in rows:
        status = Status.REJECTED if world.is_old and drawn.status == "reset" else Status(drawn.status)
        is_auto = gates[drawn.repo_index].gated == "auto" and not drawn.granted
        granter = owner if status is Status.ACCEPTED and not is_auto else None
        answers = None if not drawn.answers else _json(drawn.answers)
        of_repo[drawn.repo_index].append(
            Row(
                drawn.request_id, people[drawn.person_index], status, drawn.asked_ms, drawn.reviewed_ms, granter,
                mailed=not drawn.granted, answers=answers,
            )
        )  # fmt: skip
    for gated, requests in zip(gates, of_repo, strict=True):
        world.load(gated, requests)


def _json(answers: dict[str, str]) -> bytes:
    """Valid on the wire whatever a generator draws: a lone surrogate becomes U+FFFD."""
    try:
        return _encode(answers)
    except UnicodeEncodeError:
        return _encode({_whole(label): _whole(text) for label, text in answers.items()})


def _whole(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
