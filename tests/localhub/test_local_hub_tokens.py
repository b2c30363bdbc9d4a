"""Tokens of people on the local Hub: fine-grained ones that may not read gated repos, expired ones, and unknown ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import DisabledRepoError, GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError

from hf_gate import Hub, NotAllowed
from hf_gate.hub.protocol.access_refusals import RefusalCause, get_refusals
from hf_gate.testing import LocalHub
from tests.kits.local_hubs import accept, fetch, owner_of, repo_of

FILE = "config.json"
FINE_GRAINED = get_refusals(RefusalCause.TOKEN_NO_GATED_PERMISSION)[0].text
BAD_TOKEN, BAD_CREDENTIALS = (refusal.text for refusal in get_refusals(RefusalCause.TOKEN_INVALID))
APPROVAL, REVOKED = (refusal.text for refusal in get_refusals(RefusalCause.TOKEN_ORG_POLICY))
CONTENT = ["repo.content.read"]


def whoami(hub: LocalHub, token: str) -> dict[str, Any]:
    account: dict[str, Any] = HfApi(endpoint=hub.url, token=token).whoami()
    return account


def check(hub: LocalHub, token: str) -> str:
    """Return `OK`, or the text with which auth_check is refused."""
    try:
        HfApi(endpoint=hub.url, token=token).auth_check(repo_of(hub))
    except HfHubHTTPError as error:
        return str(error.server_message)
    return "OK"


def download(hub: LocalHub, token: str, folder: Path, file: str = FILE) -> str:
    path = hf_hub_download(repo_of(hub), file, endpoint=hub.url, token=token, cache_dir=folder / "cache")
    return Path(path).read_text("utf-8")


# ---- fine-grained tokens ------------------------------------------------------------------------------------------------


def test_an_accepted_person_needs_a_token_that_may_read_gated_repos(hub: LocalHub, tmp_path: Path) -> None:
    fine = hub.add_token("mia", "fineGrained")
    assert "authorized list" in check(hub, fine)
    hub.add_requests([{"repo": repo_of(hub), "user": "mia"}])
    assert "awaiting a review" in check(hub, fine)
    owner_of(hub).accept_access_request(repo_of(hub), "mia")

    api = HfApi(endpoint=hub.url, token=fine)
    with pytest.raises(HfHubHTTPError) as refused:
        api.auth_check(repo_of(hub))
    assert not isinstance(refused.value, GatedRepoError)
    response = refused.value.response
    assert (response.status_code, response.headers["x-error-message"]) == (403, FINE_GRAINED)
    assert "x-error-code" not in response.headers
    with pytest.raises(LocalEntryNotFoundError) as missed:
        download(hub, fine, tmp_path)
    assert FINE_GRAINED in str(missed.value.__cause__)
    with Hub(fine, hub.url) as client, pytest.raises(NotAllowed, match="may not read gated repos"):
        client.check_access(repo_of(hub))

    assert download(hub, fine, tmp_path, "README.md")
    assert api.model_info(repo_of(hub)).gated == "manual"
    for good in (hub.tokens["mia"], hub.add_token("mia"), hub.add_token("mia", "fineGrained", can_read_gated=True)):
        assert check(hub, good) == "OK"
        assert download(hub, good, tmp_path)


@pytest.mark.parametrize(
    ("scopes", "reads"),
    [
        ([], False),
        ([{"repo": "HERE", "permissions": CONTENT}], True),
        ([{"repo": "HERE"}], True),
        ([{"repo": "HERE", "permissions": ["repo.access.read"]}], False),
        ([{"repo": "THERE", "permissions": CONTENT}], False),
        ([{"permissions": CONTENT}], False),
        ([{"repo": "THERE"}, {"repo": "HERE", "permissions": ["repo.write", *CONTENT]}], True),
    ],
)
def test_a_scope_on_exactly_the_repo_reads_its_files(
    hub: LocalHub, scopes: list[dict[str, Any]], *, reads: bool
) -> None:
    owner = owner_of(hub)
    other = f"{owner.whoami()['name']}/open"
    owner.create_repo(other)
    accept(hub, "mia")
    names = {"HERE": repo_of(hub), "THERE": other}
    named = [scope | ({"repo": names[scope["repo"]]} if "repo" in scope else {}) for scope in scopes]
    fine = hub.add_token("mia", "fineGrained", scopes=named)
    assert check(hub, fine) == ("OK" if reads else FINE_GRAINED)


def test_whoami_describes_a_fine_grained_token_as_the_hub_does(hub: LocalHub) -> None:
    fine = hub.add_token(
        "mia", "fineGrained", name="laptop", can_read_gated=True,
        scopes=[{"permissions": ["inference.serverless.write", *CONTENT]}, {"repo": repo_of(hub)}],
    )  # fmt: skip
    account = whoami(hub, fine)
    token = account["auth"]["accessToken"]
    assert (account["name"], token["displayName"], token["role"]) == ("mia", "laptop", "fineGrained")
    shown = token["fineGrained"]
    assert (shown["canReadGatedRepos"], shown["global"]) == (True, [])
    described = [(scope["entity"]["type"], scope["entity"]["name"], scope["permissions"]) for scope in shown["scoped"]]
    assert described == [
        ("user", "mia", ["inference.serverless.write", "repo.content.read"]),
        ("model", repo_of(hub), CONTENT),
    ]
    assert all(len(scope["entity"]["_id"]) == 24 for scope in shown["scoped"])
    bare = whoami(hub, hub.add_token("mia", "fineGrained"))["auth"]["accessToken"]["fineGrained"]
    assert bare == {"scoped": [], "global": [], "canReadGatedRepos": False}
    assert "fineGrained" not in whoami(hub, hub.add_token("mia", "write"))["auth"]["accessToken"]


def test_a_fine_grained_token_of_a_reviewer_decides_only_where_its_scope_says(hub: LocalHub) -> None:
    hub.add_requests([{"repo": repo_of(hub), "user": "mia"}])
    namespace = repo_of(hub).partition("/")[0]
    hub.add_people([{"username": "rev"}])
    hub.set_role(namespace, "rev", "write")
    for scopes, status in (
        ([{"repo": repo_of(hub), "permissions": ["repo.access.read"]}], 403),
        ([{"repo": repo_of(hub), "permissions": ["repo.write"]}], 200),
    ):
        token = hub.add_token("rev", "fineGrained", scopes=scopes)
        path = f"/api/models/{repo_of(hub)}/user-access-request"
        sent = {"user": "mia", "status": "accepted"}
        assert fetch(hub, "GET", f"{path}/pending", authorization=f"Bearer {token}").status == 200
        assert fetch(hub, "POST", f"{path}/handle", sent, authorization=f"Bearer {token}").status == status


# ---- tokens that the Hub does not accept -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["old laptop", 'has been "rejected" by\nthe authors', "Büro", "a" * 96])
def test_an_expired_token_is_refused_everywhere_by_its_name(hub: LocalHub, tmp_path: Path, name: str) -> None:
    accept(hub, "mia")
    old = hub.add_token("mia", name=name, expired=True)
    text = f'User Access Token "{name}" is expired'
    for method, path in (
        ("GET", "/api/whoami-v2"),
        ("GET", f"/api/models/{repo_of(hub)}"),
        ("GET", f"/api/models/{repo_of(hub)}/auth-check"),
        ("POST", f"/api/models/{repo_of(hub)}/user-access-request/cancel"),
        ("GET", "/api/users/mia/overview"),
    ):
        shown = fetch(hub, method, path, authorization=f"Bearer {old}")
        assert (shown.status, shown.body) == (401, {"error": text}), path
        assert "x-error-code" not in shown.headers
    for file in (FILE, "README.md"):
        assert fetch(hub, "GET", f"/{repo_of(hub)}/resolve/main/{file}", authorization=f"Bearer {old}").status == 401
    with pytest.raises(HfHubHTTPError) as refused:
        download(hub, old, tmp_path)
    assert refused.value.response.status_code == 401
    with Hub(old, hub.url) as client, pytest.raises(NotAllowed, match="the token has expired"):
        client.check_access(repo_of(hub))


def test_an_unknown_token_is_refused_in_one_of_two_wordings(hub: LocalHub) -> None:
    for token, text in (
        ("hf_unknown", BAD_TOKEN),
        ("hf_bad_credentials", BAD_CREDENTIALS),
        ("hf_bad_credentials_2", BAD_CREDENTIALS),
    ):
        shown = fetch(hub, "GET", "/api/whoami-v2", authorization=f"Bearer {token}")
        assert (shown.status, shown.body, shown.headers["x-error-message"]) == (401, {"error": text}, text)
        assert check(hub, token) == text
    assert (BAD_TOKEN, BAD_CREDENTIALS) == (
        "Invalid username or password.", "Invalid credentials in Authorization header",
    )  # fmt: skip


def test_a_token_can_be_revoked_by_its_name(hub: LocalHub) -> None:
    token = hub.add_token("mia", name="laptop")
    hub.set_faults(["revoke_token:token=laptop:call=2"])
    assert whoami(hub, token)["name"] == "mia"
    with pytest.raises(HfHubHTTPError):
        whoami(hub, token)
    assert whoami(hub, hub.tokens["mia"])["name"] == "mia"


@pytest.mark.parametrize(
    ("restrictions", "text"),
    [
        (["token-policy"], APPROVAL),
        (["token-revoked"], REVOKED),
        (["token-policy", "token-revoked"], REVOKED),
        (["mfa", "sso", "ip"], "OK"),
    ],
)
def test_an_organisation_restricts_a_token(hub: LocalHub, restrictions: list[str], text: str) -> None:
    namespace = repo_of(hub).partition("/")[0]
    hub.set_role(namespace, "mia", "read")
    token = hub.add_token("mia", restrictions=restrictions)
    (org,) = whoami(hub, token)["orgs"]
    assert (org["name"], org["securityRestrictions"]) == (namespace, restrictions)
    assert check(hub, token) == text
    assert check(hub, hub.tokens["mia"]) == "OK"
    assert "securityRestrictions" not in whoami(hub, hub.tokens["mia"])["orgs"][0]
    hub.set_role(namespace, "mia", None)
    assert "authorized list" in check(hub, token)


# ---- the control API -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"user": "max"}, "there is no person 'max': add them with POST people"),
        ({"user": "acme"}, "there is no person 'acme'"),
        ({"user": "mia", "role": "god"}, "'god' is not a role of a token; roles: read, write, fineGrained"),
        ({"user": "mia", "role": None}, "None is not a role of a token"),
        ({"user": "mia", "name": "owner"}, "the token name 'owner' is taken"),
        ({"user": "mia", "name": "MIA"}, "the token name 'MIA' is taken"),
        ({"user": "mia", "name": 7}, "name must be text"),
        ({"user": "mia", "expired": "yes"}, "expired must be true or false"),
        ({"user": "mia", "can_read_gated": False}, "can_read_gated and scopes are for tokens with role fineGrained"),
        ({"user": "mia", "scopes": [{"permissions": ["x"]}]}, "can_read_gated and scopes are for tokens with role fineGrained"),
        ({"user": "mia", "role": "fineGrained", "scopes": {}}, "send a list"),
        ({"user": "mia", "role": "fineGrained", "scopes": ["a/b"]}, "send an object"),
        ({"user": "mia", "role": "fineGrained", "scopes": [{"repo": "a/b"}]}, "there is no model a/b here"),
        ({"user": "mia", "role": "fineGrained", "scopes": [{"org": "a"}]}, "unknown key 'org'; known keys: permissions"),
        ({"user": "mia", "role": "fineGrained", "scopes": [{"permissions": [7]}]}, "7 must be non-empty text"),
        ({"user": "mia", "restrictions": ["vpn"]}, "'vpn' is not a restriction; restrictions: mfa, token-policy"),
        ({"user": "mia", "token": "x"}, "unknown key 'token'; known keys: can_read_gated, expired, name"),
    ],
)  # fmt: skip
def test_an_invalid_token_is_not_made(hub: LocalHub, line: dict[str, Any], words: str) -> None:
    before = hub.tokens.copy()
    with pytest.raises(ValueError, match=words) as refused:
        hub.control("POST", "tokens", line)
    assert "\n" not in str(refused.value)
    assert hub.tokens == before


def test_a_new_token_has_a_name_and_is_no_other_token(hub: LocalHub) -> None:
    made = [hub.control("POST", "tokens", {"user": "mia", "role": role}) for role in ("read", "read", "fineGrained")]
    assert [sorted(line) for line in made] == [["name", "token", "user"]] * 3
    assert len({line["name"] for line in made}) == len({line["token"] for line in made}) == 3
    assert hub.add_token("mia", name="laptop") == hub.tokens["laptop"]
    hub.reset()
    assert fetch(hub, "GET", "/api/whoami-v2", authorization=f"Bearer {hub.tokens['laptop']}").status == 401


# ---- states of a repo ------------------------------------------------------------------------------------------------------------


def test_a_disabled_repo_has_an_info_and_no_files(hub: LocalHub, tmp_path: Path) -> None:
    repo, api = repo_of(hub), owner_of(hub)
    assert api.model_info(repo, expand=["disabled"]).disabled is False
    hub.control("POST", "settings", {"repo": repo, "disabled": True})
    assert api.model_info(repo, expand=["disabled"]).disabled is True
    assert api.model_info(repo).disabled is True
    with pytest.raises(DisabledRepoError):
        api.auth_check(repo)
    for file in (FILE, "README.md"):
        with pytest.raises(LocalEntryNotFoundError) as missed:
            download(hub, hub.tokens["owner"], tmp_path, file)
        assert isinstance(missed.value.__cause__, DisabledRepoError)
    hub.control("POST", "settings", {"repo": repo, "hide_emails": True})
    assert api.model_info(repo, expand=["disabled"]).disabled is True
    hub.control("POST", "settings", {"repo": repo, "disabled": False})
    assert download(hub, hub.tokens["owner"], tmp_path)
    with pytest.raises(ValueError, match="disabled must be true or false"):
        hub.control("POST", "settings", {"repo": repo, "disabled": "no"})
    with pytest.raises(ValueError, match="hide_emails must be true or false"):
        hub.control("POST", "settings", {"repo": repo, "hide_emails": 0})


def test_an_info_has_exactly_the_keys_that_the_caller_expands(hub: LocalHub) -> None:
    repo = repo_of(hub)
    hub.control("POST", "card", {"repo": repo, "text": "---\nlicense: mit\nbase_model: acme/base\n---\n# Card\n"})
    keys = ("gated", "private", "disabled", "siblings", "cardData")
    query = "&".join(f"expand[]={key}" for key in keys)
    body = fetch(hub, "GET", f"/api/models/{repo}?{query}", authorization="").body
    assert set(body) == {"_id", "id", *keys}
    assert (body["gated"], body["private"], body["disabled"]) == ("manual", False, False)
    assert body["siblings"] == [{"rfilename": path} for path in ("README.md", FILE, "data/part-0.bin")]
    assert body["cardData"] == {"license": "mit", "base_model": "acme/base"}
    info = HfApi(endpoint=hub.url).model_info(repo, expand=["gated", "private", "disabled", "siblings", "cardData"])
    assert [sibling.rfilename for sibling in info.siblings or []] == ["README.md", FILE, "data/part-0.bin"]
    assert (info.gated, info.private, info.disabled) == ("manual", False, False)
