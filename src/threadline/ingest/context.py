"""Who sent a request with events, as far as the server can know."""

from collections.abc import Callable
from dataclasses import dataclass

from threadline.classify import Site
from threadline.contract.bodies import MAX_PROPERTIES_BYTES
from threadline.contract.ids import PLACEHOLDERS, Placeholders
from threadline.control.keeping import FOR_EVER, Keeping
from threadline.enrich import no_country


@dataclass(frozen=True, slots=True)
class IngestContext:
    """What the steps know besides the event. `id_key`: for hashes of event_ids. `scrub`: takes out
    of addresses what must not be stored. `skew_ms`: how far the sender's clock is behind ours.
    `country_of`: looks an address up. `user_agent`: the visitor's, so that of the request only
    where the visitor sent it (`browser_key`); else empty. `keeping`: how long the project keeps
    its events."""

    project_id: str
    site: Site
    scrub: Callable[[str], str]
    browser_key: bool
    address: str
    address_hash: bytes
    user_agent: str
    country: str
    salt: bytes
    id_key: int
    now_ms: int
    skew_ms: int = 0
    placeholders: Placeholders = PLACEHOLDERS
    country_of: Callable[[str], str] = no_country
    max_properties_bytes: int = MAX_PROPERTIES_BYTES
    keeping: Keeping = FOR_EVER
