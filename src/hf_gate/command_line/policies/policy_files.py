"""Reads and checks the policies of a command, and prints their problems with the marked lines."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from msgspec import Struct, field
from msgspec.structs import replace

from hf_gate.base.display_text import clip_line, display_width, make_visible, pluralize
from hf_gate.base.time_zones import TimeZones
from hf_gate.command_line.framework import CommandContext
from hf_gate.command_line.text_layout import cut_mark
from hf_gate.errors import HfGateError, UsageError
from hf_gate.settings.workspace_config import WorkspaceConfig

from .policy_tables import CheckedTable, check_tables, relative_name

if TYPE_CHECKING:
    from hf_gate.core.forms.forms import GateForm
    from hf_gate.core.parsing.strict_yaml import SourceText
    from hf_gate.core.policy_model import Policy, PolicyProblem
    from hf_gate.policies.checks.policy_checker import CheckedPolicy
    from hf_gate.policies.parsing.policy_parser import ParsedPolicy


class Policies(Struct, frozen=True):
    """The policies that were read. File names are relative to the working directory.

    `problems` includes the problems of hf-gate.yaml and of the tables.
    """

    folder: Path | None
    config: WorkspaceConfig | None
    checked: Mapping[str, CheckedPolicy] = field(default_factory=dict)
    sources: Mapping[str, SourceText] = field(default_factory=dict)
    problems: tuple[PolicyProblem, ...] = ()
    forms: tuple[str, ...] = ()  # repos whose forms were checked
    tables: tuple[CheckedTable, ...] = ()

    @property
    def has_errors(self) -> bool:
        """Return whether any problem is an error."""
        return any(problem.is_error for problem in self.problems)

    def counts(self) -> Counter[str]:
        """Return the number of errors and of warnings."""
        return Counter("error" if problem.is_error else "warning" for problem in self.problems)

    def without_errors(self) -> Iterable[tuple[str, CheckedPolicy, Policy]]:
        """Return the name, the check and the model of each policy without errors."""
        return [(name, each, each.policy) for name, each in self.checked.items() if each.policy is not None]

    def line_of(self, problem: PolicyProblem) -> str:
        """Return the line of the file that a problem is about."""
        source = self.sources.get(problem.source)
        return source.line(problem.position.line) if source else ""


def print_problems(
    context: CommandContext, policies: Policies, problems: Iterable[PolicyProblem], *, on_stderr: bool = False
) -> None:
    """Print problems for people, on stdout, or `on_stderr` if the command prints something else on stdout."""
    for problem in problems:
        for text, style in problem_lines(problem, policies.line_of(problem)):
            (context.out.say if on_stderr else context.out.line)(text, style)


def print_errors(context: CommandContext, policies: Policies) -> int:
    """Print the errors that stop a command; return exit code 2."""
    errors = [problem for problem in policies.problems if problem.is_error]
    print_problems(context, policies, errors, on_stderr=True)
    context.out.say(f"Error: {pluralize(len(errors), 'error')} in the policies; nothing was done.", "red")
    return 2


# ---- read files ------------------------------------------------------------------------------------------------------


def read_policies(
    context: CommandContext,
    files: Sequence[str] = (),
    *,
    needs_workspace: bool = False,
    prints_workspace: bool = True,
    counts_matches: bool = False,
) -> Policies:
    """Read the given files, else the workspace's policies, and check them against the workspace and the stored forms.

    Errors in files, including hf-gate.yaml, become problems. Raises UsageError if there is nothing to read.
    `prints_workspace` prints the workspace on stderr. `counts_matches` also counts the pending requests that each table
    lists.
    """
    from hf_gate.policies.parsing.policy_parser import find_foreign_urls
    from hf_gate.settings.service.workspace import WorkspaceLocation
    from hf_gate.workspace.service import bootstrap

    folder = bootstrap.find_workspace_folder(context.settings)
    if folder is None and files and files[0] != "-":  # the workspace that contains the file defines the tables
        folder = bootstrap.find_workspace_folder(context.settings, Path(files[0]).absolute().parent)
    if folder is None and (needs_workspace or not files):
        raise UsageError(
            "there is no workspace here: no hf-gate.yaml in this folder or above it.",
            hint="Create a workspace with `hf-gate init`, or name one with --workspace DIR."
            + ("" if needs_workspace else " Or name policy FILEs."),
        )
    if folder is None:
        return _check_policies(context, None, None, {name: _parse_file(name) for name in files})
    if prints_workspace:
        context.out.say(f"workspace {WorkspaceLocation(folder, WorkspaceConfig()).title}", "dim")
    config, sources, problems = _read_config(folder)
    if config is None:
        return Policies(folder, None, sources=sources, problems=problems)
    parsed = {name: _parse_file(name) for name in files} if files else _policies_of_folder(folder)
    found = _check_policies(context, folder, config, parsed)
    foreign = [
        problem
        for name, each in parsed.items()
        for problem in find_foreign_urls(each.repo_urls, name, bootstrap.endpoint_of(context.settings))
    ]
    policies = [policy for _, _, policy in found.without_errors()]
    tables = check_tables(context, folder, policies, counts=counts_matches)
    wrong = [problem for table in tables for problem in table.problems()]
    return replace(
        found,
        sources={**sources, **found.sources},
        problems=(*problems, *(() if files else _check_needs(found, config)), *found.problems, *foreign, *wrong),
        tables=tuple(tables),
    )


def _check_needs(found: Policies, config: WorkspaceConfig) -> tuple[PolicyProblem, ...]:
    """Report rules in `needs` that are in no policy; nothing if a policy has errors, because it may have the rule."""
    from hf_gate.policies.checks.policy_checker import check_needs

    policies = [policy for _, _, policy in found.without_errors()]
    return tuple(check_needs(config, policies)) if len(policies) == len(found.checked) else ()


def _read_config(folder: Path) -> tuple[WorkspaceConfig | None, dict[str, SourceText], tuple[PolicyProblem, ...]]:
    from hf_gate.core.parsing.strict_yaml import SourceText
    from hf_gate.policies.drivers.workspace_folder import CONFIG_NAME, read_text
    from hf_gate.policies.parsing.config_parser import parse_config

    name = relative_name(folder, CONFIG_NAME)
    text = read_text(folder / CONFIG_NAME)
    parsed = parse_config(text, name, list_zones=TimeZones)
    return parsed.config, {name: SourceText(text, name)}, parsed.problems


def _policies_of_folder(folder: Path) -> dict[str, ParsedPolicy]:
    from hf_gate.policies.drivers.workspace_folder import read_folder
    from hf_gate.policies.parsing.policy_parser import parse_policy

    texts = {relative_name(folder, name): each.document.source.text for name, each in read_folder(folder).files.items()}
    return {name: parse_policy(text, name) for name, text in texts.items()}


def _parse_file(name: str) -> ParsedPolicy:
    from hf_gate.policies.drivers.workspace_folder import read_text
    from hf_gate.policies.parsing.policy_parser import parse_policy

    text = (
        sys.stdin.buffer.read().decode("utf-8-sig", "replace")
        if name == "-"
        else read_text(Path(name), follows_links=True)
    )
    return parse_policy(text, "stdin" if name == "-" else name)


# ---- check policies --------------------------------------------------------------------------------------------------


def _check_policies(
    context: CommandContext, folder: Path | None, config: WorkspaceConfig | None, parsed: Mapping[str, ParsedPolicy]
) -> Policies:
    from hf_gate.policies.checks.policy_checker import check_policy, check_unique_names

    forms = _stored_forms(context) if config is not None else {}
    today = context.connection.clock.now().astimezone(UTC if config is None else ZoneInfo(config.timezone)).date()
    checked = {name: check_policy(each, config=config, forms=forms, today=today) for name, each in parsed.items()}
    problems = [problem for each in checked.values() for problem in each.problems]
    problems += check_unique_names(tuple(checked.values()))
    seen = tuple(dict.fromkeys(repo for each in checked.values() for repo in each.repos))
    sources = {name: each.document.source for name, each in parsed.items()}
    return Policies(folder, config, checked, sources, tuple(problems), seen)


def _stored_forms(context: CommandContext) -> dict[str, GateForm]:
    """Return the gate forms in the store; none without a store. Warns if the store cannot be read."""
    from hf_gate.core.forms.forms import form_from_json
    from hf_gate.workspace.service import bootstrap

    try:
        if not bootstrap.has_store(context.settings, context.location):
            return {}
        workspace = bootstrap.connect_workspace(context.connection, context.location, read_only=True)
    except HfGateError as problem:
        context.out.warn(f"the forms of the repos were not checked: {problem}")
        return {}
    with workspace:
        return {str(row.repo): form_from_json(row.form_card) for row in workspace.store.repos() if row.form_card}


# ---- problems --------------------------------------------------------------------------------------------------------


_MAX_BEFORE: Final = 70  # columns of a long line shown before the marked part
_MAX_LINE: Final = 120
_LABEL_WITHIN: Final = 110  # within these columns, the advice is on the line of the marks, else below it


def problem_lines(problem: PolicyProblem, text: str = "") -> Iterator[tuple[str, str]]:
    """Return a problem as lines with their styles. `text` is the line of the file; empty to show no line."""
    style = "red" if problem.is_error else "yellow"
    is_whole_file = not text and (problem.position.line, problem.position.column) == (1, 1)
    place = "" if is_whole_file else f":{problem.position.line}:{problem.position.column}"
    yield f"{problem.source}{place}: {severity_of(problem)}: {_end_sentence(problem.message)}", style
    advice = _advice(problem)
    if not text.strip():
        if advice:
            yield f"  {advice}", ""
        return
    number = str(problem.position.line)
    before, marked, after = _split_around(text, problem.position.column - 1, problem.length)
    marks = " " * display_width(before) + "^" * max(1, display_width(marked))
    yield f"  {number} \u2502 {before}{marked}{after}", ""
    gutter = f"  {' ' * len(number)} \u2502 "
    if not advice or len(marks) + len(advice) + len(gutter) < _LABEL_WITHIN:
        yield f"{gutter}{marks} {advice}".rstrip(), style
    else:
        yield f"{gutter}{marks}", style
        yield f"{gutter}{advice}", ""


def severity_of(problem: PolicyProblem) -> str:
    """Return `error` or `warning`."""
    return "error" if problem.is_error else "warning"


def summarize(problems: Mapping[str, int]) -> str:
    """Return e.g. `2 errors, 1 warning` or `no problems`."""
    words = [pluralize(count, name) for name, count in problems.items() if count]
    return ", ".join(words) or "no problems"


def _advice(problem: PolicyProblem) -> str:
    """Return what to write instead, unless the message already says so."""
    hint = problem.hint.strip()
    if hint and hint.rstrip(".") not in problem.message:
        return hint
    fix = problem.fix or ""
    if not hint and fix.strip() and "\n" not in fix and fix not in problem.message:
        return f"Write `{fix}`."
    return ""


def _end_sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _split_around(text: str, start: int, length: int) -> tuple[str, str, str]:
    """Return the text before, at and after a position, safe to print; of a long line, return only the part around the
    position.
    """
    before = text[:start]
    marked = text[start : start + length]
    after = text[start + length :]
    before = make_visible(before.replace("\t", "    "), one_line=True)
    if display_width(before) > _MAX_BEFORE and display_width(make_visible(text, one_line=True)) > _MAX_LINE:
        before = cut_mark() + before[-_MAX_BEFORE // 2 :]
    marked = clip_line(marked, _MAX_LINE)
    room = _MAX_LINE - display_width(before) - display_width(marked)
    return before, marked, clip_line(after, max(1, room))
