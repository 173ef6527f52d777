"""`/v1/rules` and `/v1/reclassify`: a project's own rules for where visits come from, a test of
them on one visit, and what they would change in what is stored."""

from functools import partial
from typing import Annotated, Any, cast

import msgspec

from threadline.classify import (
    Classification,
    RulesError,
    Site,
    Subdomains,
    explain,
    new_site,
    no_address,
)
from threadline.contract.errors import Busy, InvalidParams, InvalidPayload
from threadline.contract.times import Timestamp
from threadline.control import Project
from threadline.enrich import read_agent
from threadline.http.answers import Answer, answer
from threadline.http.changing import NoParams, read_exactly, write_control
from threadline.http.doc import READ, Doc
from threadline.http.request import Request
from threadline.http.routing import Route
from threadline.runtime.memory import MIB
from threadline.runtime.params import read_params
from threadline.runtime.reclassifying import DryRun, dry_run
from threadline.runtime.services import site_of

TAG = "Sources"
# Rules may have 64 KiB, and JSON writes some characters in six.
BODY_LIMIT = MIB // 2
RulesText = Annotated[
    str,
    msgspec.Meta(max_length=65_536, description="YAML, as docs/sources.md says; may be empty."),
]
Address = Annotated[str, msgspec.Meta(max_length=2048)]


class RulesChange(msgspec.Struct, kw_only=True):
    """The rules there are to be. They count for the next event."""

    rules: RulesText


class OwnRule(msgspec.Struct):
    """One rule, and in words when it matches."""

    rule_id: str
    when: str
    confidence: str


class ProjectRules(msgspec.Struct):
    """The project's own rules as they were written, and as they are understood, in the order in
    which they are asked; the built-in ones come after them."""

    rules: str
    own: list[OwnRule]


class RulesTest(msgspec.Struct, kw_only=True):
    """A visit: the page with its parameters, and where the browser came from. `rules`: to try in
    the place of the project's."""

    url: Address = ""
    referrer: Address = ""
    user_agent: Annotated[str, msgspec.Meta(max_length=2048)] | None = None
    rules: RulesText | None = None


class TestedAgent(msgspec.Struct):
    """What the agent says of itself. Of bots (`reason`: which kind) nothing counts, wherever they
    come from."""

    device_type: str
    browser: str
    os: str
    is_bot: bool
    reason: str


class RulesTested(Classification, kw_only=True):
    """Where the visit would come from, rule by rule. `agent`: null where none was given.
    `problems`: what is odd about the addresses, in sentences."""

    agent: TestedAgent | None
    problems: list[str]


class Reclassify(msgspec.Struct, kw_only=True):
    """`dry_run` has to be true: what is stored is changed by `threadline reclassify` only. `since`:
    ISO 8601, only events from then on. `rules`: to try in the place of the project's."""

    dry_run: bool
    since: str | None = None
    rules: RulesText | None = None


async def get_rules(request: Request) -> Answer:
    read_params(request.query, NoParams)
    return answer(_shown(request.project))


async def put_rules(request: Request) -> Answer:
    read_params(request.query, NoParams)
    wanted = await read_exactly(request, RulesChange, BODY_LIMIT)
    project, control = request.project, request.services.control
    _site(project, wanted.rules)
    await write_control(partial(control.set_site, project.project_id, rules=wanted.rules))
    return answer(_shown(control.project(project.project_id)))


async def test_rules(request: Request) -> Answer:
    read_params(request.query, NoParams)
    given = await read_exactly(request, RulesTest, BODY_LIMIT)
    found = explain(given.url, given.referrer, _site(request.project, given.rules))
    fields: dict[str, Any] = msgspec.structs.asdict(found)
    agent = None if given.user_agent is None else TestedAgent(*read_agent(given.user_agent))
    named = (("url", given.url), ("referrer", given.referrer))
    problems = [said for name, address in named if (said := no_address(name, address))]
    return answer(RulesTested(**fields, agent=agent, problems=problems))


async def reclassify(request: Request) -> Answer:
    read_params(request.query, NoParams)
    given = await read_exactly(request, Reclassify, BODY_LIMIT)
    if not given.dry_run:
        message = "only a dry run can be asked for; to change events run `threadline reclassify`"
        raise InvalidPayload(f"dry_run: {message}.", fieldErrors={"dry_run": [message]})
    site, since_ms = _site(request.project, given.rules), _since_ms(given.since)
    services, project_id = request.services, request.project.project_id
    step = partial(dry_run, services.store, project_id, site, since_ms)
    return answer(await services.asking.in_turn(step))


def _shown(project: Project) -> ProjectRules:
    own = [OwnRule(rule.rule_id, rule.when, rule.confidence) for rule in site_of(project).rules]
    return ProjectRules(project.rules, own)


def _site(project: Project, rules: str | None) -> Site:
    """With these rules, if there are any to try. Raises `InvalidPayload` with the line of what is
    wrong."""
    if rules is None:
        return site_of(project)
    try:
        return new_site(project.hosts, cast(Subdomains, project.subdomains), rules)
    except RulesError as error:
        message = str(error).rstrip(".")
        raise InvalidPayload(f"rules: {message}.", fieldErrors={"rules": [message]}) from None


def _since_ms(since: str | None) -> int:
    try:
        return Timestamp.parse(since).ms if since else 0
    except ValueError as error:
        message = str(error)
        raise InvalidPayload(f"since: {message}.", fieldErrors={"since": [message]}) from None


ROUTES = [
    Route(
        "GET",
        "/v1/rules",
        get_rules,
        Doc(
            summary="The project's own rules for sources",
            tag=TAG,
            keys=READ,
            answer=ProjectRules,
            errors=(InvalidParams,),
        ),
    ),
    Route(
        "PUT",
        "/v1/rules",
        put_rules,
        Doc(
            summary="Give the project these rules in place of those it has",
            tag=TAG,
            keys=("sk",),
            body=RulesChange,
            answer=ProjectRules,
            errors=(InvalidParams,),
        ),
    ),
    Route(
        "POST",
        "/v1/rules/test",
        test_rules,
        Doc(
            summary="Where a visit would come from, perhaps by other rules",
            tag=TAG,
            keys=READ,
            body=RulesTest,
            answer=RulesTested,
            errors=(InvalidParams,),
        ),
    ),
    Route(
        "POST",
        "/v1/reclassify",
        reclassify,
        Doc(
            summary="What naming the sources of stored events anew would change",
            tag=TAG,
            keys=READ,
            body=Reclassify,
            answer=DryRun,
            errors=(InvalidParams, Busy),
        ),
    ),
]
