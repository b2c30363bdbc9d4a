"""The Hub's answers that are not about requests: repos, accounts, organisations."""

from __future__ import annotations

from typing import Any

from ..domain.frontmatter import front_matter
from ..domain.ids import Repo, RepoType, parse_repo
from ..domain.yamltext import Mapping, Node, Scalar, Sequence, parse
from ..errors import InvalidRepo
from .context import NO_RIGHT, Context
from .handlers_files import commit_at, commit_files
from .handlers_lists import next_link
from .records import Account, Commit, Gated, Token
from .wire import Answered, Refusal, iso, json_answer, text_answer
from .zod import Body, number

# ---- repos --------------------------------------------------------------------------------------------------------------

_FULL = ("author", "cardData", "createdAt", "disabled", "downloads", "gated", "lastModified", "likes", "private", "sha", "siblings", "tags")  # fmt: skip
_BRIEF = ("author", "createdAt", "disabled", "downloads", "gated", "lastModified", "likes", "private", "sha", "tags")


def info(c: Context) -> Answered:
    return json_answer(_described(c.gated, commit_at(c), _expanded(c, _FULL)))


def _expanded(c: Context, default: tuple[str, ...]) -> tuple[str, ...]:
    wanted = tuple(value for key, value in c.asked.pairs if key in {"expand[]", "expand"})
    for key in wanted:
        if key not in _FULL and key not in {
            "modelId",
            "usedStorage",
            "resourceGroup",
            "downloadsAllTime",
            "trendingScore",
        }:
            options = "|".join(f'"{name}"' for name in _FULL)
            raise Refusal(400, f"✖ Invalid option: expected one of {options}\n  → at expand")
    return wanted or default


def _described(gated: Gated, at: Commit, keys: tuple[str, ...]) -> dict[str, object]:
    card = card_data(at.files.get("README.md", b""))
    values: dict[str, object] = {
        "author": gated.repo.namespace,
        "cardData": card,
        "createdAt": iso(gated.created_ms),
        "disabled": False,
        "downloads": 0,
        "downloadsAllTime": 0,
        "gated": gated.gated,
        "lastModified": iso(at.at_ms),
        "likes": 0,
        "modelId": gated.repo.id,
        "private": gated.visibility == "private",
        "sha": at.oid,
        "siblings": [{"rfilename": path} for path in sorted(at.files)],
        "tags": [tag for tag in card.get("tags", []) if isinstance(tag, str)],
        "trendingScore": 0,
        "usedStorage": sum(map(len, at.files.values())),
    }
    return {"_id": gated.id, "id": gated.repo.id} | {key: values[key] for key in keys if key in values}


def card_data(readme: bytes) -> dict[str, Any]:
    """The metadata of a card as JSON; what is not YAML is no metadata."""
    block = front_matter(readme.decode("utf-8", "replace"))
    root = parse(block.text).root if block.text is not None else None
    value = _plain(root) if isinstance(root, Mapping) else {}
    return value if isinstance(value, dict) else {}


_WORDS: dict[str, object] = {"true": True, "false": False, "null": None, "~": None, "": None}


def _plain(node: Node) -> object:
    match node:
        case Mapping():
            return {key.text: _plain(value) for key, value in node.pairs if isinstance(key, Scalar)}
        case Sequence():
            return [_plain(item) for item in node.items]
        case Scalar(plain=True) if node.text.lower() in _WORDS:
            return _WORDS[node.text.lower()]
        case Scalar():
            return int(node.text) if node.plain and node.text.isdecimal() and len(node.text) < 16 else node.text
        case _:
            return None


def list_repos(c: Context) -> Answered:
    params, token = c.asked.params, c.token
    of = RepoType.DATASET if c.call.parts["T"] == "datasets" else RepoType.MODEL
    keys = _expanded(c, _FULL if params.get("full", "").lower() in {"true", "1"} else _BRIEF)
    limit = number(params.get("limit"), "limit", 1, 1000, 1000)
    start = number(params.get("cursor"), "cursor", 0, 1 << 40, 0)
    found = [
        g for g in c.world.repos.values() if g.repo.type is of and _matches(g, params) and c.world.may_see(token, g)
    ]
    answer = json_answer([_described(g, g.head, keys) for g in found[start : start + limit]])
    return answer.having(Link=next_link(c, str(start + limit))) if start + limit < len(found) else answer


def _matches(gated: Gated, params: dict[str, str]) -> bool:
    author, search, mode = params.get("author"), params.get("search", ""), params.get("gated", "").lower()
    if author is not None and gated.repo.namespace.lower() != author.lower():
        return False
    if mode in {"true", "false", "auto", "manual"}:
        said = {"true": gated.gated is not False, "false": gated.gated is False}
        if not said.get(mode, gated.gated == mode):
            return False
    return search.lower() in gated.repo.id.lower()


