"""Several queries asked at once: answers in their order, and an error in any of them is raised."""

from pathlib import Path

import pytest

from threadline.store import Query, Store, StoreError, store_url

ONE: Query = ("SELECT {n:UInt8} AS n", {"n": 1})
TWO: Query = ("SELECT {n:UInt8} AS n", {"n": 2})
NONE: Query = ("SELECT nothing FROM nowhere", {})


def test_side_by_side(folder: Path) -> None:
    with Store(store_url("chdb", folder)) as store:
        many = [ONE, TWO] * 10  # more than there are handles
        assert store.query_all(*many) == [[{"n": 1}], [{"n": 2}]] * 10
        for failing in ((NONE, ONE), (ONE, NONE)):
            with pytest.raises(StoreError, match="nowhere"):
                store.query_all(*failing)
        assert store.query_all(ONE) == [[{"n": 1}]]  # all handles are back
