"""Handlers for repos, accounts and organisations."""

from __future__ import annotations

from typing import Any

from hf_gate.base.frontmatter import find_front_matter
from hf_gate.base.ids import Repo, RepoType, parse_repo
from hf_gate.base.yaml_parser import Mapping, Node, Scalar, Sequence, parse_yaml
from hf_gate.errors import InvalidRepo
from hf_gate.hub.protocol.access_refusals import RefusalCause
from hf_gate.localhub.context import NO_RIGHT, BodyValidator, CallContext, build_refusal, parse_query_number
from hf_gate.localhub.http_messages import HttpError, HttpResponse, format_ms, json_response, text_response
from hf_gate.localhub.records import Commit, HubAccount, HubRepo, HubToken

from .files import commit_files, find_commit
from .lists import build_next_link

# ---- repos -----------------------------------------------------------------------------------------------------------

_FULL = (
    "author",
    "cardData",
    "createdAt",
    "disabled",
    "downloads",
    "gated",
    "lastModified",
    "likes",
    "private",
    "sha",
    "siblings",
    "tags",
)
_BRIEF = ("author", "createdAt", "disabled", "downloads", "gated", "lastModified", "likes", "private", "sha", "tags")


def describe_repo(context: CallContext) -> HttpResponse:
    return json_response(_describe(context.hub_repo, find_commit(context), _choose_keys(context, _FULL)))


def _choose_keys(context: CallContext, default: tuple[str, ...]) -> tuple[str, ...]:
    wanted = tuple(value for key, value in context.request.pairs if key in {"expand[]", "expand"})
    for key in wanted:
        if key not in _FULL and key not in {
            "modelId",
            "usedStorage",
            "resourceGroup",
            "downloadsAllTime",
            "trendingScore",
        }:
            options = "|".join(f'"{name}"' for name in _FULL)
            raise HttpError(400, f"✖ Invalid option: expected one of {options}\n  → at expand")
    return wanted or default


def _describe(hub_repo: HubRepo, at: Commit, keys: tuple[str, ...]) -> dict[str, object]:
    card = parse_card_data(at.files.get("README.md", b""))
    values: dict[str, object] = {
        "author": hub_repo.repo.namespace,
        "cardData": card,
        "createdAt": format_ms(hub_repo.created_ms),
        "disabled": hub_repo.is_disabled,
        "downloads": 0,
        "downloadsAllTime": 0,
        "gated": hub_repo.gated,
        "lastModified": format_ms(at.at_ms),
        "likes": 0,
        "modelId": hub_repo.repo.id,
        "private": hub_repo.visibility == "private",
        "sha": at.oid,
        "siblings": [{"rfilename": path} for path in sorted(at.files)],
        "tags": [tag for tag in card.get("tags", []) if isinstance(tag, str)],
        "trendingScore": 0,
        "usedStorage": sum(map(len, at.files.values())),
    }
    return {"_id": hub_repo.id, "id": hub_repo.repo.id} | {key: values[key] for key in keys if key in values}


def parse_card_data(readme: bytes) -> dict[str, Any]:
    """Return the metadata of a card as JSON; empty if it is not valid YAML."""
    block = find_front_matter(readme.decode("utf-8", "replace"))
    root = parse_yaml(block.text).root if block.text is not None else None
    value = _to_json(root) if isinstance(root, Mapping) else {}
    return value if isinstance(value, dict) else {}


_WORDS: dict[str, object] = {"true": True, "false": False, "null": None, "~": None, "": None}


def _to_json(node: Node) -> object:
    match node:
        case Mapping():
            return {key.text: _to_json(value) for key, value in node.pairs if isinstance(key, Scalar)}
        case Sequence():
            return [_to_json(item) for item in node.items]
        case Scalar(is_plain=True) if node.text.lower() in _WORDS:
            return _WORDS[node.text.lower()]
        case Scalar():
            return int(node.text) if node.is_plain and node.text.isdecimal() and len(node.text) < 16 else node.text
        case _:
            return None


