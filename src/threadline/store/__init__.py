from threadline.store.engine import (
    Params,
    Row,
    Store,
    StoreError,
    StoreRefused,
    free_bytes,
    store_url,
)

__all__ = ["Params", "Row", "Store", "StoreError", "StoreRefused", "free_bytes", "store_url"]
