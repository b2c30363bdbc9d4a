"""Checks a parsed policy: compiles its expressions, checks names, constants, form labels, tests and ends of access."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime

from msgspec import Struct, field

from hf_gate.base.yaml_parser import Node, Scalar
from hf_gate.core.forms.forms import GateForm
from hf_gate.core.parsing.literals import glob_matches_path, globs_overlap
from hf_gate.core.parsing.strict_yaml import (
    ScalarSource,
    YamlDocument,
    items_of,
    nodes_of_lets,
    nodes_of_rules,
    position_of,
    suggest,
    value_of,
)
from hf_gate.core.people.grants import Duration
from hf_gate.core.policy_model import Action, FactEnd, Policy, PolicyProblem, Rule, SourcePosition
from hf_gate.policies.expressions.expression_bounds import MAX_POLICY_COST, policy_cost_problem
from hf_gate.policies.expressions.expression_problems import ExpressionProblem
from hf_gate.policies.expressions.expressions import Expression, compile_expression
from hf_gate.policies.facts.fact_table import ANSWER_ROLES, CelType, fact_types, find_declaration
from hf_gate.policies.facts.policy_test_facts import check_tests
from hf_gate.policies.parsing.policy_parser import ParsedPolicy
from hf_gate.settings.workspace_config import WorkspaceConfig

from .lint import lint_policy
from .reasons import reason_length_problem
from .reference_checks import check_constants, check_labels, check_roles


def check_needs(config: WorkspaceConfig, policies: Collection[Policy]) -> Iterator[PolicyProblem]:
    """Yield a warning for each text of `needs` whose rule is in none of the policies of the workspace, or does not
    wait.
    """
    rules = [rule for policy in policies for rule in policy.rules]
    waiting = {rule.id for rule in rules if rule.then is Action.WAIT}
    for name in config.letters.needs:
        if name in waiting:
            continue
        is_known = any(rule.id == name for rule in rules)
        what = f"the rule `{name}` does not have `then: wait`" if is_known else f"no policy has a rule `{name}`"
        near = None if is_known else suggest(name, sorted(waiting))
        hint = f"Did you mean `{near}`?" if near else "Remove it, or write the id of a rule with `then: wait`."
        yield PolicyProblem(
            "unknown_rule",
            f"letters: {what}, so nobody gets this text of `needs`.",
            config.source,
            config.need_positions[name],
            is_error=False,
            hint=hint,
            fix=near,
            length=len(name),
        )


def _warning(policy: Policy, rule: Rule, code: str, words: str, hint: str) -> PolicyProblem:
    position = rule.key_positions.get("after", rule.position)
    return PolicyProblem(code, words, policy.source, position, is_error=False, hint=hint)


PROFILE_SOURCE = "profile"
_ANY_DAY = datetime(2026, 1, 1, tzinfo=UTC)


def check_ends(
    document: YamlDocument,
    policy: Policy,
    declared: Mapping[str, CelType],
    conditions: Mapping[tuple[str, str], Expression],
    today: date | None,
) -> Iterator[PolicyProblem]:
    """Yield the problems of the ends in a policy. Without `today`, past dates are not reported."""
    nodes = nodes_of_rules(document)
    for rule in policy.rules:
        node = nodes.get(rule.id)
        until = value_of(node, "until")
        if isinstance(rule.until, FactEnd) and isinstance(until, Scalar):
            yield from _check_fact(document, rule, rule.until.name, until, declared)
        elif isinstance(rule.until, date) and today is not None and rule.until < today and until is not None:
            words = f"rule {rule.id}: `until` is in the past ({rule.until}); access would end before it starts."
            yield document.source.problem_at(until, "past_end", words, None, "Write a later date, or 1y.")
        yield from _check_notice(document, rule, value_of(node, "notice"), today)
        yield from _check_condition(document, rule, value_of(node, "keep_while"), conditions)


def _check_fact(
    document: YamlDocument, rule: Rule, name: str, node: Scalar, declared: Mapping[str, CelType]
) -> Iterator[PolicyProblem]:
    own = (each for each in declared if each.startswith("tables."))
    dates = sorted((each for each in own if declared[each] is CelType.TIMESTAMP), reverse=True)
    if name in dates:
        return
    if declared.get(name) is CelType.TIMESTAMP:
        words = f"rule {rule.id}: `{name}` is never in the future; access would end before it starts."
    elif name in declared:
        words = f"rule {rule.id}: `{name}` is not a date, so access cannot end with it."
    else:
        words = (
            f"rule {rule.id}: `until` takes a date, a duration or the name of a fact; there is no fact `{name[:40]}`."
        )
    near = f"{name}.expires" if f"{name}.expires" in dates else suggest(name, dates)
    hint = f"Did you mean `{near}`?" if near else _hint(dates)
    yield document.source.problem_at(node, "bad_until", words, near, hint)


def _hint(dates: list[str]) -> str:
    return (
        f"Write {dates[0]}, 1y, or a date such as 2027-06-30." if dates else "Write 1y, or a date such as 2027-06-30."
    )


def _check_notice(document: YamlDocument, rule: Rule, node: Node | None, today: date | None) -> Iterator[PolicyProblem]:
    """Report a notice that is due before the access starts."""
    if node is None or not rule.notice:
        return
    start = _ANY_DAY if today is None else datetime(today.year, today.month, today.day, tzinfo=UTC)
    if isinstance(rule.until, Duration):
        end = rule.until.after(start)
    elif isinstance(rule.until, date) and today is not None and rule.until >= today:
        end = datetime(rule.until.year, rule.until.month, rule.until.day, 23, 59, tzinfo=UTC)
    else:
        return
    early = next((step for step in rule.notice if step.after(start) > end), None)
    if early is not None:
        words = f"rule {rule.id}: a notice {early} before the end is due before access starts."
        yield document.source.problem_at(node, "early_notice", words, None, "Write a shorter time, or remove it.")


def _check_condition(
    document: YamlDocument, rule: Rule, node: Node | None, conditions: Mapping[tuple[str, str], Expression]
) -> Iterator[PolicyProblem]:
    """Report a condition on facts from profiles, because profiles are not read again after an acceptance."""
    keep = conditions.get((rule.id, "keep_while"))
    if keep is None or node is None:
        return
    found = ((name, find_declaration(name)) for name in sorted(keep.facts))
    name = next((name for name, known in found if known is not None and known.source == PROFILE_SOURCE), None)
    if name is not None:
        words = f"rule {rule.id}: `keep_while` cannot use {name}: profiles are not read again after an acceptance."
        yield document.source.problem_at(node, "profile_in_keep_while", words, None, "Use it in `when`.")


_MAX_REFUSED = 50  # the most expressions of one policy whose mistakes are reported
_MAX_FIXES = 6  # the most fixes applied to one expression, one after the other


class CheckedPolicy(Struct, frozen=True):
    """A policy with its compiled expressions. `policy` is None if any problem is an error.

    `conditions` are keyed by rule id and key (`when`, `unless`, `keep_while`); `repos` are the covered repos with a
    known form.
    """

    policy: Policy | None
    problems: tuple[PolicyProblem, ...]
    declared: Mapping[str, CelType] = field(default_factory=dict)
    lets: Mapping[str, Expression] = field(default_factory=dict)
    conditions: Mapping[tuple[str, str], Expression] = field(default_factory=dict)
    repos: tuple[str, ...] = ()


def check_policy(
    parsed: ParsedPolicy,
    *,
    config: WorkspaceConfig | None = None,
    forms: Mapping[str, GateForm] | None = None,
    today: date | None = None,
) -> CheckedPolicy:
    """Check one policy without running it. Never raises.

    `forms` are the gate forms of the workspace's repos by their path (`ns/name`, `datasets/ns/name`). Past dates in
    `until` are errors only if `today` is given, because a policy in use must keep working when its date has come.
    """
    if parsed.policy is None:
        return CheckedPolicy(None, parsed.problems)
    check = _PolicyChecker(parsed, parsed.policy, config, forms or {}, today)
    found = (*parsed.problems, *check.problems())
    problems = tuple(sorted(dict.fromkeys(found), key=_sort_key))
    policy = None if any(problem.is_error for problem in problems) else parsed.policy
    return CheckedPolicy(policy, problems, check.declared, check.lets, check.conditions, tuple(check.forms))


_ADVICE_CODES = ("unused", "no_catch_all", "accepts_everybody", "accepts_on_claims")


def _sort_key(problem: PolicyProblem) -> tuple[bool, int, int, int]:
    """Sort errors first, then warnings, then advice, each in the order of the file."""
    rank = _ADVICE_CODES.index(problem.code) + 1 if problem.code in _ADVICE_CODES else 0
    return not problem.is_error, rank, problem.position.line, problem.position.column


def check_unique_names(policies: Sequence[CheckedPolicy]) -> tuple[PolicyProblem, ...]:
    """Report policies with the same name."""
    found = []
    seen = dict[str, Policy]()
    for policy in (each.policy for each in policies):
        if policy is None:
            continue
        first = seen.setdefault(policy.name, policy)
        if first is not policy:
            words = f"{first.source} also has the policy name `{policy.name}`: names must be unique."
            found.append(PolicyProblem("policy_twice", words, policy.source, hint="Rename one of the two."))
    return tuple(found)


def table_names(policy: Policy, config: WorkspaceConfig | None) -> tuple[str, ...]:
    """Return the tables that a policy may use: the tables of hf-gate.yaml and its own."""
    return tuple(dict.fromkeys(table.name for table in (*(config.tables if config else ()), *policy.tables)))


class _PolicyChecker:
    def __init__(
        self,
        parsed: ParsedPolicy,
        policy: Policy,
        config: WorkspaceConfig | None,
        forms: Mapping[str, GateForm],
        today: date | None,
    ) -> None:
        self.parsed = parsed
        self.policy = policy
        self.config = config
        self.today = today
        self.forms = {repo: form for repo, form in forms.items() if _covers(policy, config, repo)}
        self.declared = fact_types(ANSWER_ROLES, table_names(policy, config))
        self.lets: dict[str, Expression] = {}
        self.broken_lets: set[str] = set()  # `let` names whose problem has been reported
        self.conditions: dict[tuple[str, str], Expression] = {}
        self.spent = 0  # steps of what was compiled: checking stops at the limit of a policy
        self.rule_nodes = nodes_of_rules(parsed.document)

    def problems(self) -> list[PolicyProblem]:
        found = [
            *self._check_expressions(),
            *self._check_cost(),
            *self._check_names(),
            *self._check_reasons(),
            *self._check_repos(),
            *check_ends(self.parsed.document, self.policy, self.declared, self.conditions, self.today),
        ]
        found += check_tests(self.parsed.document, self.policy, self.declared)
        if not any(each.is_error for each in found):
            found += lint_policy(self.parsed.document, self.policy, self.lets, self.conditions)
        return found

    # ---- expressions -------------------------------------------------------------------------------------------------

    def _check_expressions(self) -> Iterator[PolicyProblem]:
        for name, node in nodes_of_lets(self.parsed.document).items():
            expression, problems = self._compile(node, f"let {name}", is_let=True)
            yield from problems
            if expression is not None:
                self.lets[name] = expression
            else:
                self.broken_lets.add(name)
        if self.broken_lets:  # rules that use this `let` would report the same problem
            return
        for rule, rule_node in self.rule_nodes.items():
            for key in ("when", "unless", "keep_while"):
                written = value_of(rule_node, key)
                if isinstance(written, Scalar):
                    expression, problems = self._compile(written, f"rule {rule}", is_let=False)
                    yield from problems
                    if expression is not None:
                        self.conditions[rule, key] = expression

    def _check_cost(self) -> Iterator[PolicyProblem]:
        """Report a policy whose expressions are each allowed, but together cost too much."""
        lets, conditions = ([each.root for each in some.values()] for some in (self.lets, self.conditions))
        words = policy_cost_problem(lets, conditions, len(self.policy.tests))
        if words:
            at = value_of(self.parsed.document.root, "rules")
            position = SourcePosition(at.line, at.column) if at is not None else SourcePosition(1, 1)
            yield PolicyProblem(
                "too_costly", words, self.policy.source, position, hint="Split it into several policies."
            )

    def _compile(self, node: Scalar, where: str, *, is_let: bool) -> tuple[Expression | None, list[PolicyProblem]]:
        if self.spent > MAX_POLICY_COST:
            return None, []
        spelling = ScalarSource(self.parsed.document.source, node)
        source = node.text.strip()
        lead = len(node.text) - len(node.text.lstrip())
        try:
            expression = compile_expression(source, self.declared, self.lets, is_let=is_let)
        except ExpressionProblem as problem:
            self.spent += MAX_POLICY_COST // _MAX_REFUSED
            if source[problem.offset : problem.offset + problem.length] in self.broken_lets:
                return None, []
            return None, [self._expression_problem(spelling, problem, source, lead, where, is_let=is_let)]
        self.spent += expression.root.cost
        problems = [
            spelling.problem(
                fault.code,
                f"{where}: {fault.message}",
                lead + fault.offset,
                fault.length,
                fault.fix,
                fault.hint,
                is_error=fault.is_error,
            )
            for fault in (
                *check_constants(expression, self.policy, tuple(self.forms)),
                *check_labels(expression, self.forms),
            )
        ]
        return expression, problems

    def _expression_problem(
        self, spelling: ScalarSource, problem: ExpressionProblem, source: str, lead: int, where: str, *, is_let: bool
    ) -> PolicyProblem:
        code = problem.code.replace("-", "_")
        message = f"{where}: {problem.message}"
        fix = problem.fix
        piece = source[problem.offset : problem.offset + problem.length]
        below = self._is_later_let(piece)
        if below:
            return spelling.problem(
                code,
                f"{where}: `{piece}` is defined further down in `let`; move it up.",
                lead + problem.offset,
                problem.length,
            )
        if fix is not None:
            once = _apply_expression_fix(source, problem)
            whole = self._fix_repeatedly(once, is_let=is_let)
            if whole is not None and whole != once:
                return spelling.problem(code, message, 0, len(spelling.node.text), whole, f"Write `{whole}`.")
        hint = f"Write `{fix}`." if fix and fix not in message else ""
        return spelling.problem(code, message, lead + problem.offset, problem.length, fix, hint)

    def _is_later_let(self, name: str) -> bool:
        return name in self.policy.let and name not in self.lets

    def _fix_repeatedly(self, source: str, *, is_let: bool) -> str | None:
        """Apply the fixes one after the other; return None if the expression still has a mistake."""
        for _ in range(_MAX_FIXES):
            try:
                compile_expression(source, self.declared, self.lets, is_let=is_let)
            except ExpressionProblem as problem:
                if problem.fix is None:
                    return None
                source = _apply_expression_fix(source, problem)
            else:
                return source
        return None

    # ---- names, reasons, repos ---------------------------------------------------------------------------------------

    def _check_names(self) -> Iterator[PolicyProblem]:
        shared = {table.name for table in self.config.tables} if self.config else set()
        for table in self.policy.tables:
            if table.name in shared:
                words = f"hf-gate.yaml also defines table `{table.name}`: names must be unique."
                yield PolicyProblem(
                    "table_twice", words, self.policy.source, table.position, hint="Rename one of the two."
                )
        templates = dict(self.config.templates) if self.config else {}
        for rule in self.policy.rules:
            name = rule.reason_template
            node = value_of(self.rule_nodes.get(rule.id), "reason_template")
            if name is None or name in templates or not isinstance(node, Scalar) or self.config is None:
                continue
            near = suggest(name, templates)
            hint = f"Did you mean `{near}`?" if near else f"Add it to `templates:` in {self.config.source}."
            words = f"rule {rule.id}: unknown template `{name}`."
            yield self.parsed.document.source.problem_at(node, "unknown_template", words, near, hint)

    def _check_reasons(self) -> Iterator[PolicyProblem]:
        for rule in self.policy.rules:
            template = self.config.templates.get(rule.reason_template or "") if self.config else None
            texts = {"reason": rule.reason, "end_reason": rule.end_reason, "reason_template": template}
            for key, text in texts.items():
                words = reason_length_problem(text or "", self.forms, rule.id)
                node = value_of(self.rule_nodes.get(rule.id), key)
                if words and node is not None:
                    yield PolicyProblem(
                        "reason_too_long",
                        f"rule {rule.id}: with placeholders filled in, this can have {words}",
                        self.policy.source,
                        position_of(node),
                    )

    def _check_repos(self) -> Iterator[PolicyProblem]:
        globs = value_of(self.parsed.document.root, "applies_to")
        for glob, node in zip(self.policy.applies_to, items_of(globs), strict=False):
            if self.config is not None and not any(globs_overlap(glob, other) for other in self.config.repos):
                near = _other_type(glob, self.config.repos) or suggest(glob, self.config.repos)
                hint = f"Did you mean `{near}`?" if near else f"The repos are {', '.join(self.config.repos[:5])}."
                words = f"applies_to: `{glob}` matches no repo of the workspace."
                yield self.parsed.document.source.problem_at(node, "no_such_repo", words, near, hint, is_error=False)
        yield from check_roles(self.parsed.document, self.policy, self.conditions, self.forms)


def _apply_expression_fix(source: str, problem: ExpressionProblem) -> str:
    return source[: problem.offset] + (problem.fix or "") + source[problem.offset + problem.length :]


def _covers(policy: Policy, config: WorkspaceConfig | None, repo: str) -> bool:
    ours = any(glob_matches_path(glob, repo) for glob in policy.applies_to)
    return ours and (config is None or any(glob_matches_path(glob, repo) for glob in config.repos))


def _other_type(glob: str, globs: Sequence[str]) -> str | None:
    """Return the glob for the other repo type if it matches a repo, because a bare `ns/name` is taken as a model."""
    other = glob.removeprefix("datasets/") if glob.startswith("datasets/") else f"datasets/{glob}"
    return other if any(globs_overlap(other, each) for each in globs) else None
