"""What a tool is, and the tools that are questions of the registry."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple
from urllib.parse import urlencode

import msgspec

from threadline.client.wire import in_path
from threadline.mcp.api import READERS, Answered, Api, Json, RouteRefused, Session, checked, invalid
from threadline.mcp.arguments import as_texts
from threadline.mcp.pages import paged
from threadline.mcp.schemas import input_of_question, output_of
from threadline.questions.near import did_you_mean
from threadline.questions.question import Question
from threadline.questions.registry import QUESTIONS

Call = Callable[[Session, Json], Awaitable[Answered]]


@dataclass(frozen=True, kw_only=True)
class Tool:
    """`when`: teaches a model when to use it. `keys`: the kinds that may. `reads`: it changes
    nothing. `destroys`: what it changes cannot be had back, or only by its opposite. `repeats`:
    doing it twice is doing it once."""

    name: str
    title: str
    when: str
    input: Json
    output: Json
    call: Call
    keys: tuple[str, ...] = READERS
    reads: bool = True
    destroys: bool = False
    repeats: bool = True


class Says(NamedTuple):
    """What an agent is told of a question. `name`: of the tool."""

    name: str
    title: str
    when: str
    loose: tuple[str, ...] = ()


ASK_SCHEMA = "Names of events and properties are those that the tool schema lists."
# Of every question of the registry but export, whose answer is a file.
SAYS: Mapping[str, Says] = {
    "events": Says(
        "query_events",
        "Stored events",
        "Single events as they were stored, newest first, to look at examples or to check that "
        "something arrives. Not for counting: get_stats counts. Narrow by event, user_id, source "
        "or time; go on with cursor.",
    ),
    "schema": Says(
        "schema",
        "What is recorded",
        "Which events there are, with their properties, example values and how often they came; "
        "and the traits of users. Call it first when you do not know the names of events or "
        "properties; with values_of it lists the values of one dimension, such as source, path or "
        "properties.plan.",
    ),
    "users": Says(
        "users",
        "Known users",
        "Lists known users, each with the touch that first brought them. Use it to find somebody "
        "by name or e-mail (search), or people who pass filters, such as first.medium==paid; "
        "did!=purchase. With columns you choose what is shown. How many there are: get_stats with "
        "metric=persons.",
        loose=("User",),
    ),
    "profile": Says(
        "first_touch",
        "One user, and what first brought them",
        "Everything known of one user: the first touch (source, medium, campaign, landing page) "
        "that brought them, also from before they signed in; the last touch; traits; devices. Use "
        "it for: where did this person come from?",
    ),
    "journey": Says(
        "user_journey",
        "What one user did",
        "One user's events in order of time, those before they were known included: phase=before "
        "is what led to signing up, after what followed. Use it to understand one person; for many "
        "people use paths or funnel.",
    ),
    "accounts": Says(
        "accounts",
        "Accounts (companies)",
        "Lists accounts, that is companies or workspaces whose members were tied to them by a "
        "group call, each with people, events and first touch. Empty where nothing sends accounts.",
    ),
    "account": Says(
        "account",
        "One account",
        "One account by its id: traits, people, first touch. Ids are those that accounts lists.",
    ),
    "stats": Says(
        "get_stats",
        "Count things, over time, by anything",
        "The tool for numbers: how many events (metric=count), people (persons), devices "
        "(uniques), visits, sums and averages of a property, or conversion_rate. group_by breaks "
        "down by source, country, path, properties.plan or any other dimension; interval gives a "
        "series; compare=previous_period says what changed. " + ASK_SCHEMA,
    ),
    "changes": Says(
        "what_changed",
        "What is out of the usual",
        "Looks over all goals and main numbers of the last seven days (or those before to), names "
        "those beyond their usual week-to-week variation, and which source, channel, country, "
        "device, page or app version carries each move, in numbers that sum. No rows: nothing "
        "happened. Call it first for: what is new? why did X drop?",
    ),
    "sources": Says(
        "top_sources",
        "Where visitors come from",
        "Traffic by source and medium, campaign or channel, the largest first, with people, visits "
        "and events. Use it for: where do our visitors come from? For which source brought "
        "conversions use attribution.",
    ),
    "visits": Says(
        "visits",
        "Visits (sessions)",
        "How many visits, how long they last, pages a visit and the bounce share; by source, entry "
        "page or over time.",
    ),
    "time_to_conversion": Says(
        "time_to_conversion",
        "How long people take",
        "How long people take from their first touch to a conversion: median, percentiles and a "
        "histogram, also by the source that brought them.",
    ),
    "attribution": Says(
        "attribution",
        "Which source earns the conversions",
        "Credits conversions (an event, or goal:NAME) to the sources that brought the people, also "
        "from before they were known. model=first_touch says what brought them, last_touch what "
        "closed; name several, separated by commas, to see them side by side. Rows sum to the "
        "total.",
    ),
    "why": Says(
        "why",
        "Why one conversion is credited as it is",
        "One user's conversion with every touch that led to it, and the credit each has under each "
        "model and policy. Use it to explain a row of attribution.",
    ),
    "funnel": Says(
        "funnel",
        "How far people get, step by step",
        "How many people do each of several steps in order, across devices, and where they drop "
        "off. steps are names of events separated by commas: $pageview,signup,purchase; window is "
        "the time they have. Who dropped off: funnel_people.",
    ),
    "funnel_people": Says(
        "funnel_people",
        "Who got to a step of a funnel",
        "The people behind one number of a funnel: who got to step N, or with dropped=true who "
        "did not get there from the step before. Takes the funnel's own arguments.",
    ),
    "retention": Says(
        "retention",
        "How many come back",
        "Of those who began in the same day, week or month, how many come back in each one after. "
        "Use it for: do people stay?",
    ),
    "retention_people": Says(
        "retention_people",
        "Who came back, or did not",
        "The people behind one number of retention: of the cohort that began at cohort_start, who "
        "was back in the interval number period, or with returned=false who was not.",
    ),
    "paths": Says(
        "paths",
        "What people do before or after",
        "The most frequent ways of people after an event, before it, or between two (start, end). "
        "Use it for: what do people do before they sign up? For steps you know already use funnel.",
    ),
    "paths_people": Says(
        "paths_people",
        "Who went that way",
        "The people behind one number of paths: who did node on their way (in step N of the flow), "
        "or went just this way. Takes the arguments of paths.",
    ),
    "identity_stats": Says(
        "identity_stats",
        "How well people are known",
        "How many people there are, how many of them are known users, devices a user, shared "
        "devices. Use it to judge how far numbers of people can be trusted.",
    ),
    "shared_devices": Says(
        "shared_devices",
        "Shared devices",
        "Devices that more than one user was seen on, and how much depends on whose their events "
        "are taken to be.",
    ),
    "suspicious": Says(
        "suspicious",
        "Suspicious ids",
        "Users on unusually many devices and devices of unusually many users: mostly a tracking "
        "mistake, such as one fixed id for everybody. Use it when numbers of people look wrong.",
    ),
    "likely_duplicates": Says(
        "likely_duplicates",
        "Users who may be one person",
        "Users with the same e-mail address that nobody declared one person. alias does that.",
    ),
    "explain": Says(
        "explain_identity",
        "Whose an event is, and why",
        "Of one event (event_id), or of a time on a device (anonymous_id and at): whose it is "
        "under each policy, and which logins decided that. Use it to explain why an event counts "
        "for a user.",
    ),
}


def question_tools() -> list[Tool]:
    """A tool for each question that has an answer in JSON."""
    return [_tool(question) for question in QUESTIONS.values() if not question.is_stream]


def _tool(question: Question) -> Tool:
    says = SAYS[question.name]
    return Tool(
        name=says.name,
        title=says.title,
        when=says.when,
        input=input_of_question(question),
        output=output_of(question.answer, says.loose),
        call=partial(_ask, question),
    )


async def _ask(question: Question, session: Session, arguments: Json) -> Answered:
    return await ask(session.own, question, arguments, session.project_id)


async def ask(api: Api, question: Question, arguments: Json, project_id: str = "") -> Answered:
    """A question of the registry, with arguments as an agent gives them. `project_id`: whose
    cursors are taken. Raises `RouteRefused`."""
    texts = as_texts(arguments)
    for name in question.in_path:
        if not texts.get(name):
            raise invalid(name, "required")
    takes_cursor = "cursor" in (each.name for each in msgspec.structs.fields(question.params))
    of = f"{question.name} {project_id}"
    try:
        return await paged(partial(_once, api, question), texts, of, takes_cursor)
    except RouteRefused as error:
        named = [name for name in LISTS if name in texts]
        if error.status != 404 or not named:
            raise
        hint = await near(api, named[0], texts[named[0]])
        said = f"{str(error).removesuffix('.')}; {hint}"
        details = {**error.details, "message": said}
        raise RouteRefused(error.status, error.code, details, error.docs_url) from None


class Ids(NamedTuple):
    """Where ids of a kind are listed: by which route and tool, and how to ask for them alone."""

    path: str
    tool: str
    only: Mapping[str, str] = {}


LISTS = {
    "user_id": Ids("/v1/users", "users", {"columns": "user_id"}),
    "account_id": Ids("/v1/accounts", "accounts"),
}


async def near(api: Api, name: str, value: str) -> str:
    """Which id was probably meant, of users or accounts; else who knows them."""
    where = LISTS[name]
    like = {"search": value[:3], "limit": "100", **where.only}
    rows = (await get(api, where.path, like)).found["rows"]
    hint = did_you_mean(value, [str(row[name]) for row in rows])
    return hint or f"the tool {where.tool} lists those that there are; search narrows it."


async def _once(api: Api, question: Question, texts: Mapping[str, str]) -> Answered:
    path = question.path.format(**{name: in_path(texts[name]) for name in question.in_path})
    rest = {name: text for name, text in texts.items() if name not in question.in_path}
    return await get(api, path, rest)


async def get(api: Api, path: str, params: Mapping[str, str]) -> Answered:
    """The JSON of a route that reads. Raises `RouteRefused`."""
    reply = checked(await api.call("GET", path, urlencode(params)))
    return Answered(reply.json(), reply.stale)
