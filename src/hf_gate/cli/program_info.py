"""What the program says of itself: version, help topics, completion, schemas, where files are."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import click

from .. import __version__
from ..errors import UsageError
from .framework import COMMON, CommandEntry, GateGroup, Run, command

# ---- version, config path, completion, schema -------------------------------------------------------------------------


@command("version", examples=("hf-gate version", "hf-gate version --json"))
def version(run: Run) -> int:
    """Print the version of hf-gate."""
    python = ".".join(map(str, sys.version_info[:3]))
    doc = {"schema_version": 1, "version": __version__, "python": python}
    run.out.document(doc, lambda: [f"hf-gate {__version__}"], quiet=[__version__])
    return 0


config = GateGroup(
    "config",
    {"path": CommandEntry("program_info:config_path", "Print where files are.")},
    help="Where hf-gate keeps its files.",
)


@command("path", examples=("hf-gate config path", "hf-gate config path config_file"))
@click.argument("name", required=False)
def config_path(run: Run, *, name: str | None) -> int:
    """Print where configuration, data, state and cache are; with a NAME, that path alone."""
    from pathlib import Path  # noqa: PLC0415 - help needs none of it

    from ..config import resolve_paths  # noqa: PLC0415 - as above

    paths = resolve_paths(os.environ, Path.home())
    names = ("config", "config_file", "data", "state", "cache", "profiles", "accounts")
    found = {key: str(getattr(paths, key)) for key in names}
    if name is not None and name not in found:
        raise UsageError(f"there is no path {name!r}.", hint=f"There are {', '.join(found)}.")
    if name is not None and run.out.is_human:
        run.out.line(found[name])
        return 0
    doc = {"schema_version": 1, **(found if name is None else {name: found[name]})}
    shown = list(found.items())
    run.out.document(
        doc, lambda: [f"{key:12} {path}" for key, path in shown], quiet=[found[name]] if name else list(found.values())
    )
    return 0


@command("completion", examples=('eval "$(hf-gate completion bash)"', "hf-gate completion fish"))
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(_run: Run, *, shell: str) -> int:
    """Print the completion script of your shell."""
    from click.shell_completion import get_completion_class  # noqa: PLC0415 - only here

    from .main import COMPLETE_VARIABLE, root  # noqa: PLC0415 - the tree is complete by now

    found = get_completion_class(shell)
    if found is None:  # pragma: no cover - the choice above names three that click has
        raise UsageError(f"no completion for {shell}.")
    sys.stdout.write(found(root, {}, "hf-gate", COMPLETE_VARIABLE).source())
    return 0


def _suggestion(typed: str, known: Iterable[str], shape: str) -> str:
    """`Did you mean ls? `, or nothing when nothing is near."""
    near = difflib.get_close_matches(typed, list(known), n=1)
    return f"Did you mean {shape.format(near[0])}? " if near else ""


@command("schema", examples=("hf-gate schema", "hf-gate schema ls"))
@click.argument("name", required=False)
def schema(run: Run, *, name: str | None) -> int:
    """Print the JSON Schema of a document; without a NAME, the names."""
    from .schemas import ALIASES, SCHEMAS, schema_of  # noqa: PLC0415 - only here

    if name is None:
        for known in SCHEMAS:
            run.out.line(known)
        return 0
    if name not in SCHEMAS and name not in ALIASES:
        raise UsageError(
            f"there is no schema {name!r}.", hint=f"{_suggestion(name, SCHEMAS, '{}')}`hf-gate schema` lists them."
        )
    import json  # noqa: PLC0415 - only here

    sys.stdout.write(json.dumps(schema_of(name), indent=2) + "\n")
    return 0


# ---- help topics ------------------------------------------------------------------------------------------------------

_EXIT_CODES: Final = """\
  0  nothing refused, nothing open (also: nothing to do, an empty list)
  1  failed, nothing was done
  2  usage, configuration, a Space, a wrong type, an unknown status, a reason that is too long
  3  plan --detailed-exitcode alone: there is something to change
  4  no token, or one that may not do this; nothing was done
  5  done in part or not known for sure; or a list that is not proved whole (--allow-incomplete makes that 0)
  6  nothing was sent because of a brake: more than --max, no --yes, a request that moved since it was read
 75  the Hub is not available now, nothing was done: the same command can be repeated as it is
130  interrupted by Ctrl-C, 143 by SIGTERM; what was sent is settled
"""

_ENVIRONMENT: Final = """\
HF_TOKEN, HF_TOKEN_PATH, HF_HOME   where the token is, as for `hf`
HF_ENDPOINT                        another Hub (--endpoint)
HF_HUB_OFFLINE                     never call the Hub: exit 75
HF_GATE_PROFILE                    a profile (--profile)
HF_GATE_WORKSPACE                  the folder with hf-gate.yaml (--workspace); else the nearest one upwards
HF_GATE_MAX_WAIT, HF_GATE_TIMEOUT  lengths of time: 30s, 5m (--max-wait, --timeout)
HF_GATE_INSECURE_HTTP              1: a token may travel over plain http (--insecure-http)
HF_GATE_CLOCK                      hub: waits follow a local Hub's clock
HF_GATE_DEBUG, HF_DEBUG            1: show where an error came from
HTTPS_PROXY, ALL_PROXY, NO_PROXY   as everywhere; a Hub on this machine is never called through a proxy
SSL_CERT_FILE                      as everywhere
XDG_CONFIG_HOME, XDG_DATA_HOME, XDG_STATE_HOME, XDG_CACHE_HOME   where files are: `hf-gate config path`
NO_COLOR, FORCE_COLOR, TERM=dumb   colours