def create_repo(c: Context) -> Answered:
    caller = c.caller
    body = Body(c.asked.body)
    of, name = body.text("type") or "model", body.text("name", needed=True) or ""
    visibility, private = body.text("visibility"), body.flag("private")
    namespace = body.text("organization") if body.values.get("organization") is not None else None
    body.settle()
    if of not in {"model", "dataset"}:
        raise Refusal(400, "The local Hub has models and datasets only")
    try:
        repo = parse_repo(f"{namespace or caller.account.username}/{name}", RepoType(of))
    except InvalidRepo as refused:
        raise Refusal(400, f"✖ {refused}\n  → at name") from None
    if caller.role != "write" or c.world.role(caller.account, repo.namespace) not in {
        "owner",
        "admin",
        "write",
        "contributor",
    }:
        raise Refusal(403, f'You don\'t have the rights to create a {of} under the namespace "{repo.namespace}"')
    url = f"{c.asked.base_url}/{repo.web_path}"
    if (there := c.world.find(repo)) is not None:
        return json_answer({"error": f"You already created this {of} repo", "url": url, "id": there.id}, 409)
    made = Gated(repo, c.world.new_id(c.now_ms), caller.account, c.now_ms)
    made.visibility = visibility or ("private" if private else "public")
    commit_files(
        made, {".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"}, "initial commit", c.now_ms
    )
    c.world.add_repo(made)
    return json_answer({"url": url, "name": repo.id, "id": made.id})


def delete_repo(c: Context) -> Answered:
    caller = c.caller
    body = Body(c.asked.body)
    of, name = body.text("type") or "model", body.text("name", needed=True) or ""
    namespace = body.text("organization") if body.values.get("organization") is not None else None
    body.settle()
    if of not in {"model", "dataset"}:
        raise Refusal(404, "Repository not found", "RepoNotFound")
    gated = c.repo(Repo(RepoType(of), namespace or caller.account.username, name))
    if not c.world.may_write(caller, gated):
        raise Refusal(403, NO_RIGHT)
    c.world.drop_repo(gated)
    return text_answer("OK")


# ---- accounts -----------------------------------------------------------------------------------------------------------


def whoami(c: Context) -> Answered:
    token = c.caller
    account = token.account
    carried: dict[str, object] = {"displayName": token.name, "role": token.role, "createdAt": iso(token.created_ms)}
    if token.role == "fineGrained":
        scoped = [{"entity": entity, "permissions": sorted(token.permissions)} for entity in _entities(c, token)]
        carried["fineGrained"] = {"scoped": scoped, "global": [], "canReadGatedRepos": False}
    return json_answer({
        "type": "user", "id": account.id, "name": account.username, "fullname": account.fullname, "email": account.email,
        "emailVerified": True, "canPay": False, "billingMode": "prepaid", "periodEnd": None, "isPro": account.is_pro,
        "avatarUrl": account.avatar, "orgs": _my_orgs(c, token), "auth": {"type": "access_token", "accessToken": carried},
    })  # fmt: skip


def _entities(c: Context, token: Token) -> list[dict[str, object]]:
    """Where a fine-grained token counts: at the repos that it names, else at its account and that one's organisations."""
    if token.repos is not None:
        named = [gated for gated in c.world.repos.values() if gated.id in token.repos]
        return [{"_id": gated.id, "name": gated.repo.id, "type": gated.repo.type.value} for gated in named]
    orgs = [org.account for org in c.world.orgs.values() if token.account.id in org.roles]
    return [{"_id": each.id, "name": each.username, "type": each.kind} for each in (token.account, *orgs)]


def _my_orgs(c: Context, token: Token) -> list[dict[str, object]]:
    mine = [org for org in c.world.orgs.values() if token.account.id in org.roles]
    return [
        {
            "type": "org", "id": org.account.id, "name": org.account.username, "fullname": org.account.fullname,
            "email": None, "canPay": False, "billingMode": "postpaid", "periodEnd": None,
            "avatarUrl": org.account.avatar, "roleInOrg": org.roles[token.account.id],
        }
        for org in mine
    ]  # fmt: skip


def overview(c: Context) -> Answered:
    _ = c.token
    account = c.world.named(c.call.parts["user"])
    if account is None:
        raise Refusal(404, "This user does not exist")
    models, datasets, followers = account.counts
    return json_answer({
        "_id": account.id, "avatarUrl": account.avatar, "isPro": account.is_pro, "fullname": account.fullname,
        "numModels": models, "numDatasets": datasets, "numSpaces": 0, "numDiscussions": 0, "numPapers": 0,
        "numUpvotes": 0, "numLikes": 0, "numFollowers": followers, "numFollowing": 0,
        "orgs": [
            {"id": org_id, "name": name, "fullname": full, "avatarUrl": f"/avatars/{org_id}.svg"} for org_id, name, full in account.orgs
        ],
        "user": account.username, "type": "user", "isFollowing": False, "createdAt": iso(account.created_ms),
    })  # fmt: skip


def members(c: Context) -> Answered:
    caller = c.caller
    org = c.world.orgs.get(c.call.parts["org"].lower())
    if org is None:
        raise Refusal(404, "This organization does not exist")
    params = c.asked.params
    limit, start = (
        number(params.get("limit"), "limit", 10, 10000, 500),
        number(params.get("cursor"), "cursor", 0, 1 << 40, 0),
    )
    people = [c.world.accounts[hub_id] for hub_id in org.roles]
    people = [
        a
        for a in people
        if params.get("email") in {None, a.email} and params.get("search", "").lower() in a.username.lower()
    ]
    is_member = caller.account.id in org.roles
    lines = [_member(a, org.roles[a.id] if is_member else None) for a in people[start : start + limit]]
    answer = json_answer(lines)
    return answer.having(Link=next_link(c, str(start + limit))) if start + limit < len(people) else answer


def _member(account: Account, role: str | None) -> dict[str, object]:
    line: dict[str, object] = {
        "_id": account.id, "user": account.username, "fullname": account.fullname, "avatarUrl": account.avatar,
        "isPro": account.is_pro, "type": "user",
    }  # fmt: skip
    return line if role is None else line | {"role": role}
