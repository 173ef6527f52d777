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
