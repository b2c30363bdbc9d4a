"""Commands about the program itself: help topics, completion scripts, schemas."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import click
from click.shell_completion import get_completion_class

from hf_gate.command_line.hub.token_rights import HELP_TOPIC
from hf_gate.core.parsing.query import KEYS
from hf_gate.errors import UsageError

from .framework import COMMON, CommandContext, command
from .main import COMPLETE_VARIABLE, root

# ---- completion, schema ----------------------------------------------------------------------------------------------


@command("completion", examples=('eval "$(hf-gate completion bash)"', "hf-gate completion fish"))
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(_context: CommandContext, *, shell: str) -> int:
    """Print the completion script of your shell."""
    found = get_completion_class(shell)
    if found is None:  # pragma: no cover - click has all three shells
        raise UsageError(f"no completion for {shell}.")
    sys.stdout.write(found(root, {}, "hf-gate", COMPLETE_VARIABLE).source())
    return 0


def _suggestion(typed: str, known: Iterable[str], shape: str) -> str:
    """Return e.g. `Did you mean ls? `, else ''."""
    near = difflib.get_close_matches(typed, list(known), n=1)
    return f"Did you mean {shape.format(near[0])}? " if near else ""


@command("schema", examples=("hf-gate schema", "hf-gate schema ls"))
@click.argument("name", required=False)
def schema(context: CommandContext, *, name: str | None) -> int:
    """Print the JSON Schema of a document; without NAME, list the names."""
    from hf_gate.command_line.workspace.schemas import ALIASES, DOCUMENTS, schema_of

    if name is None:
        for known in DOCUMENTS:
            context.out.line(known)
        return 0
    if name not in DOCUMENTS and name not in ALIASES:
        raise UsageError(
            f"there is no schema {name!r}.", hint=f"{_suggestion(name, DOCUMENTS, '{}')}`hf-gate schema` lists them."
        )
    sys.stdout.write(json.dumps(schema_of(name), indent=2) + "\n")
    return 0


# ---- help topics -----------------------------------------------------------------------------------------------------

_EXIT_CODES: Final = """\
  0  success; nothing was refused or left open (also: nothing to do, an empty list)
  1  failed; nothing was done. why: you cannot download, or not yet
  2  wrong usage or configuration, a Space, a wrong type, an unknown status, a reason that is too long
  3  only plan --detailed-exitcode: there are changes
  4  no token, or the token lacks a permission; nothing was done
  5  partly done, or the result is not certain; or a list is not proved complete (--allow-incomplete: 0)
  6  a safeguard stopped it and nothing was sent: more than --max, no --yes, a request that changed since it was read
 75  the Hub is not available and nothing was done; the same command can be repeated
130  interrupted by Ctrl-C (143: by SIGTERM); what was sent is settled
"""

_ENVIRONMENT: Final = """\
HF_TOKEN, HF_TOKEN_PATH, HF_HOME   location of the token, as for `hf`
HF_ENDPOINT                        another Hub (--endpoint)
HF_HUB_OFFLINE                     never call the Hub: exit 75
HF_GATE_PROFILE                    a profile (--profile)
HF_GATE_WORKSPACE                  the folder with hf-gate.yaml (--workspace); default: this folder or a parent
HF_GATE_MAX_WAIT, HF_GATE_TIMEOUT  durations: 30s, 5m (--max-wait, --timeout)
HF_GATE_READ_ONLY                  1: refuse every change of the Hub, the store and files, and test notices (exit 2)
HF_GATE_INSECURE_HTTP              1: allow sending a token over plain http (--insecure-http)
HF_GATE_CLOCK                      hub: use the clock of a local Hub
HF_GATE_DEBUG, HF_DEBUG            1: print the traceback of an error
HTTPS_PROXY, ALL_PROXY, NO_PROXY   as usual; a Hub on this machine is never called through a proxy
SSL_CERT_FILE                      as usual
XDG_CONFIG_HOME, XDG_DATA_HOME, XDG_STATE_HOME, XDG_CACHE_HOME   folders of files: `hf-gate doctor`
NO_COLOR, FORCE_COLOR, TERM=dumb   colours: green accepts, cyan sends back, red rejects or ends access, yellow warns

Precedence: flags, then the profile, then the environment, then config.toml. Example of config.toml:
  profile = "work"
  [profiles.work]
  endpoint = "https://hub.example.org"
  token_file = "work.token"
"""

_FORMATTING: Final = """\
Data goes to stdout, messages to stderr. --format is one of:
  auto    human; agent if AI_AGENT or AGENT is set and stdout is not a terminal
  human   tables and sentences; 30 rows by default (--all, --limit N); a narrow terminal shows fewer columns
          (--no-truncate shows everything)
  agent   values separated by tabs, full times; text of requesters is in columns and keys named untrusted_
  json    one document (--json); missing values are null, times are ISO 8601 with milliseconds and Z
  jsonl   one object per line, as `hf-gate accept -` reads it
  csv     one row per record, one column per answer (not its quality); no cell is a formula
  quiet   only ids or names (-q)
`hf-gate schema NAME` prints the JSON Schema of each document.