def list_repos(context: CallContext) -> HttpResponse:
    params = context.request.params
    token = context.token
    of = RepoType.DATASET if context.call.parts["T"] == "datasets" else RepoType.MODEL
    keys = _choose_keys(context, _FULL if params.get("full", "").lower() in {"true", "1"} else _BRIEF)
    limit = parse_query_number(params.get("limit"), "limit", 1, 1000, 1000)
    start = parse_query_number(params.get("cursor"), "cursor", 0, 1 << 40, 0)
    found = [
        g
        for g in context.world.repos.values()
        if g.repo.type is of and _is_match(g, params) and context.world.can_see(token, g)
    ]
    lines = [_describe(g, g.head, keys) for g in found[start : start + limit]]
    return _page_response(context, lines, start + limit, len(found))


def _page_response(context: CallContext, lines: list[dict[str, object]], end: int, total: int) -> HttpResponse:
    """Return one page of a list, with a link to the next one unless it is the last."""
    answer = json_response(lines)
    return answer.with_headers(Link=build_next_link(context, str(end))) if end < total else answer


def _is_match(hub_repo: HubRepo, params: dict[str, str]) -> bool:
    author = params.get("author")
    search = params.get("search", "")
    mode = params.get("gated", "").lower()
    if author is not None and hub_repo.repo.namespace.lower() != author.lower():
        return False
    if mode in {"true", "false", "auto", "manual"}:
        said = {"true": hub_repo.gated is not False, "false": hub_repo.gated is False}
        if not said.get(mode, hub_repo.gated == mode):
            return False
    return search.lower() in hub_repo.repo.id.lower()


def _read_named_repo(body: BodyValidator, caller: HubToken) -> tuple[str, str, str]:
    """Return the type, the namespace and the name in a body; the namespace is that of the caller if there is none."""
    of = body.get_text("type") or "model"
    name = body.get_text("name", needed=True) or ""
    namespace = body.get_text("organization") if body.values.get("organization") is not None else None
    body.raise_problems()
    return of, namespace or caller.account.username, name


def create_repo(context: CallContext) -> HttpResponse:
    caller = context.caller
    body = BodyValidator(context.request.body)
    visibility = body.get_text("visibility")
    private = body.get_flag("private")
    of, namespace, name = _read_named_repo(body, caller)
    if of not in {"model", "dataset"}:
        raise HttpError(400, "The local Hub has models and datasets only")
    try:
        repo = parse_repo(f"{namespace}/{name}", RepoType(of))
    except InvalidRepo as refused:
        raise HttpError(400, f"✖ {refused}\n  → at name") from None
    if caller.role != "write" or context.world.get_role(caller.account, repo.namespace) not in {
        "owner",
        "admin",
        "write",
        "contributor",
    }:
        raise HttpError(403, f'You don\'t have the rights to create a {of} under the namespace "{repo.namespace}"')
    url = f"{context.request.base_url}/{repo.web_path}"
    if (there := context.world.find_repo(repo)) is not None:
        return json_response({"error": f"You already created this {of} repo", "url": url, "id": there.id}, 409)
    made = HubRepo(repo, context.world.new_id(context.now_ms), caller.account, context.now_ms)
    made.visibility = visibility or ("private" if private else "public")
    commit_files(
        made,
        {".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"},
        "initial commit",
        context.now_ms,
    )
    context.world.add_repo(made)
    return json_response({"url": url, "name": repo.id, "id": made.id})


def delete_repo(context: CallContext) -> HttpResponse:
    caller = context.caller
    of, namespace, name = _read_named_repo(BodyValidator(context.request.body), caller)
    if of not in {"model", "dataset"}:
        raise build_refusal(RefusalCause.NOT_FOUND_OR_PRIVATE)
    hub_repo = context.find_repo(Repo(RepoType(of), namespace, name))
    if not context.world.can_write(caller, hub_repo):
        raise HttpError(403, NO_RIGHT)
    context.world.remove_repo(hub_repo)
    return text_response("OK")


# ---- accounts --------------------------------------------------------------------------------------------------------


