-- What was acknowledged and is not in the store yet, in the order it was accepted: all events of
-- one commit in a record, encoded as the store reads them.
CREATE TABLE IF NOT EXISTS records (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    -- 'rows', or 'forget': a msgpack request to forget.
    kind TEXT NOT NULL,
    events INTEGER NOT NULL,
    body BLOB NOT NULL,
    -- Of each row: its length in the body (32 bits), and the hash of its event_id if the client
    -- made that, else zero (64 bits).
    lengths BLOB NOT NULL,
    hashes BLOB NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;
-- The block that is on its way. It is written down before it goes to the store, so that after a
-- crash the very same rows go there again, under the same token, and land once.
CREATE TABLE IF NOT EXISTS block (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    log_id TEXT NOT NULL,
    written_seq INTEGER NOT NULL,
    end_seq INTEGER NOT NULL,
    -- Rows left out because their event_id was seen before: four bytes for each position.
    repeats BLOB NOT NULL,
    -- Where the store refused the block as a whole: the part on its way, as positions of rows. All
    -- before it is done. Zeros: the block goes as a whole.
    part_start INTEGER NOT NULL,
    part_end INTEGER NOT NULL
) STRICT;
-- Events that the store refuses, one by one, with the reason.
CREATE TABLE IF NOT EXISTS dead_letters (
    letter_id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    event_name TEXT NOT NULL,
    body BLOB NOT NULL,
    reason TEXT NOT NULL,
    refused_ms INTEGER NOT NULL,
    retry INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
DROP TABLE IF EXISTS entries;
DROP TABLE IF EXISTS writer;
DROP TABLE IF EXISTS seen_0;
DROP TABLE IF EXISTS seen_1;
DROP TABLE IF EXISTS seen_generation;
