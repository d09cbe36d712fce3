"""Writes the comment: a table of the environments, then the changes of each preview, the most important first.

GitHub refuses a comment that is too long. The comment then leaves out the details that a reviewer misses least, and
names the changes that they belong to.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from components.documents.templates import Filters, jinja_environment
from tools.errors import ToolError
from tools.pull_request import markdown
from tools.pull_request.changes import Action, Change, changes, short_name
from tools.pull_request.preview_result import Diagnostic, Environment
from tools.pull_request.upgrades import Upgrade, upgrades

MARKER = "<!-- nginx-tracing preview -->"
"""The first line, by which a workflow finds the comment that it wrote earlier."""
LIMIT = 65_536 - 1_536
"""Characters: GitHub's limit for a comment, less a margin of our choice for double line ends and a workflow's text."""
SUMMARY_LIMIT = 300_000
"""Characters: at three bytes each they stay below the MiB that GitHub allows a step to add to a run's summary."""

_COLUMNS = ("create", "update", "replace", "delete", "same")
_IMPORTANCE = (Action.CREATED, Action.NEW_VERSION, Action.UPDATED, Action.REPLACED)
_FAILED, _NOTHING, _CHANGES, _DANGEROUS = "**failed**", "no changes", "changes", "**replaces or deletes**"
# Errors that the engine adds as a consequence of another one.
_CONSEQUENCES = {"preview failed", "an unhandled error occurred: program exited with non-zero exit code: 1"}
_FROM_PATH = re.compile(r"using pulumi-\S+ from \$PATH at ")
# The program's warnings about its cluster, when a preview covers less than it seems to.
_UNSEEN = re.compile(
    r"(?:\A|: )(?:the cluster cannot be reached|"
    r"(?:it was not checked|this preview did not check) that the cluster is)\b"
)
_PREFIX = re.compile(r"\A(?:(?:error|warning): )+")


@dataclass(frozen=True)
class _Limits:
    """The limits of a text, such as an error, and of a list."""

    characters: int
    items: int


# Tried in this order, our choice. All but the first are for previews whose errors and warnings alone are too long.
_LIMITS = [_Limits(8_000, 1_000), _Limits(2_000, 100), _Limits(500, 20), _Limits(100, 3), _Limits(0, 0)]


@dataclass(frozen=True)
class _Violation:
    policy: str
    level: str
    resource: str
    message: str


@dataclass(frozen=True)
class _Section:
    """The template's values for one environment."""

    name: str
    counts: Sequence[int | str]
    verdict: str
    failure: str = ""
    errors: str = ""
    advice: str = ""
    violations: Sequence[_Violation] = ()
    dangers: Sequence[Change] = ()
    upgrades: Sequence[Upgrade] = ()
    details: Sequence[Change] = ()
    left_out: Sequence[Change] = ()
    unseen: str = ""
    warnings: str = ""
    warning_title: str = ""

    @property
    def has_content(self) -> bool:
        """Whether the environment needs more than its row of the table."""
        changes = (self.dangers, self.details, self.left_out)
        return any((self.failure, self.advice, self.violations, *changes, self.unseen, self.warnings))

    @property
    def danger_title(self) -> str:
        """The number of resources that are removed."""
        numbers = Counter(change.action for change in self.dangers)
        said = [
            f"{_count(numbers[action], 'resource')} {'is' if numbers[action] == 1 else 'are'} {action}"
            for action in (Action.DELETED, Action.REPLACED)
            if numbers[action]
        ]
        return f"{', '.join(said)}."

    def without(self, left_out: set[int]) -> "_Section":
        """Returns the section with some changes named instead of shown."""
        return replace(
            self,
            details=[change for change in self.details if id(change) not in left_out],
            left_out=[change for change in self.details if id(change) in left_out],
        )


def comment(
    environments: Sequence[Environment], commit: str | None = None, run: str | None = None, limit: int = LIMIT
) -> str:
    """Returns the comment as Markdown.

    Args:
        environments: the previews.
        commit: the commit that was previewed.
        run: the URL of the workflow's run, whose summary has the differences that the comment leaves out.
        limit: the maximum number of characters.

    Raises:
        ToolError: there are more environments than one comment can name.
    """
    sections = [_section(environment) for environment in environments]
    for limits in _LIMITS:
        left_out = set[int]()
        text = _rendered(sections, commit, run, limits)
        queue = [change for section in sections for change in section.details]
        queue.sort(key=lambda change: (_IMPORTANCE.index(change.action), -len(change.details)))
        while queue and _length(text) > limit:
            excess = _length(text) - limit
            while queue and excess > 0:
                change = queue.pop(0)
                left_out.add(id(change))
                excess -= len(change.details) + len(_summary(change)) - len(_named(change))
            text = _rendered([section.without(left_out) for section in sections], commit, run, limits)
        if _length(text) <= limit:
            return text
    raise ToolError(f"{len(environments)} environments are too many for one comment. Write several.")


def _length(text: str) -> int:
    """Counts characters as GitHub's database may: those outside the basic plane are two."""
    return len(text.encode("utf-16-le")) // 2


