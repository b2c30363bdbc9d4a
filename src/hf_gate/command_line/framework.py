"""The base of every command: common options, lazily loaded groups, help with examples, and suggestions."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, wraps
from http import HTTPStatus
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click
from click.core import ParameterSource

from hf_gate.base.ids import Repo, parse_repo
from hf_gate.errors import NotAllowed, UsageError

from .output import FIRST_ROWS, Format, Output, resolve_format

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from hf_gate.config import Settings
    from hf_gate.core.people.accounts import Account
    from hf_gate.hub.client import Hub
    from hf_gate.settings.service.workspace import WorkspaceLocation
    from hf_gate.workspace.service.bootstrap import Connection

_PLACE_OPTIONS: Final = ("endpoint", "token_file", "workspace", "profile")  # common options that name Hub or workspace
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class CommandEntry(NamedTuple):
    """One command of a group: the location of its code, and its line in the help."""

    import_path: str
    summary: str
    section: str = ""  # the line of `hf-gate --help` that names it
    is_hidden: bool = False  # hidden from help and suggestions; the docs name it
    has_effect: bool = False  # changes the Hub or a run, so it is suggested only for a one-letter typo


class CommandContext:
    """The context of one call of the program. Expensive parts are created on first use."""

    def __init__(self) -> None:
        self.flags: dict[str, object] = {}
        self.formats: set[str] = set()
        self.is_announced = False
        self._location: WorkspaceLocation | None = None

    def flag_text(self, name: str) -> str | None:
        """Return the value of a common option as text; None if it was not given."""
        value = self.flags.get(name)
        return None if value is None else str(value)

    @cached_property
    def out(self) -> Output:
        """Return the writer of stdout and stderr, in the chosen format."""
        name = next(iter(self.formats), None)
        return Output(
            resolve_format(name), self.flag_text("color") or "auto", truncate=not self.flags.get("no_truncate")
        )

    @cached_property
    def connection(self) -> Connection:
        """Return the connection to the Hub named by flags, environment or file. It is closed when the program ends."""
        from hf_gate.command_line.automation.log_lines import WaitLines
        from hf_gate.workspace.service import bootstrap

        if self.flags.get("token") is not None:
            self.out.warn(
                "--token is visible in the shell history and the process list; use HF_TOKEN or --token-file instead."
            )
        connection = bootstrap.Connection(self.read_settings())
        root = click.get_current_context().find_root()
        root.call_on_close(connection.close)
        root.call_on_close(WaitLines(self.out).install())
        return connection

    def parse_repo(self, text: str, repo_type: str | None = None) -> Repo:
        """Parse an argument as a repo of this Hub."""
        return parse_repo(text, repo_type, endpoint=self.endpoint)

    @property
    def endpoint(self) -> str:
        """Return the URL of the Hub."""
        from hf_gate.workspace.service import bootstrap

        return bootstrap.endpoint_of(self.settings)

    def read_settings(self) -> Settings:
        """Read the settings again, with the token that its file holds now."""
        from hf_gate.config import Flags
        from hf_gate.workspace.service import bootstrap

        insecure = True if self.flags.get("insecure_http") else None
        names = ("endpoint", "token", "token_file", "profile", "max_wait", "timeout", "workspace", "reserve")
        return bootstrap.read_process_settings(
            Flags(**{name: self.flag_text(name) for name in names}, insecure_http=insecure)
        )

    def follow_token(self) -> str:
        """Use the token that its source holds now; return its fingerprint.

        Raises UsageError if the source cannot be read, or has the token of another account.
        """
        return self.connection.follow_token(self.read_settings())

    @property
    def settings(self) -> Settings:
        """Return the settings from flags, environment variables and file; they are read once."""
        return self.connection.settings

    @property
    def hub(self) -> Hub:
        """Return the Hub client."""
        return self.connection.hub

    @property
    def account(self) -> Account | None:
        """Return the token's account; None without a token."""
        return self.connection.account

    @property
    def location(self) -> WorkspaceLocation:
        """Return the workspace location with its configuration; its folder is None without a workspace."""
        from hf_gate.workspace.service import bootstrap

        if self._location is None:
            self._location = bootstrap.read_location(self.settings)
        return self._location

    @property
    def last_location(self) -> WorkspaceLocation:
        """Return the location with its configuration as it could last be read, for what must go on meanwhile."""
        from hf_gate.workspace.service import bootstrap

        try:
            return self.location
        except UsageError:
            return bootstrap.read_last_location(self.settings)

    def forget_location(self) -> None:
        """Make the next use of `location` read hf-gate.yaml again."""
        self._location = None

    def move_to(self, folder: Path) -> None:
        """Switch to the workspace in this folder."""
        self.connection.settings = replace(self.settings, workspace=folder)
        self._location = None

    def limit_wait(self, seconds: float) -> None:
        """Let calls to the Hub wait at most so long, even if the settings allow more."""
        longest = self.settings.max_wait
        limit = seconds if longest is None else min(longest, seconds)
        self.connection.settings = replace(self.settings, max_wait=limit)

    def now(self) -> datetime:
        """Return the current time; with HF_GATE_CLOCK=hub, the time of the local Hub."""
        return self.connection.clock.now()

    def command_line(self, *words: str) -> str:
        """Return another command as text for a shell, with the options of this one that name the Hub and workspace."""
        places = [(name, value) for name in _PLACE_OPTIONS if (value := self.flag_text(name)) is not None]
        options = [part for name, value in places for part in (f"--{name.replace('_', '-')}", value)]
        return shlex.join(["hf-gate", *options, *words])

    @property
    def may_ask(self) -> bool:
        """Return whether a question can be asked on the terminal."""
        return not self.flags.get("no_input") and sys.stdin.isatty() and sys.stderr.isatty() and self.out.is_human


