"""The texts of diagnoses: for each situation its code, its sentence and the next steps.

The words in braces are filled in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from hf_gate.base.network_hosts import PUBLIC_HUB

from .diagnosis import Diagnosis, DiagnosisCode, Step

_TOKENS_PAGE: Final = f"{PUBLIC_HUB}/settings/tokens"
NEW_GATED_TOKEN: Final = f"{_TOKENS_PAGE}/new?tokenType=fineGrained&canReadGatedRepos=true"
# A login has no effect while a variable has a token, so `{login}` removes the variable first.
_LOGIN: Final = Step("Log in, or set HF_TOKEN to a token that the Hub accepts", "{login}")
_NEW_TOKEN: Final = Step("Create a new token and log in with it, or set HF_TOKEN to it", "{login}", _TOKENS_PAGE)
_COPY_TOKEN: Final = Step(
    "Set the token again, without spaces, quotation marks and line breaks. If you no longer have it, create a new one",
    None,
    _TOKENS_PAGE,
)
_COMPARE_NAME: Final = Step("Open the page of the repo and compare the name", None, "{page}")
_CONTACT_OWNER: Final = Step("Contact the owner of the repo on its page", None, "{page}")
_ASK_FIRST: Final = Step("Then ask for access on its page, if you have not asked", None, "{page}")
_NOT_SHOWN: Final = (
    "The Hub shows no repo of this name to {viewer}. It may be misspelt, removed or private; the Hub does not "
    "say which."
)
_NO_SECRET: Final = "This repo is gated, and hf-gate found no token. It looked at {looked}.{place}"  # noqa: S105
_UNREACHED: Final = Step("Check the network, the proxy and the certificates of the machine where it failed")


class Text(Struct, frozen=True):
    """The words of one situation."""

    code: DiagnosisCode
    sentence: str
    steps: tuple[Step, ...] = ()
    certain: bool = True
    headline: str = ""


_C = DiagnosisCode
TEXTS: Final[dict[str, Text]] = {
    "ok": Text(
        _C.OK,
        "{who} can download {what} from this shell, with this token.",
        (Step("If your program still fails, restart it, or check its output", "PROGRAM 2>&1 | hf-gate why -"),),
    ),
    "ok without a token": Text(_C.OK, "Everybody can download {what}, without a token."),
    "ok, refused before": Text(
        _C.OK,
        "{who} can download {repo} now. The failed request was sent before that, or with another token or network.",
        (Step("Restart the program: it may remember the refusal, or use another token"),),
    ),
    "token works": Text(_C.OK, "The Hub accepts the token from {source} as {who}.{rights}"),
    "offline": Text(
        _C.OFFLINE,
        "{variable} is set, so nothing is fetched.{cached}",
        (Step("Unset it to download", "unset {variable}"),),
    ),
    "offline by option": Text(
        _C.OFFLINE,
        "No call was made, because of --offline.{cached}",
        (Step("Leave out --offline to check with the Hub"),),
    ),
    "program is offline": Text(
        _C.OFFLINE,
        "The program is set to work offline, so it fetches nothing.",
        (
            Step("Unset the variable to download", "unset HF_HUB_OFFLINE TRANSFORMERS_OFFLINE"),
            Step("Or download the repo first on a machine with a network, and copy the cache"),
        ),
    ),
    "network": Text(
        _C.NETWORK,
        "{host} could not be reached: {detail}.",
        (Step("Check the network, the proxy and the certificates of this machine; {host} must be reachable"),),
    ),
    "network, at another endpoint": Text(
        _C.NETWORK,
        "{host}, which HF_ENDPOINT or --endpoint names, could not be reached: {detail}.",
        (
            Step("Correct HF_ENDPOINT, or unset it to use huggingface.co", "unset HF_ENDPOINT"),
            Step("Check the network and the proxy"),
        ),
    ),
    "plain http": Text(
        _C.NETWORK,
        "{detail} The token was not sent.",
        (Step("Use an https endpoint, or allow it if you trust the network", "hf-gate --insecure-http why {word}"),),
    ),
    "program has no network": Text(_C.NETWORK, "The program could not reach the Hub.", (_UNREACHED,)),
    "foreign": Text(
        _C.ENDPOINT_NOT_HUB,
        "{host} answered {status}, but this answer is not from the Hub. A proxy or another server answered.",
        (
            Step("Open the address in a browser: a network may ask for a sign-in", None, "{endpoint}"),
            Step("Check HF_ENDPOINT and the proxy, and ask the person who runs them to let the Hub through"),
        ),
    ),
    "program reached another server": Text(
        _C.ENDPOINT_NOT_HUB,
        "Another server answered the program in place of the Hub: a proxy, a sign-in page or a mirror.",
        (_UNREACHED, Step("Check HF_ENDPOINT there")),
    ),
    "unavailable": Text(
        _C.HUB_UNAVAILABLE, "The Hub does not answer now: {detail}.", (Step("Wait {wait} and try again"),)
    ),
    "malformed": Text(_C.TOKEN_MALFORMED, "{source} contains {problem}. The Hub cannot accept it.", (_COPY_TOKEN,)),
    "program's token is malformed": Text(
        _C.TOKEN_MALFORMED,
        "The program passes an empty token, or one with a line break or a space. The Hub never gets it.",
        (_COPY_TOKEN,),
    ),
    "inference": Text(
        _C.TOKEN_NO_INFERENCE_PERMISSION,
        "The token may not call Inference Providers. Downloads need another permission.",
        (Step("Add the permission to the token", None, _TOKENS_PAGE),),
    ),
    "expired": Text(_C.TOKEN_EXPIRED, "The token {named} has expired.", (_NEW_TOKEN,)),
    "expired login": Text(
        _C.TOKEN_EXPIRED,
        "The login {named} is past its date. A program may renew it when it starts; this command does not.",
        (Step("Renew it", "hf auth whoami"), Step("Or log in again", "hf auth login")),
        certain=False,
    ),
    "shadowed": Text(
        _C.TOKEN_SHADOWED,
        "{source} holds a token that the Hub does not accept. It hides the good token{owner} from {other}.",
        (Step("Remove the token from {source}", "{unset}"),),
    ),
    "invalid": Text(
        _C.TOKEN_INVALID,
        "The Hub does not accept the token {named}. With it, even public repos fail.{public}",
        (
            _LOGIN,
            Step("Remove the token, if the repo is public"),
        ),
    ),
    "password": Text(
        _C.LIBRARY_SENT_NO_TOKEN,
        "git sent a password, or nothing. The Hub takes an access token as the password, or an SSH key.",
        (Step("Let git use your token", "hf auth login --add-to-git-credential"),),
        certain=False,
    ),
    "dropped": Text(
        _C.ENDPOINT_DROPS_TOKEN,
        "{host} does not pass your token on, or does not know it; from here both look the same.",
        (
            Step("Use the Hub itself", "unset HF_ENDPOINT"),
            Step("Ask the person who runs {host} whether it passes tokens on"),
        ),
        certain=False,
    ),
    "wrong type": Text(
        _C.WRONG_TYPE,
        "There is a {other} of this name, but no {type}.",
        (
            Step('Name it as a {other}: repo_type="{other}" in Python, --repo-type {other} for `hf download`'),
            Step("Then check again", "hf-gate why {word}"),
        ),
    ),
    "not found": Text(_C.NOT_FOUND_OR_PRIVATE, _NOT_SHOWN, (_COMPARE_NAME, Step("Ask the owner, if it is private"))),
    "not found without a token": Text(_C.NOT_FOUND_OR_PRIVATE, _NOT_SHOWN, (_COMPARE_NAME, _LOGIN), certain=False),
    "program does not find it": Text(
        _C.NOT_FOUND_OR_PRIVATE,
        f"{_NOT_SHOWN} A bad token looks the same.",
        (_COMPARE_NAME, _LOGIN),
        certain=False,
    ),
    "program is not known": Text(
        _C.NO_TOKEN,
        "The request carried no token that the Hub accepts, or there is no such repo: the Hub answers 401 to both.",
        (_LOGIN, _COMPARE_NAME, _ASK_FIRST),
        certain=False,
    ),
    "program is refused": Text(
        _C.REFUSED_UNKNOWN,
        (
            "The program was refused, and this text does not say why: {anonymous}the token may not read gated "
            "repos, or its account has no access."
        ),
        (Step("Check with the token of the program", "hf-gate why {word}"), _ASK_FIRST),
        certain=False,
    ),
    "program names no repo": Text(
        _C.NOT_FOUND_OR_PRIVATE,
        "The program asked for something that is no name of a repo: a folder that is not there, or a misspelt name.",
        (Step("Write namespace/name, or compare the path with the folders of the machine where it runs"),),
    ),
    "program does not find the file": Text(
        _C.NOT_FOUND_OR_PRIVATE,
        "The repo is there, but the file or the revision is not.",
        (Step("Compare the name with the files of the repo", None, "{page}"),),
        headline="no such file or revision",
    ),
    "no such file": Text(
        _C.NOT_FOUND_OR_PRIVATE,
        "{repo} has no file {file}.",
        (Step("Compare the name with the files of the repo", None, "{page}"),),
        headline="no such file",
    ),
    "no such revision": Text(
        _C.NOT_FOUND_OR_PRIVATE,
        "{repo} has no branch, tag or commit {revision}.",
        (Step("Compare the name with the branches and tags of the repo", None, "{page}"),),
        headline="no such revision",
    ),
    "disabled": Text(_C.DISABLED, "The Hub has disabled this repo. Nobody can download it.", (_CONTACT_OWNER,)),
    "look-alike": Text(
        _C.TOKEN_ELSEWHERE,
        "{variable} is set, but huggingface_hub reads HF_TOKEN. So no token is sent.",
        (
            Step("Copy the token to HF_TOKEN", 'export HF_TOKEN="${variable}"'),
            _ASK_FIRST,
        ),
    ),
    "env file": Text(
        _C.TOKEN_ELSEWHERE,
        "The file .env here has HF_TOKEN, but this process has not loaded it. So no token is sent.",
        (
            Step("Load it", "set -a; . ./.env; set +a"),
            _ASK_FIRST,
        ),
    ),
    "other folder": Text(
        _C.TOKEN_ELSEWHERE,
        "{file} holds a token, but this process looks at {looked}. So no token is sent.",
        (
            Step("Give it the token", 'export HF_TOKEN="$(cat {quoted})"'),
            Step("Or compare HF_HOME and HF_TOKEN_PATH with those of the login"),
            _ASK_FIRST,
        ),
    ),
    "kept back": Text(
        _C.LIBRARY_SENT_NO_TOKEN,
        "A token is there, in {other}, but {setting} stops it from being sent.",
        (Step("Remove this setting", "{unset}"),),
    ),
    "program sent none": Text(
        _C.LIBRARY_SENT_NO_TOKEN,
        "Access to {repo} works with this token. The failed request carried none.",
        (
            Step("Set HF_TOKEN where the program runs, or pass token= to it"),
            Step("Update the library: some versions ignore token="),
        ),
    ),
    "exchange": Text(
        _C.NO_TOKEN,
        "HF_OIDC_RESOURCE lets the CI exchange a token. This command does not do that, so it sees none.",
        (_LOGIN,),
        certain=False,
    ),
    "no token at all": Text(_C.NO_TOKEN, "hf-gate found no token. It looked at {looked}.{place}", (_LOGIN,)),
    "no token": Text(_C.NO_TOKEN, _NO_SECRET, (_LOGIN, _ASK_FIRST)),
    "program found no token": Text(_C.NO_TOKEN, "The program found no token.", (_LOGIN,)),
    "program has no token": Text(
        _C.NO_TOKEN,
        "This repo is gated, and the request carried no token that the Hub accepts.",
        (
            _LOGIN,
            _ASK_FIRST,
        ),
    ),
    "no gated permission": Text(
        _C.TOKEN_NO_GATED_PERMISSION,
        (
            "The token {named} is fine-grained and may not read gated repos. This token cannot show whether "
            "{who} has access."
        ),
        (
            Step("Create a token that may read gated repos", None, NEW_GATED_TOKEN),
            Step("Then log in with the new token", "{login}"),
            Step("Or add the permission to the current token, and wait a few minutes", None, _TOKENS_PAGE),
        ),
    ),
    "organisation": Text(
        _C.TOKEN_ORG_POLICY,
        "{org} does not allow this token: its administrators approve, deny and revoke tokens.",
        (Step("Ask an administrator of {org} to approve the token", None, "{org_page}"),),
    ),
    "organisation's rules": Text(
        _C.TOKEN_ORG_POLICY,
        "{org} has rules for tokens ({rules}), and one of them may refuse this.",
        (Step("Ask an administrator of {org}, or sign in to it again in the browser", None, "{org_page}"),),
        certain=False,
    ),
    "region": Text(
        _C.REGION,
        "The files are not available from this network's region. No token and no request changes that.",
        (_CONTACT_OWNER,),
    ),
    "not asked": Text(
        _C.NOT_ASKED,
        "{who} has not asked for access to this repo.{at_once}",
        (
            Step("Read the terms and ask on its page", None, "{page}"),
            Step("Or ask here", "hf-gate ask {word}"),
        ),
    ),
    "pending": Text(
        _C.PENDING,
        (
            "{who} asked; the owners have not decided. The Hub shows neither the date of the request nor the "
            "place in the queue."
        ),
        (
            Step("Wait for the decision", "hf-gate why {word} --wait"),
            Step("Or read on its page how the owners decide, and where to write to them", None, "{page}"),
        ),
    ),
    "rejected": Text(
        _C.REJECTED,
        "The owners rejected the request of {who}. {who} cannot ask again; only the owners can reopen the request.",
        (Step("Read its page for a reason and a contact, then write to the owners", None, "{page}"),),
    ),
    "reset": Text(
        _C.RESET,
        "The owners sent the request of {who} back. The reason, if they gave one, is in an e-mail.",
        (Step("Ask again with better answers", "hf-gate ask {word}", "{page}"),),
    ),
    "storage": Text(
        _C.STORAGE,
        "The storage host refused the transfer. The gate of the repo is not the cause.",
        (
            Step("Try the older way of downloading", "export HF_HUB_DISABLE_XET=1"),
            Step("Let the proxy pass *.hf.co and *.xethub.hf.co, check the clock, and try again later"),
        ),
    ),
    "other repo": Text(_C.OTHER_REPO_REFUSED, "{repo} is open to {who}, but it loads {other}. There: {detail}"),
    "unknown": Text(
        _C.REFUSED_UNKNOWN,
        "The Hub refused this. It says: {detail}",
        (
            Step("Open its page in the browser with the same account", None, "{page}"),
            Step("Give the Hub's support this request id: {request_id}"),
        ),
        certain=False,
    ),
    "words not known": Text(
        _C.REFUSED_UNKNOWN,
        "The Hub refused this with words that hf-gate does not know.",
        (Step("See these words", "hf-gate why {word}"),),
        certain=False,
    ),
    "nothing to explain": Text(
        _C.REFUSED_UNKNOWN,
        "This text shows no refused download.",
        (
            Step("Paste the whole error, then press Enter and Ctrl-D", "hf-gate why -"),
            Step("Or name the repo", "hf-gate why REPO"),
        ),
        certain=False,
        headline="nothing to explain",
    ),
}

# How a process gets a token, by where it runs.
LOGIN_STEPS: Final = {
    "a Space": Step("Add a secret HF_TOKEN in the settings of the Space"),
    "Colab": Step("Add a secret HF_TOKEN to the notebook and allow access to it, or log in", "hf auth login"),
    "Kubernetes": Step("Give the container the token as the variable HF_TOKEN, from a secret"),
    "CI": Step("Add HF_TOKEN to the secrets of the CI, and pass it to this job; forks do not get secrets"),
    "a container": Step("Give the container the token", 'docker run -e HF_TOKEN="$HF_TOKEN" ...'),
    "sudo": Step("Log in as this user, or keep the variable", "sudo --preserve-env=HF_TOKEN ..."),
}
TOKEN_TOO: Final = Step("Also pass the token to the program: its request carried none that the Hub accepts")
GATED_PERMISSION_TOO: Final = Step(
    "Also let this token read gated repos, or it will be refused afterwards", None, NEW_GATED_TOKEN
)


def build_diagnosis(situation: str, words: Mapping[str, object]) -> Diagnosis:
    """Return the diagnosis of a situation, with these words.

    A step about a page or a request id that there is not is left out.
    """
    text = TEXTS[situation]
    sentence = text.sentence.format_map(words)
    lacking = [mark for mark in ("{page}", "{request_id}") if not words.get(mark[1:-1])]
    steps = [
        _fill(step, words) for step in text.steps if not any(mark in f"{step.text} {step.url}" for mark in lacking)
    ]
    steps = steps or [_fill(step, words) for step in text.steps]
    sentence = f"T{sentence[1:]}" if sentence.startswith("the ") else sentence
    return Diagnosis(text.code, sentence, steps, certain=text.certain, headline=text.headline)


def _fill(step: Step, words: Mapping[str, object]) -> Step:
    command, url = (part.format_map(words) if part else None for part in (step.command, step.url))
    return Step(step.text.format_map(words), command or None, url or None)
