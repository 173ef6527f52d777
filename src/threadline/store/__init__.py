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
from threadline.store.errors import QueryTimeout, StoreAway, StoreError, StoreRefused

__all__ = [
    "Params",
    "Query",
    "QueryTimeout",
    "Row",
    "Statements",
    "Store",
    "StoreAway",
    "StoreError",
    "StoreRefused",
    "bound_ms",
    "free_bytes",
    "store_url",
    "without_password",
]
