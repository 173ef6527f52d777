"""Tools that read and are no question of the registry, and those of a whole account."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import msgspec

from threadline.classify import Classification
from threadline.contract.definitions import Annotation, GoalDefinition, Segment
from threadline.mcp.api import ACCOUNT, Answered, Json, ProjectApi, RouteRefused, Session, invalid
from threadline.mcp.arguments import as_texts
from threadline.mcp.pages import paged
from threadline.mcp.schemas import CURSOR, input_of_params, output_of
from threadline.mcp.tools import Tool, ask, get
from threadline.questions.near import did_you_mean
from threadline.questions.registry import QUESTIONS
from threadline.questions.stats_shapes import StatsParams
from threadline.questions.warned import Warnings

PROJECT = {
    "type": "string",
    "description": "Which project: its id, as list_projects has it.",
}
NOTHING: Json = {"type": "object", "properties": {}, "additionalProperties": False}
LISTED: Json = {**NOTHING, "properties": {"cursor": CURSOR}}


class SegmentList(msgspec.Struct):
    """All segments of the project, by name: filters that people pass."""

    rows: list[Segment]


class GoalList(msgspec.Struct):
    """All goals of the project, by name: each is `goal:NAME` wherever an event is asked for."""

    rows: list[GoalDefinition]


class AnnotationList(msgspec.Struct):
    """All dated notes of the project, the earliest first."""

    rows: list[Annotation]


class ReadableProject(msgspec.Struct):
    """A project that the key may read."""

    project_id: str
    name: str


class ReadableProjects(msgspec.Struct):
    """All projects of the account, by name."""

    rows: list[ReadableProject]


class ProjectNumber(msgspec.Struct, omit_defaults=True):
    """One project's number; `error`: why there is none. `from`, `to`, `tz`: where projects are of
    several time zones."""

    project_id: str
    name: str
    value: float | dict[str, float] | None = None
    previous: float | dict[str, float] | msgspec.UnsetType | None = msgspec.UNSET
    change: float | dict[str, float | None] | msgspec.UnsetType | None = msgspec.UNSET
    error: str | msgspec.UnsetType = msgspec.UNSET
    from_: str | msgspec.UnsetType = msgspec.field(name="from", default=msgspec.UNSET)
    to: str | msgspec.UnsetType = msgspec.UNSET
    tz: str | msgspec.UnsetType = msgspec.UNSET


class ProjectsCompared(msgspec.Struct, omit_defaults=True):
    """The same number of each project, the greatest first. `warnings`: of all projects, or each
    with the name of its own."""

    metric: str
    rows: list[ProjectNumber]
    warnings: Warnings = msgspec.UNSET
    from_: str | msgspec.UnsetType = msgspec.field(name="from", default=msgspec.UNSET)
    to: str | msgspec.UnsetType = msgspec.UNSET
    tz: str | msgspec.UnsetType = msgspec.UNSET


class ClassifyArguments(msgspec.Struct):
    """A visit: the page's URL with its parameters, and where the browser came from."""

    url: str = ""
    referrer: str = ""


async def _list(path: str, session: Session, arguments: Json) -> Answered:
    of = f"{path} {session.project_id}"
    return await paged(partial(get, session.own, path), as_texts(arguments), of)


def reading_tools() -> list[Tool]:
    """What a project gives names to, and where a visit would come from."""
    return [
        Tool(
            name="segments",
            title="Segments",
            when="Lists the people this project gave names to, each with its filters. "
            "segment==NAME is a filter in every question.",
            input=LISTED,
            output=output_of(SegmentList),
            call=partial(_list, "/v1/segments"),
        ),
        Tool(
            name="goals",
            title="Goals",
            when="Lists the conversions this project gave names to. goal:NAME goes wherever an "
            "event's name does; ask for it before you guess what counts as a conversion.",
            input=LISTED,
            output=output_of(GoalList),
            call=partial(_list, "/v1/goals"),
        ),
        Tool(
            name="annotations",
            title="Annotations",
            when="Lists dated notes, such as releases and campaigns. Look here when a number "
            "moved.",
            input=LISTED,
            output=output_of(AnnotationList),
            call=partial(_list, "/v1/annotations"),
        ),
        Tool(
            name="classify",
            title="Where a visit would come from",
            when="Says which source and medium a visit with this url and referrer gets, rule by "
            "rule. Use it to check links of a campaign before they are sent.",
            input=input_of_params(ClassifyArguments),
            output=output_of(Classification),
            call=partial(_list, "/v1/classify"),
        ),
    ]