A flag counts before a profile, a profile before the environment, the environment before config.toml:
  profile = "work"
  [profiles.work]
  endpoint = "https://hub.example.org"
  token_file = "work.token"
"""

_FORMATTING: Final = """\
Data goes to stdout, talk to stderr. --format is one of
  auto    human; agent when AI_AGENT or AGENT is set and stdout is no terminal
  human   tables and sentences, the first 30 rows (--all, --limit N); a narrow terminal shows fewer columns
          (--no-truncate: all, in full)
  agent   values separated by tabs, whole times; what strangers wrote is in columns named untrusted_
  json    one document (--json); absent is null, times are ISO 8601 with milliseconds and Z
  jsonl   one object a line: what `hf-gate accept -` reads
  csv     one row each; answers in columns of their own; no cell is a formula
  quiet   ids or names only (-q)
`hf-gate schema NAME` prints the JSON Schema of each document.

Characters from outside that act on a terminal, hide or reorder text are shown as what they are, such as
U+202E in brackets; in JSON they are written as \\u escapes.
"""

_QUERIES: Final = """\
Terms that must all hold, with blanks between them:
  key:value  key:a,b  -key:value  form."Intended use":*robot*  sleep
`key:a,b` holds when one of the values does, `-` turns a term round, `*` stands for any text, a bare word is looked for
in names, e-mail and answers. Quotes hold blanks and commas together. A term that is none is an error with a suggestion.

{keys}"""

_POLICIES: Final = """\
A policy decides by rules, for gates that many ask at. `hf-gate init` wrote one: policies/starter.yaml. It is in
shadow mode: it says what it would do, and changes nothing. The way to a rule that decides:

  hf-gate policy show REPO          what it says, in sentences
  hf-gate plan                      what it would decide
  hf-gate explain USER@REPO         why, for one request
  edit policies/starter.yaml        then write `mode: enforce` instead of `mode: shadow`
  hf-gate policy check              problems, and what each accept rule asks of an applicant
  hf-gate plan --out plan.json      the changes, in a file
  hf-gate apply plan.json           carries them out, once
  hf-gate run --every 10m           the same, turn after turn, within your limits

Examples to begin with: `hf-gate policy new NAME --like academic`. Nothing decides by itself until `apply` or `run` is called.
"""

_TARGETS: Final = """\
REPO    ns/name (a model), datasets/ns/name, model:ns/name, dataset:ns/name, hf://..., or the Hub's URL; --type settles
        a bare ns/name
TARGET  USER@REPO
        'USER@datasets/ns/*'    each repo of the store where USER waits (cancel, revoke: is in); for verbs
        REPO USER USER ...
        --repo REPO ID ...      request ids, 24 hex digits
        -                       stdin: any of these one a line, or lines of `hf-gate ls --format jsonl`
        --from FILE             the same from a file; # begins a comment
        REPO -, REPO --from FILE   usernames or ids alone, one a line

A line of `ls` says how the request stood: if it moved since, nothing is sent (stale).
"""


def _queries() -> str:
    from ..domain.query import KEYS  # noqa: PLC0415 - only who asks

    lines = "".join(f"  {key:10} {meaning}\n" for key, meaning in KEYS.items())
    return _QUERIES.format(keys=lines)


def _options() -> str:
    formatter = click.HelpFormatter(width=100)
    ctx = click.Context(click.Command("hf-gate"))
    formatter.write_dl([record for option in COMMON if (record := option.get_help_record(ctx))])
    return formatter.getvalue()


def _token() -> str:
    from .token_rights import TOPIC  # noqa: PLC0415 - as above

    return TOPIC


TOPICS: Final[Mapping[str, tuple[str, Callable[[], str]]]] = {
    "exit-codes": ("what each exit code means", lambda: _EXIT_CODES),
    "environment": ("variables and the configuration file", lambda: _ENVIRONMENT),
    "formatting": ("the formats of output", lambda: _FORMATTING),
    "targets": ("how repos and people are written", lambda: _TARGETS),
    "queries": ("how the store is asked for requests", _queries),
    "policies": ("from the starter policy to rules that decide", lambda: _POLICIES),
    "token": ("which token is needed, and what it may do", _token),
    "options": ("options that every command understands", _options),
}


@command("help", examples=("hf-gate help exit-codes", "hf-gate help ls"))
@click.argument("words", nargs=-1, metavar="[TOPIC or COMMAND]...")
def help_(run: Run, *, words: tuple[str, ...]) -> int:
    """Explain a topic or a command."""
    if not words:
        for name, (about, _) in TOPICS.items():
            run.out.line(f"  hf-gate help {name:12} {about}")
        run.out.line("  hf-gate help COMMAND      the same as hf-gate COMMAND --help")
        return 0
    if len(words) == 1 and words[0] in TOPICS:
        sys.stdout.write(TOPICS[words[0]][1]())
        return 0
    from .main import root  # noqa: PLC0415 - the tree is complete by now

    if words[0] not in {*root.table, *root.aliases}:
        raise UsageError(
            f"there is no topic or command {words[0]!r}.",
            hint=f"{_suggestion(words[0], [*TOPICS, *root.table], '`hf-gate help {}`')}Topics: {', '.join(TOPICS)}.",
        )
    with root.make_context("hf-gate", [*words, "--help"]) as ctx:
        root.invoke(ctx)
    return 0
