from threadline.enrich.agent import Agent, browser_word, os_word, read_agent
from threadline.enrich.country import Countries, CountryFileError, no_country
from threadline.enrich.scrub import cut_parameters, scrubber
from threadline.enrich.visitor import (
    address_hash,
    cookieless_id,
    random_id,
    session_id,
    time_ordered_id,
)

__all__ = [
    "Agent",
    "Countries",
    "CountryFileError",
    "address_hash",
    "browser_word",
    "cookieless_id",
    "cut_parameters",
    "no_country",
    "os_word",
    "random_id",
    "read_agent",
    "scrubber",
    "session_id",
    "time_ordered_id",
]
