"""What all routes that take events do with a request: whose the events are, and onto the disk."""

import asyncio

from threadline.contract.errors import InvalidApiKey
from threadline.contract.times import now_ms
from threadline.enrich import address_hash
from threadline.http.answers import Answer, answer
from threadline.http.request import Request
from threadline.ingest.accept import Accepted
from threadline.ingest.context import IngestContext
from threadline.runtime.services import site_of
from threadline.runtime.this_node import WRITTEN

# What proxies say for "unknown", though it looks like a country.
NO_COUNTRY = ("XX", "ZZ")


def ingest_context(request: Request, behind_ms: int = 0) -> IngestContext:
    """What the events come in. `behind_ms`: how far their sender's clock is behind ours."""
    services, project, address = request.services, request.project, request.address
    salt = services.control.salt()
    from_visitor = request.key.kind == "pk"
    return IngestContext(
        project_id=project.project_id,
        site=site_of(project),
        scrub=services.scrub,
        browser_key=from_visitor,
        address=address,
        address_hash=address_hash(salt, project.project_id, address),
        # What a server calls itself is nobody's browser.
        user_agent=request.header("user-agent") if from_visitor else "",
        country=_country(request, address),
        salt=salt,
        id_key=services.log.id_key,
        now_ms=now_ms(),
        skew_ms=behind_ms,
        keeping=project.keeping,
        placeholders=services.placeholders,
        country_of=services.country_of,
    )


def spend(request: Request, events: int, size: int) -> None:
    """So many events came in so many bytes: of browser keys that is limited."""
    if request.key.kind == "pk":
        project_id = request.project.project_id
        request.services.buckets.spend(project_id, request.address, events, size)


async def keep(request: Request, accepted: Accepted) -> None:
    """Rows onto the disk; what was changed in them is counted. Raises `Unavailable`."""
    services, rows = request.services, accepted.rows
    if rows.size:
        if request.project.project_id not in services.control.look().projects_by_id:
            raise InvalidApiKey("The project of this key was deleted.")
        on_disk = asyncio.get_running_loop().create_future()
        services.log.append(rows, on_disk)
        await on_disk
    services.metrics.accepted.labels(request.path).inc(rows.size)
    if accepted.warnings:
        services.metrics.count_warnings(notice.code for notice in accepted.warnings)
    if accepted.bots:
        services.metrics.count_bots(accepted.bots)
    if placeholder_ids := accepted.placeholder_ids:
        services.count_placeholder_ids(request.project.project_id, placeholder_ids)


def acknowledge(request: Request, reply: object, status: int = 200) -> Answer:
    """The reply; where several nodes write into one store, with what others wait by."""
    given = answer(reply, status)
    if node := request.services.node:
        given.headers.append((WRITTEN.encode(), node.token().encode()))
    return given


def _country(request: Request, address: str) -> str:
    """From the first trusted header that names one, else looked up; empty where nobody knows."""
    for name in request.services.country_headers:
        code = request.header(name).upper()
        if len(code) == 2 and code.isascii() and code.isalpha() and code not in NO_COUNTRY:
            return code
    return request.services.country_of(address)