pass_context = click.make_pass_decorator(CommandContext, ensure=True)


# ---- common options, allowed before and after a command's name -------------------------------------------------------


def _store_flag(ctx: click.Context, param: click.Parameter, value: object) -> None:
    if param.name and ctx.get_parameter_source(param.name) is not ParameterSource.DEFAULT:
        ctx.find_root().ensure_object(CommandContext).flags[param.name] = value


def _store_format(ctx: click.Context, param: click.Parameter, value: object) -> None:
    if ctx.get_parameter_source(param.name or "") is ParameterSource.DEFAULT or not value:
        return
    context = ctx.find_root().ensure_object(CommandContext)
    context.formats.add({"as_json": "json", "quiet": "quiet"}.get(param.name or "", str(value)))
    if len(context.formats) > 1:
        raise UsageError(
            f"more than one format: {' and '.join(sorted(context.formats))}.", hint="Use only one of them."
        )


def _option(*names: str, callback: Callable[..., None] = _store_flag, **more: object) -> click.Option:
    return click.Option(list(names), expose_value=False, callback=callback, **more)  # type: ignore[arg-type]


COMMON: tuple[click.Option, ...] = (
    _option(
        "--format",
        callback=_store_format,
        type=click.Choice(["auto", *(each.value for each in Format)]),
        help="Output format.",
    ),
    _option("--json", "as_json", callback=_store_format, is_flag=True, help="Same as --format json."),
    _option(
        "-q", "--quiet", callback=_store_format, is_flag=True, help="Print only names or ids; same as --format quiet."
    ),
    _option("--no-truncate", is_flag=True, help="Do not shorten cells of tables."),
    _option("--color", type=click.Choice(["auto", "always", "never"]), help="Use colours; NO_COLOR is respected."),
    _option("--no-input", is_flag=True, help="Never ask questions."),
    _option("--endpoint", metavar="URL", help="URL of another Hub (HF_ENDPOINT)."),
    _option(
        "--token", metavar="TOKEN", help="A token. It is visible in the process list; prefer HF_TOKEN or --token-file."
    ),
    _option("--token-file", metavar="FILE", help="File with the token."),
    _option(
        "--workspace",
        metavar="DIR",
        help="Folder with hf-gate.yaml (HF_GATE_WORKSPACE); default: this folder or the nearest parent that has one.",
    ),
    _option(
        "--profile", metavar="NAME", help="Profile in config.toml, or `demo` while the demo runs (HF_GATE_PROFILE)."
    ),
    _option(
        "--max-wait",
        metavar="TIME",
        help="Give up on a call after this time, including retries and waits, with exit code 75: 30s, 5m.",
    ),
    _option("--timeout", metavar="TIME", help="Timeout of a single call; default: 10s."),
    _option("--insecure-http", is_flag=True, help="Allow sending the token to another machine over plain http."),
)


