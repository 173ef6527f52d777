from threadline.store.address import store_url, without_password
from threadline.store.connection import READERS
from threadline.store.engine import Store, free_bytes
from threadline.store.errors import (
    QueryTimeout,
    QueryTooLarge,
    StoreAway,
    StoreBusy,
    StoreError,
    StoreRefused,
)
from threadline.store.handles import SAVERS
from threadline.store.in_memory import InMemory
from threadline.store.journal import WrittenEvent
from threadline.store.statements import Deletion, Params, Query, Row, Statements, bound_ms
from threadline.store.unfinished import (
    HALF_MADE,
    REBUILD,
    RECLASSIFY,
    RETENTION,
    UnfinishedWork,
    begin,
    finish,
    unfinished,
)

__all__ = [
    "HALF_MADE",
    "READERS",
    "REBUILD",
    "RECLASSIFY",
    "RETENTION",
    "SAVERS",
    "Deletion",
    "InMemory",
    "Params",
    "Query",
    "QueryTimeout",
    "QueryTooLarge",
    "Row",
    "Statements",
    "Store",
    "StoreAway",
    "StoreBusy",
    "StoreError",
    "StoreRefused",
    "UnfinishedWork",
    "WrittenEvent",
    "begin",
    "bound_ms",
    "finish",
    "free_bytes",
    "store_url",
    "unfinished",
    "without_password",
]
