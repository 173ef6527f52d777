from threadline.store.engine import (
    Deletion,
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

__all__ = [
    "Deletion",
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
    "bound_ms",
    "free_bytes",
    "store_url",
    "without_password",
]
