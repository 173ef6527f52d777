from threadline.enrich.agent import Agent, read_agent
from threadline.enrich.visitor import (
    address_hash,
    cookieless_id,
    random_id,
    session_id,
    time_ordered_id,
)

__all__ = [
    "Agent",
    "address_hash",
    "cookieless_id",
    "random_id",
    "read_agent",
    "session_id",
    "time_ordered_id",
]
