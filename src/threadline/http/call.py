"""One request to an ingest route, and its way onto the disk."""

import asyncio
import time
from functools import partial
from typing import NamedTuple

from litestar.types import Receive, Scope

from threadline.control import Key, Project
from threadline.enrich import address_hash
from threadline.http.auth import client_address, header
from threadline.http.body import check_type, encoding_of, read_body, unpack
from threadline.ingest.accept import Accepted
from threadline.ingest.context import IngestContext
from threadline.runtime.memory import Hold
from threadline.runtime.services import Services, site_of

# What proxies say for "unknown", though it looks like a country.
NO_COUNTRY = ("XX", "ZZ")


class Call(NamedTuple):
    """A request that was let in. `hold`: the memory it takes. `arrived`: the body, where the key
    was in it."""

    services: Services
    scope: Scope
    receive: Receive
    key: Key
    project: Project
    hold: Hold
    arrived: bytes | None = None

    async def body(self, limit: int) -> bytes:
        """The body, unpacked: at most `limit` bytes. Raises what `read_body` and `unpack` raise."""
        raw = self.arrived
        if raw is None:
            raw = await whole_body(self.services, self.scope, self.receive, limit, self.hold)
        return raw

    def spent(self, events: int, size: int) -> None:
        """So many events came in so many bytes: of browser keys that is limited."""
        if self.key.kind == "pk":
            address = client_address(self.services, self.scope)
            self.services.buckets.spend(self.project.project_id, address, events, size)

    def context(self, behind_ms: int = 0) -> IngestContext:
        """What the events come in. `behind_ms`: how far their sender's clock is behind ours."""
        services, project = self.services, self.project
        address, salt = client_address(services, self.scope), services.control.salt()
        return IngestContext(
            project_id=project.project_id,
            site=site_of(project),
            scrub=services.scrub,
            browser_key=self.key.kind == "pk",
            address=address,
            address_hash=address_hash(salt, project.project_id, address),
            user_agent=header(self.scope, "user-agent"),
            country=_country(services, self.scope, address),
            salt=salt,
            id_key=services.log.id_key,
            now_ms=now_ms(),
            skew_ms=behind_ms,
            placeholders=services.placeholders,
            country_of=services.country_of,
        )

    async def keep(self, accepted: Accepted) -> None:
        """Rows onto the disk; what was changed in them is counted. Raises `Unavailable`."""
        rows, metrics = accepted.rows, self.services.metrics
        if rows.size:
            on_disk = asyncio.get_running_loop().create_future()
            self.services.log.append(rows, on_disk)
            await on_disk
        metrics.accepted.labels(self.scope["path"]).inc(rows.size)
        if accepted.warnings:
            metrics.count_warnings(notice.code for notice in accepted.warnings)
        if placeholder_ids := accepted.placeholder_ids:
            self.services.count_placeholder_ids(self.project.project_id, placeholder_ids)


async def whole_body(
    services: Services, scope: Scope, receive: Receive, limit: int, hold: Hold
) -> bytes:
    """A request's body, unpacked. Raises what `read_body`, `unpack` and `check_type` raise."""
    sent = await read_body(scope, receive, limit, services.settings.body_seconds, hold)
    body, encoding = sent, encoding_of(scope)
    if encoding:
        # How large it is shows only when it is unpacked.
        body = await services.beside(limit, partial(unpack, sent, encoding, limit, hold))
    check_type(scope, body)
    return body


def _country(services: Services, scope: Scope, address: str) -> str:
    """From the first trusted header that names one, else looked up; empty where nobody knows."""
    for name in services.country_headers:
        code = header(scope, name).upper()
        if len(code) == 2 and code.isascii() and code.isalpha() and code not in NO_COUNTRY:
            return code
    return services.country_of(address)


def now_ms() -> int:
    return time.time_ns() // 1_000_000