class ProgramCommand(click.Command):
    """A command with the common options and with examples, which the tests run."""

    def __init__(self, name: str | None, *, examples: Sequence[str] = (), **more: Any) -> None:  # noqa: ANN401
        super().__init__(name, context_settings=CONTEXT, **more)
        self.examples = tuple(examples)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*super().get_params(ctx), *COMMON]

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except UsageError as problem:
            problem.hint = problem.hint or f"`{ctx.command_path} --help` shows its arguments."
            raise
        except NotAllowed as problem:
            explain_refused_token(ctx.find_root().ensure_object(CommandContext), problem)
            raise

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        own = [
            record
            for param in super().get_params(ctx)
            if isinstance(param, click.Option) and (record := param.get_help_record(ctx))
        ]
        if own:
            with formatter.section("Options"):
                formatter.write_dl(own)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as above
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"  $ {example}\n")
        formatter.write("\nCommon options (--format, --json, -q, --profile, --token-file, ...):\n")
        formatter.write("  hf-gate help options\n")


def explain_refused_token(context: CommandContext, problem: NotAllowed) -> None:
    """Name where the token comes from, and say of a 401 whether a token was sent: the Hub's answer is the same."""
    from hf_gate.hub.credentials import name_token_source
    from hf_gate.workspace.service import bootstrap

    problem.hint = name_token_source(problem.hint, context.settings.token_from)
    if problem.status != HTTPStatus.UNAUTHORIZED:
        return
    either = "the Hub does not know this token, or none was sent"
    words = (
        "the Hub does not know this token"
        if bootstrap.has_token(context.settings)
        else "no token was sent, and this command needs one"
    )
    problem.message = problem.message.replace(either, words)


