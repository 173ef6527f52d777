from threadline.store.engine import (
    Params,
    Query,
    Row,
    Statements,
    Store,
    bound_ms,
    free_bytes,
    store_url,
    without_password,
)
from threadline.store.errors import (
    QueryTimeout,
    QueryTooLarge,
    StoreAway,
    StoreBusy,
    StoreError,
    StoreRefused,
)
from threadline.store.unfinished import REBUILD, RECLASSIFY, Work, begin, finish, unfinished

__all__ = [
    "REBUILD",
    "RECLASSIFY",
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
    "Work",
    "begin",
    "bound_ms",
    "finish",
    "free_bytes",
    "store_url",
    "unfinished",
    "without_password",
]
