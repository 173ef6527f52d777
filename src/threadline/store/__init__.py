from threadline.store.engine import Params, Row, Store, free_bytes, store_url, without_password
from threadline.store.errors import QueryTimeout, StoreAway, StoreError, StoreRefused

__all__ = [
    "Params",
    "QueryTimeout",
    "Row",
    "Store",
    "StoreAway",
    "StoreError",
    "StoreRefused",
    "free_bytes",
    "store_url",
    "without_password",
]