def describe_token(context: CallContext) -> HttpResponse:
    token = context.caller
    account = token.account
    carried: dict[str, object] = {
        "displayName": token.name,
        "role": token.role,
        "createdAt": format_ms(token.created_ms),
    }
    if token.role == "fineGrained":
        carried["fineGrained"] = {
            "scoped": _describe_scopes(context, token),
            "global": [],
            "canReadGatedRepos": token.can_read_gated,
        }
    return json_response(
        {
            "type": "user",
            "id": account.id,
            "name": account.username,
            "fullname": account.fullname,
            "email": account.email,
            "emailVerified": True,
            "canPay": False,
            "billingMode": "prepaid",
            "periodEnd": None,
            "isPro": account.is_pro,
            "avatarUrl": account.avatar,
            "orgs": _describe_orgs(context, token),
            "auth": {"type": "access_token", "accessToken": carried},
        }
    )


def _describe_scopes(context: CallContext, token: HubToken) -> list[dict[str, object]]:
    """Return the permissions of a fine-grained token in its account, the account's organisations, and repos."""
    orgs = [org.account for org in context.world.orgs.values() if token.account.id in org.roles]
    accounts = (token.account, *orgs) if token.permissions else ()
    repos = [hub_repo for hub_repo in context.world.repos.values() if hub_repo.id in token.repo_permissions]
    entities = [
        *((a.id, a.username, a.kind, token.permissions) for a in accounts),
        *((r.id, r.repo.id, r.repo.type.value, token.repo_permissions[r.id]) for r in repos),
    ]
    return [
        {"entity": {"_id": hub_id, "name": name, "type": kind}, "permissions": sorted(permissions)}
        for hub_id, name, kind, permissions in entities
    ]


def _describe_orgs(context: CallContext, token: HubToken) -> list[dict[str, object]]:
    mine = [org for org in context.world.orgs.values() if token.account.id in org.roles]
    restrictions: dict[str, object] = {"securityRestrictions": token.restrictions} if token.restrictions else {}
    return [
        {
            "type": "org",
            "id": org.account.id,
            "name": org.account.username,
            "fullname": org.account.fullname,
            "email": None,
            "canPay": False,
            "billingMode": "postpaid",
            "periodEnd": None,
            "avatarUrl": org.account.avatar,
            "roleInOrg": org.roles[token.account.id],
        }
        | restrictions
        for org in mine
    ]


def describe_user(context: CallContext) -> HttpResponse:
    _ = context.token
    account = context.world.find_user(context.call.parts["user"])
    if account is None:
        raise HttpError(404, "This user does not exist")
    models, datasets, followers = account.counts
    return json_response(
        {
            "_id": account.id,
            "avatarUrl": account.avatar,
            "isPro": account.is_pro,
            "fullname": account.fullname,
            "numModels": models,
            "numDatasets": datasets,
            "numSpaces": 0,
            "numDiscussions": 0,
            "numPapers": 0,
            "numUpvotes": 0,
            "numLikes": 0,
            "numFollowers": followers,
            "numFollowing": 0,
            "orgs": [
                {"id": org_id, "name": name, "fullname": full, "avatarUrl": f"/avatars/{org_id}.svg"}
                for org_id, name, full in account.orgs
            ],
            "user": account.username,
            "type": "user",
            "isFollowing": False,
            "createdAt": format_ms(account.created_ms),
        }
    )


def list_members(context: CallContext) -> HttpResponse:
    caller = context.caller
    org = context.world.orgs.get(context.call.parts["org"].lower())
    if org is None:
        raise HttpError(404, "This organization does not exist")
    params = context.request.params
    limit = parse_query_number(params.get("limit"), "limit", 10, 10000, 500)
    start = parse_query_number(params.get("cursor"), "cursor", 0, 1 << 40, 0)
    email = params.get("email")
    search = params.get("search", "").lower()
    people = [context.world.accounts[hub_id] for hub_id in org.roles]
    people = [a for a in people if email in {None, a.email} and search in a.username.lower()]
    is_member = caller.account.id in org.roles
    lines = [_describe_member(a, org.roles[a.id] if is_member else None) for a in people[start : start + limit]]
    return _page_response(context, lines, start + limit, len(people))


def _describe_member(account: HubAccount, role: str | None) -> dict[str, object]:
    line: dict[str, object] = {
        "_id": account.id,
        "user": account.username,
        "fullname": account.fullname,
        "avatarUrl": account.avatar,
        "isPro": account.is_pro,
        "type": "user",
    }
    return line if role is None else line | {"role": role}