class LazyGroup(click.Group):
    """A group whose commands are only imported when called. The help of the group needs only the table."""

    def __init__(
        self,
        name: str,
        table: Mapping[str, CommandEntry],
        *,
        help: str,  # noqa: A002 - click's parameter name
        epilog: str = "",
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name, help=help, epilog=epilog, context_settings=CONTEXT, no_args_is_help=False)
        self.table = table
        self.aliases = aliases or {}
        self.invoke_without_command = True

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*super().get_params(ctx), *COMMON]

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return [name for name, entry in self.table.items() if not entry.is_hidden]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        entry = self.table.get(self.aliases.get(cmd_name, cmd_name))
        if entry is None:
            return None
        module, _, name = entry.import_path.partition(":")
        found: click.Command = getattr(import_module(module), name)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        command = self.get_command(ctx, args[0])
        if command is not None:
            return args[0], command, args[1:]
        near = self._find_in_subgroups(ctx, args[0]) or self._find_similar(ctx, args[0])
        guess = f"Did you mean `{ctx.command_path} {near}`?" if near else ""
        raise UsageError(
            f"there is no command {args[0]!r}.",
            hint=f"{guess} `{ctx.command_path} {'--help' if ctx.parent else 'help all'}` lists them.".strip(),
        )

    def _find_similar(self, ctx: click.Context, typed: str) -> str | None:
        """Return the most similar command. A command with effects is suggested only if a single letter differs."""
        known = {**{name: name for name in self.list_commands(ctx)}, **self.aliases}
        import difflib

        for name in difflib.get_close_matches(typed, known, n=5, cutoff=0.65):
            if not self.table[known[name]].has_effect or is_one_edit_away(typed, name):
                return known[name]
        return None

    def _find_in_subgroups(self, ctx: click.Context, name: str) -> str | None:
        """Return `GROUP NAME` if the summary of a group lists a command with that name."""
        for group, entry in self.table.items():
            if f" {name}" in entry.summary.partition(":")[2].replace(",", " ").replace(".", " "):
                found = self.get_command(ctx, group)
                if isinstance(found, LazyGroup) and name in found.table:
                    return f"{group} {name}"
        return None

    def invoke(self, ctx: click.Context) -> object:
        if not ctx._protected_args and not ctx.args:  # noqa: SLF001 - click has no public way
            click.echo(ctx.get_help())
            return 0
        return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.table[name].summary) for name in self.list_commands(ctx)])

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_commands(ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as above
        if self.epilog:
            formatter.write(f"\n{self.epilog}\n")


class RootGroup(LazyGroup):
    """The program. Its help has a line for each section, with names only; commands without a section are left out."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as above
        sections = dict.fromkeys(entry.section for entry in self.table.values() if entry.section)
        rows = [
            (section, " ".join(name for name, entry in self.table.items() if entry.section == section))
            for section in sections
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def is_one_edit_away(one: str, other: str) -> bool:
    """Return whether the words differ by one letter: added, missing, replaced or swapped with its neighbour."""
    start = next(
        (at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), min(len(one), len(other))
    )
    left = one[start:]
    right = other[start:]
    is_replaced = left[1:] == right[1:]
    is_swapped = left[:2] == right[1::-1] and left[2:] == right[2:]
    return one != other and (is_replaced or left[1:] == right or left == right[1:] or is_swapped)


def repeat_command(words: Sequence[str]) -> str:
    """Return the running command with other arguments, and the same options of its own and of the Hub and workspace."""
    ctx = click.get_current_context()
    parts = [*ctx.command_path.split()[1:], *words]
    for param in ctx.command.params:
        if (
            isinstance(param, click.Option)
            and param.expose_value
            and ctx.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE
        ):
            parts += [max(param.opts, key=len)] if param.is_flag else [param.opts[0], str(ctx.params[param.name or ""])]
    return ctx.find_root().ensure_object(CommandContext).command_line(*parts)


def command(name: str, *, examples: Sequence[str]) -> Callable[[Callable[..., object]], ProgramCommand]:
    """Make a command from a function that returns the exit code (None means 0)."""

    def decorate(function: Callable[..., object]) -> ProgramCommand:
        return click.command(name, cls=ProgramCommand, examples=examples)(pass_context(function))

    return decorate


def limit_options(function: Callable[..., object]) -> Callable[..., object]:
    """Add `--limit` and `--all`, passed as one `limit`: None by default, -1 for all."""

    @wraps(function)
    def call(*args: object, limit: int | None, everything: bool, **more: object) -> object:
        return function(*args, limit=-1 if everything else limit, **more)

    rows = click.IntRange(min=0)
    about = f"Maximum number of rows; default for tables and agents: {FIRST_ROWS}."
    with_limit = click.option("--all", "everything", is_flag=True, help="Show all rows.")(call)
    return click.option("--limit", type=rows, help=about)(with_limit)


def full_evaluation_option(function: Callable[..., object]) -> Callable[..., object]:
    """Add `--full-evaluation`."""
    about = "Evaluate every request again, even if nothing changed for it."
    return click.option("--full-evaluation", is_flag=True, help=about)(function)


def repo_type_option(function: Callable[..., object]) -> Callable[..., object]:
    """Add `--type`, the type of a bare ns/name."""
    return click.option(
        "--type",
        "--repo-type",
        "repo_type",
        metavar="model|dataset",
        help="Type of a bare ns/name (default: model).",
    )(function)