def _rendered(sections: Sequence[_Section], commit: str | None, run: str | None, limits: _Limits) -> str:
    whole = f"[the run's summary]({run}) has them" if run else "`pulumi preview --diff` has them"
    body = _template.render(sections=sections, commit=commit, run=run, whole=whole, limits=limits)
    return f"{MARKER}\n{markdown.without(body, MARKER)}"


def _section(environment: Environment) -> _Section:
    result = environment.result
    violations = [
        _Violation(
            violation.policy_name,
            violation.enforcement_level,
            _resource(violation.resource_urn),
            violation.message,
        )
        for violation in environment.violations
    ]
    if result is None:
        return _Section(
            environment.name,
            ["-"] * len(_COLUMNS),
            _FAILED,
            failure=environment.problem,
            errors=environment.text,
            violations=violations,
        )
    is_refused = any(violation.is_mandatory for violation in environment.violations)
    errors = _messages(result.diagnostics, "error")
    causes = [error for error in errors if error not in _CONSEQUENCES]
    found = changes(result)
    dangers = sorted((change for change in found if change.is_dangerous), key=lambda change: not change.loss)
    failure = _failure(is_refused, bool(causes), bool(errors) or result.change_summary is None)
    warnings = [text for text in _messages(result.diagnostics, "warning") if not _FROM_PATH.match(text)]
    unseen = [text for text in warnings if _UNSEEN.search(text)]
    warnings = [text for text in warnings if text not in unseen]
    summary = result.change_summary or {}
    return _Section(
        environment.name,
        [summary.get(column, 0) + (summary.get("import", 0) if column == "create" else 0) for column in _COLUMNS],
        _verdict(failure, found) + (", **cluster not seen**" if unseen else ""),
        failure=failure,
        errors="\n\n".join(causes or ([] if is_refused else errors)),
        advice=_advice(environment, is_unexplained=bool(failure) and not causes and not is_refused),
        violations=violations,
        dangers=dangers,
        upgrades=upgrades(result),
        details=[change for change in found if change.details],
        unseen="\n\n".join(unseen),
        warnings="\n\n".join(warnings),
        warning_title=_count(len(warnings), "warning"),
    )


def _verdict(failure: str, found: Sequence[Change]) -> str:
    if failure:
        return _FAILED
    if any(change.is_dangerous for change in found):
        return _DANGEROUS
    return _CHANGES if found else _NOTHING


def _failure(is_refused: bool, has_causes: bool, has_failed: bool) -> str:
    if has_causes:
        return "The preview failed before it knew all changes."
    if is_refused:
        return "Policies refuse this."
    return "The preview failed." if has_failed else ""


def _advice(environment: Environment, *, is_unexplained: bool) -> str:
    """Returns what the reader cannot see in this comment, and how to see it."""
    if environment.event_log_problem:
        return f"Whether policies are violated is not known: the event log {environment.event_log_problem}."
    if is_unexplained and not environment.has_event_log:
        return (
            "Pulumi's JSON has no reason for it. It names no violations of policies; this comment does when it is "
            "given `pulumi preview`'s `--event-log`."
        )
    return ""


def _messages(diagnostics: Sequence[Diagnostic], severity: str) -> list[str]:
    """Returns the texts of a severity, each once, without the engine's prefixes."""
    texts: list[str] = []
    for diagnostic in diagnostics:
        if diagnostic.severity != severity:
            continue
        text = _PREFIX.sub("", markdown.clean(diagnostic.message)).strip("\n")
        if diagnostic.urn and text not in _CONSEQUENCES:
            kind, name = short_name(diagnostic.urn)
            text = f"{kind} {name}: {text}"
        texts.append(text)
    return list(dict.fromkeys(texts))


def _resource(urn: str) -> str:
    kind, name = short_name(urn)
    return "the stack" if not urn or kind == "Stack" else f"{markdown.code(kind)} {markdown.code(name)}"


def _danger(change: Change) -> str:
    """Returns a line of the caution box."""
    said = [f"{markdown.code(change.kind)} {markdown.code(change.name)} is {change.action}"]
    if change.action == Action.REPLACED:
        reasons = ", ".join(markdown.code(reason) for reason in change.reasons)
        said.append(f" because of {reasons}" if reasons else ", Pulumi does not say why")
    if change.loss:
        said.append(f": **{change.loss}**")
    return "".join(said)


def _summary(change: Change) -> str:
    """Returns the visible line of folded details."""
    part = f" of {markdown.code_in_html(change.component)}" if change.component else ""
    return (
        f"{markdown.code_in_html(change.kind)} {markdown.code_in_html(change.name)}{part}: "
        f"{change.action}{_size(change)}"
    )


def _size(change: Change) -> str:
    signs = Counter(line[:1] for line in change.details.split("\n"))
    is_said = change.action != Action.CREATED and (signs["-"] or signs["+"])
    return f", -{signs['-']} +{signs['+']}" if is_said else ""


def _named(change: Change) -> str:
    return f"{markdown.code(change.kind)} {markdown.code(change.name)} ({change.action})"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


_FILTERS: Filters = {
    "code": markdown.code,
    "fence": markdown.fence,
    "shortened": markdown.shorten,
    "danger": _danger,
    "summary": _summary,
    "named": _named,
}

_template = jinja_environment(Path(__file__).parent, _FILTERS).get_template("comment.md.j2")
