"""What the engine's errors mean."""

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from threadline.store import StoreAway, StoreRefused
from threadline.store.errors import store_errors


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Code: 32. DB::Exception: Attempt to read after eof: (at row 1)", StoreRefused),
        (
            "Code: 32. DB::Exception: Attempt to read after eof: while receiving packet from"
            " db2:9000: While sending a batch",
            StoreAway,
        ),
    ],
)
def test_a_node_that_goes_away_has_refused_nothing(message: str, kind: type[Exception]) -> None:
    """Else a block that some shards have would go again in parts, under other tokens."""
    with pytest.raises(kind), store_errors():
        raise DatabaseError(message, code=32)