Characters from outside that control a terminal, or hide or reorder text, are printed by name, e.g. U+202E in
brackets. JSON contains them as \\u escapes.
"""

_QUERIES: Final = """\
A query is a list of terms separated by spaces. A request must match all of them:
  key:value  key:a,b  -key:value  form."Intended use":*robot*  sleep
`key:a,b` matches one of the values. `-` negates a term. `*` matches any text. A bare word searches names, e-mail
addresses and answers. Use quotes around spaces and commas. An invalid term is an error with a suggestion.

{keys}"""

_POLICIES: Final = """\
A policy decides requests by rules. `hf-gate init` creates one: policies/starter.yaml. It is in shadow mode: it shows
what it would do and changes nothing. To let a rule decide:

  hf-gate policy show REPO          show its rules as sentences
  hf-gate plan                      show what it would decide
  hf-gate explain USER@REPO         explain the verdict of one request
  edit policies/starter.yaml        replace `mode: shadow` with `mode: enforce`
  hf-gate policy check              find problems, and show what each accept rule requires
  hf-gate plan --out plan.json      save the changes in a file
  hf-gate apply plan.json           apply them, once
  hf-gate run --every 10m           sync, plan and apply every 10 minutes, within your guards

To start from an example: `hf-gate init REPO --like EXAMPLE`; in a workspace, `hf-gate policy new NAME --like EXAMPLE`:

  class      a course: the people on a roster, until the term ends (--roster FILE --until 2027-06-30)
  academic   university e-mail addresses, and partners by domain
  consumer   everybody who says why and ticks the boxes
  medical    a signed agreement, and an institution
  deny       the people on a list get no access, and lose it

Nothing is decided until you call `apply` or `run`. The gate itself: `hf repos settings REPO --gated manual`.
"""

_TARGETS: Final = """\
REPO    ns/name (a model), datasets/ns/name, model:ns/name, dataset:ns/name, hf://..., or the Hub's URL; --type sets
        the type of a bare ns/name
TARGET  USER@REPO
        'USER@datasets/ns/*'    decisions only: each stored repo where USER is pending (cancel, revoke: accepted;
                          grant: all)
        'USER@*'                all stored repos; USER can also be an account id, an e-mail address or a pseudonym
        REPO USER USER ...
        --repo REPO ID ...      request ids, 24 hex digits
        -                       stdin: one target per line, or lines of `hf-gate ls --format jsonl`
        --from FILE             a file with one target per line; # starts a comment
        REPO -, REPO --from FILE   only usernames or ids, one per line

A line of `ls` contains the state of the request. If it changed since, nothing is sent (stale).
"""


def _queries_text() -> str:
    lines = "".join(f"  {key:10} {meaning}\n" for key, meaning in KEYS.items())
    return _QUERIES.format(keys=lines)


def _options_text() -> str:
    formatter = click.HelpFormatter(width=100)
    ctx = click.Context(click.Command("hf-gate"))
    formatter.write_dl([record for option in COMMON if (record := option.get_help_record(ctx))])
    return formatter.getvalue()


def _commands_text() -> str:
    formatter = click.HelpFormatter(width=100)
    sections = dict.fromkeys(entry.section for entry in root.table.values())
    for section in sections:
        rows = [(name, entry.summary) for name, entry in root.table.items() if entry.section == section]
        with formatter.section(section.capitalize() or "More"):
            formatter.write_dl(rows)
    return formatter.getvalue().lstrip()


TOPICS: Final[Mapping[str, tuple[str, Callable[[], str]]]] = {
    "all": ("every command", _commands_text),
    "exit-codes": ("meaning of each exit code", lambda: _EXIT_CODES),
    "environment": ("variables and the configuration file", lambda: _ENVIRONMENT),
    "formatting": ("output formats", lambda: _FORMATTING),
    "targets": ("how to write repos and people", lambda: _TARGETS),
    "queries": ("how to filter requests in the store", _queries_text),
    "policies": ("from the starter policy to rules that decide", lambda: _POLICIES),
    "token": ("which token you need and what it can do", lambda: HELP_TOPIC),
    "options": ("options of every command", _options_text),
}


@command("help", examples=("hf-gate help exit-codes", "hf-gate help ls"))
@click.argument("words", nargs=-1, metavar="[HELP_TOPIC or COMMAND]...")
def help_(context: CommandContext, *, words: tuple[str, ...]) -> int:
    """Explain a topic or a command."""
    if not words:
        for name, (about, _) in TOPICS.items():
            context.out.line(f"  hf-gate help {name:12} {about}")
        context.out.line("  hf-gate help COMMAND      the same as hf-gate COMMAND --help")
        return 0
    if len(words) == 1 and words[0] in TOPICS:
        for line in TOPICS[words[0]][1]().splitlines():
            context.out.line(line)
        return 0
    if words[0] not in {*root.table, *root.aliases}:
        raise UsageError(
            f"there is no topic or command {words[0]!r}.",
            hint=f"{_suggestion(words[0], [*TOPICS, *root.table], '`hf-gate help {}`')}Topics: {', '.join(TOPICS)}.",
        )
    with root.make_context("hf-gate", [*words, "--help"]) as ctx:
        root.invoke(ctx)
    return 0
