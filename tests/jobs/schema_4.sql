-- log.db as schema 4 had it, which the version before wrote.
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
-- How many columns the rows have that lie in this file, as records and as dead letters.
CREATE TABLE IF NOT EXISTS row_columns (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    columns INTEGER NOT NULL
) STRICT;
INSERT OR IGNORE INTO row_columns VALUES (1, 23);
-- Requests to forget that are being carried out: what there was to delete, found once and written
-- down before the first deletion, so that after a crash the very same goes. Here until all is gone.
CREATE TABLE IF NOT EXISTS forgettings (
    -- The block of the log that the requests came in.
    last_seq INTEGER PRIMARY KEY,
    -- A msgpack list of ids.
    receipts BLOB NOT NULL,
    -- A msgpack plan: numbers that stand for who is forgotten. Empty once the store has done it.
    plan BLOB NOT NULL,
    -- 0: found. 1: the store deletes it. 2: the store has nothing of it any more.
    stage INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS receipts_unfinished ON receipts (accepted_ms) WHERE finished_ms IS NULL;
CREATE INDEX IF NOT EXISTS forgets_waiting ON records (seq) WHERE kind = 'forget';
CREATE INDEX IF NOT EXISTS dead_letters_retried ON dead_letters (retry);
-- Under which name the block on its way goes to the store, and when the log last moved on.
CREATE TABLE IF NOT EXISTS progress (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    token TEXT NOT NULL,
    moved_ms INTEGER NOT NULL
) STRICT;
INSERT OR IGNORE INTO progress
SELECT 1, CASE WHEN end_seq > written_seq THEN log_id || '-' || end_seq ELSE '' END, 0 FROM block;