def account_tools(of_project: list[Tool]) -> list[Tool]:
    """For a key of a whole account: its projects, and every tool that reads, of any of them."""
    return [
        Tool(
            name="list_projects",
            title="Projects",
            when="Lists the projects of this account. Call it first: the other tools need a "
            "project_id.",
            input=LISTED,
            output=output_of(ReadableProjects),
            call=list_projects,
            keys=ACCOUNT,
        ),
        Tool(
            name="compare_projects",
            title="One number, of all projects",
            when="The same number (as get_stats counts it) of every project of the account side "
            "by side, the greatest first. Use it for: which of our sites grows?",
            input=input_of_params(StatsParams, COMPARABLE, cursor=CURSOR),
            output=output_of(ProjectsCompared),
            call=_compare_projects,
            keys=ACCOUNT,
        ),
        *(_in_account(tool) for tool in of_project if tool.reads),
    ]


COMPARABLE = (
    *("metric", "event", "property", "conversion", "currency_property", "currency"),
    *("from", "to", "tz", "compare", "filters", "stitch", "include_bots", "per", "exact"),
)


def _in_account(tool: Tool) -> Tool:
    properties = {"project_id": PROJECT, **tool.input["properties"]}
    required = ["project_id", *tool.input.get("required", [])]
    given = {**tool.input, "properties": properties, "required": required}
    return replace(tool, input=given, call=partial(_of_project, tool), keys=ACCOUNT)


async def _of_project(tool: Tool, session: Session, arguments: Json) -> Answered:
    project = _named(session, str(arguments.get("project_id") or ""))
    rest = {name: value for name, value in arguments.items() if name != "project_id"}
    inside = Session("rk", session.label, project.api, project.project_id)
    return await tool.call(inside, rest)


def _named(session: Session, project_id: str) -> ProjectApi:
    """Raises `RouteRefused`."""
    there: Mapping[str, ProjectApi] = session.by_id
    if project_id in there:
        return there[project_id]
    for project in session.projects:
        if project.name == project_id:
            return project
    known = {**{one.name: one for one in session.projects}, **there}
    if not project_id:
        raise invalid("project_id", "required; list_projects lists them", allowed=list(there))
    hint = did_you_mean(project_id, known) or "list_projects lists those that there are"
    raise invalid("project_id", f"there is no project {project_id!r}; {hint}", allowed=list(there))


async def list_projects(session: Session, arguments: Json) -> Answered:
    """Those of an account. Raises `RouteRefused`."""
    rows = [{"project_id": one.project_id, "name": one.name} for one in session.projects]

    async def listed(texts: Mapping[str, str]) -> Answered:
        return Answered({"rows": rows})

    return await paged(listed, as_texts(arguments), "list_projects")


async def _compare_projects(session: Session, arguments: Json) -> Answered:
    return await paged(partial(_compared, session), as_texts(arguments), "compare_projects")


async def _compared(session: Session, arguments: Mapping[str, str]) -> Answered:
    rows: list[Json] = []
    found: Json = {"metric": arguments.get("metric", "count")}
    problems: list[RouteRefused] = []
    whens: list[Json] = []
    warned: list[tuple[str, Json]] = []
    for project in session.projects:
        row: Json = {"project_id": project.project_id, "name": project.name, "value": None}
        try:
            answer = (await ask(project.api, QUESTIONS["stats"], {**arguments})).found
        except RouteRefused as error:
            if error.status >= 429:
                raise
            problems.append(error)
            rows.append({**row, "error": str(error)})
            continue
        warned += [(project.name, each) for each in answer.get("warnings") or []]
        whens.append({name: answer[name] for name in ("from", "to", "tz") if name in answer})
        (first,) = answer["rows"] or [{"value": None}]
        rows.append({**row, **first, **whens[-1]})
    if len({when.get("tz") for when in whens}) == 1:
        # Said once, as now is a few moments later for each; of several time zones, of each.
        found |= whens[-1]
        rows = [{name: row[name] for name in row if name not in whens[-1]} for row in rows]
    # What is wrong in the same way with all of them is wrong with the question.
    if problems and len({str(error) for error in problems}) == 1 and len(problems) == len(rows):
        raise problems[0]
    if warned:
        found["warnings"] = _together(warned, len(whens))
    rows.sort(key=lambda row: -_magnitude(row["value"]))
    return Answered({**found, "rows": rows})


def _together(warned: Sequence[tuple[str, Json]], projects: int) -> list[Json]:
    """What all projects say once, the rest with whose it is."""
    said = Counter(str(each["message"]) for _, each in warned)
    found: list[Json] = []
    for name, each in warned:
        of_all = said[str(each["message"])] == projects
        one = each if of_all else {**each, "message": f"{name}: {each['message']}"}
        if one not in found:
            found.append(one)
    return found


def _magnitude(value: object) -> float:
    if isinstance(value, dict):
        return max((_magnitude(part) for part in value.values()), default=0.0)
    return float(value) if isinstance(value, int | float) else float("-inf")


def json_body(body: Json) -> bytes:
    return json.dumps(body).encode()
