"""The Python SDK: standard library only."""

from threadline.client.aio import AsyncClient
from threadline.client.client import Client
from threadline.client.context import Context, carried, carry, use
from threadline.client.errors import APIError, Dropped, ThreadlineError, Unreachable

__all__ = [
    "APIError",
    "AsyncClient",
    "Client",
    "Context",
    "Dropped",
    "ThreadlineError",
    "Unreachable",
    "carried",
    "carry",
    "use",
]
