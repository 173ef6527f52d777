from threadline.store.engine import (
    Params,
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
    StoreAway,
    StoreError,
    StoreRefused,
    Undecided,
)

__all__ = [
    "Params",
    "QueryTimeout",
    "Row",
    "Statements",
    "Store",
    "StoreAway",
    "StoreError",
    "StoreRefused",
    "Undecided",
    "bound_ms",
    "free_bytes",
    "store_url",
    "without_password",
]
