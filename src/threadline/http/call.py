"""One request to an ingest route, and its way onto the disk."""

import asyncio
import time
from typing import NamedTuple

from litestar.types import Receive, Scope

from threadline.contract.bodies import Event
from threadline.control import Key, Project
from threadline.enrich import address_hash
from threadline.http.auth import client_address, header
from threadline.http.body import read_body
from threadline.http.services import Services, site_of
from threadline.ingest.accept import Accepted, Sender, accept
from threadline.ingest.row import Rows

# What proxies say for "unknown", though it looks like a country.
NO_COUNTRY = ("XX", "ZZ")


class Call(NamedTuple):
    """A request that was let in. `arrived`: the body, where the key was in it."""

    services: Services
    scope: Scope
    receive: Receive
    key: Key
    project: Project
    arrived: bytes | None = None

    async def body(self, limit: int) -> bytes:
        if self.arrived is not None:
            return self.arrived
        seconds = self.services.settings.body_seconds
        return await read_body(self.scope, self.receive, limit, seconds)

    def sender(self, behind_ms: int = 0) -> Sender:
        """Whom the events come from. `behind_ms`: how far their clock is behind ours."""
        services, project = self.services, self.project
        address, salt = client_address(services, self.scope), services.control.salt()
        return Sender(
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

    async def store(self, events: list[Event], in_batch: bool, behind_ms: int = 0) -> Accepted:
        """Through all steps and onto the disk. Raises what `accept` raises, or `Unavailable`."""
        accepted = accept(events, self.sender(behind_ms), in_batch)
        await self.keep(accepted.rows, len(accepted.warnings))
        return accepted

    async def keep(self, rows: Rows, placeholder_ids: int) -> None:
        """Rows onto the disk, and so many ids counted that they lost. Raises `Unavailable`."""
        on_disk = asyncio.get_running_loop().create_future()
        self.services.log.append(rows, on_disk)
        await on_disk
        self.services.metrics.accepted.labels(self.scope["path"]).inc(rows.size)
        if placeholder_ids:
            self.services.count_placeholder_ids(self.project.project_id, placeholder_ids)


def _country(services: Services, scope: Scope, address: str) -> str:
    """From the first trusted header that names one, else looked up; empty where nobody knows."""
    for name in services.country_headers:
        code = header(scope, name).upper()
        if len(code) == 2 and code.isascii() and code.isalpha() and code not in NO_COUNTRY:
            return code
    return services.country_of(address)


def now_ms() -> int:
    return time.time_ns() // 1_000_000
