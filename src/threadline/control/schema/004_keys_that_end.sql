-- What was added to keys later, in a table of its own: a column cannot be added twice.
CREATE TABLE IF NOT EXISTS key_details (
    prefix TEXT PRIMARY KEY REFERENCES keys ON DELETE CASCADE,
    name TEXT NOT NULL,
    -- From then on the key is refused; NULL: never.
    expires_ms INTEGER,
    -- 1: made by a command for itself and in no list. It is deleted once it has expired.
    passing INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- The day that decides about salts, and one that the clock says instead but is not yet believed.
CREATE TABLE IF NOT EXISTS clock (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    day INTEGER NOT NULL,
    doubted_day INTEGER NOT NULL,
    looks INTEGER NOT NULL
) STRICT;
-- A keyed hash of a constant: tells whether the file `pepper` is the one the keys were made with.
CREATE TABLE IF NOT EXISTS pepper (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    hash BLOB NOT NULL
) STRICT;
