-- What was acknowledged and is not in the store yet, in the order it was accepted.
CREATE TABLE IF NOT EXISTS entries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    -- 'events': a msgpack list of rows. 'forget': a msgpack request to forget.
    kind TEXT NOT NULL,
    events INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
-- Where the writer is. A block's end is written down before the block goes to the store, so that
-- after a crash the very same block goes there again, under the same token, and lands once.
CREATE TABLE IF NOT EXISTS writer (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    log_id TEXT NOT NULL,
    written_seq INTEGER NOT NULL,
    block_end_seq INTEGER NOT NULL
) STRICT;
-- Hashes of the event_ids clients made, in two generations: the older one is dropped whole when a
-- new one begins, so forgetting old ids costs nothing.
CREATE TABLE IF NOT EXISTS seen_0 (hash BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen_1 (hash BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen_generation (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    generation INTEGER NOT NULL
) STRICT;
-- The audit trail of forgetting: what was done, and a keyed hash of for whom.
CREATE TABLE IF NOT EXISTS receipts (
    receipt_id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    id_hash BLOB NOT NULL,
    accepted_ms INTEGER NOT NULL,
    finished_ms INTEGER,
    events INTEGER
) STRICT, WITHOUT ROWID;
