-- log.db: what was acknowledged and is not in the store yet, and what has to survive with it.

-- In the order it was accepted: all events of one commit in a record, encoded as the store reads
-- them.
CREATE TABLE records (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    -- 'rows', or 'forget': a msgpack request to forget.
    kind TEXT NOT NULL,
    events INTEGER NOT NULL,
    body BLOB NOT NULL,
    -- Of each row: its length in the body (32 bits), and the hash of its event_id if the client
    -- generated that, else zero (64 bits).
    lengths BLOB NOT NULL,
    hashes BLOB NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;
CREATE INDEX forgets_waiting ON records (seq) WHERE kind = 'forget';

-- How many columns the rows have that lie in this file, as records and as dead letters.
CREATE TABLE row_columns (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    columns INTEGER NOT NULL
) STRICT;
INSERT INTO row_columns VALUES (1, 27);

-- The block that is on its way. It is written down before it goes to the store, so that after a
-- crash the very same rows go there again, under the same token, and land once.
CREATE TABLE block (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    log_id TEXT NOT NULL,
    written_seq INTEGER NOT NULL,
    end_seq INTEGER NOT NULL,
    -- Rows left out because their event_id is known already: four bytes for each position.
    duplicates BLOB NOT NULL,
    -- Where the store refused the block as a whole: the part on its way, as positions of rows. All
    -- before it is done. Zeros: the block goes as a whole.
    part_start INTEGER NOT NULL,
    part_end INTEGER NOT NULL,
    -- Where other nodes write into the same store, under which number its event_ids were claimed.
    claim INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Requests to forget that wait for what other nodes have acknowledged before: they come behind all
-- records as soon as those have signed the barrier. Zero: it is not raised yet.
CREATE TABLE held_forgets (
    receipt_id TEXT PRIMARY KEY,
    body BLOB NOT NULL,
    barrier INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Under which name the block on its way goes to the store, and when the log last moved on.
CREATE TABLE progress (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    token TEXT NOT NULL,
    moved_ms INTEGER NOT NULL
) STRICT;

-- Events that the store refuses, one by one, with the reason.
CREATE TABLE dead_letters (
    dead_letter_id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    event_name TEXT NOT NULL,
    body BLOB NOT NULL,
    reason TEXT NOT NULL,
    refused_ms INTEGER NOT NULL,
    retry INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX dead_letters_retried ON dead_letters (retry);

-- Work that takes long: requests to forget, and what commands start. One row each, from when it is
-- asked for; it stays as the record of what was done.
CREATE TABLE jobs (
    job_id TEXT PRIMARY KEY,
    -- 'forget', 'import', 'rebuild', 'reclassify'.
    kind TEXT NOT NULL,
    -- Empty: all projects.
    project_id TEXT NOT NULL DEFAULT '',
    -- What it is about, for people: a file, a time. Never whom.
    about TEXT NOT NULL DEFAULT '',
    -- 'waiting', 'running', 'erasing' (forget: in no answer any more, but on the disk), 'stopped',
    -- 'done', 'failed', 'cancelled'.
    state TEXT NOT NULL DEFAULT 'waiting',
    -- Where it is, and how far: so many of so many. Zero: not known.
    step TEXT NOT NULL DEFAULT '',
    done INTEGER NOT NULL DEFAULT 0,
    total INTEGER NOT NULL DEFAULT 0,
    unit TEXT NOT NULL DEFAULT '',
    requested_ms INTEGER NOT NULL,
    started_ms INTEGER,
    finished_ms INTEGER,
    -- Whether it may be cancelled, and whether somebody asked for that.
    may_cancel INTEGER NOT NULL DEFAULT 0,
    cancel INTEGER NOT NULL DEFAULT 0,
    error TEXT NOT NULL DEFAULT '',
    -- Of a request to forget: a keyed hash of whom it is about, how many events it took, since when
    -- no answer shows any of them, and the block of the log that it is carried out with.
    id_hash BLOB,
    events INTEGER,
    hidden_ms INTEGER,
    last_seq INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX jobs_open ON jobs (requested_ms) WHERE finished_ms IS NULL;
CREATE INDEX jobs_of_block ON jobs (last_seq) WHERE last_seq IS NOT NULL;
CREATE INDEX jobs_by_time ON jobs (requested_ms);
-- What there is to delete for the requests of one block: found once and written down before the first
-- deletion, so that after a crash the very same goes. Here until all is gone.
CREATE TABLE forget_plans (
    last_seq INTEGER PRIMARY KEY,
    -- A msgpack plan: numbers that stand for who is forgotten. Empty once the store has done it.
    plan BLOB NOT NULL,
    -- 0: found. 1: the store deletes it. 2: the store has nothing of it any more.
    stage INTEGER NOT NULL DEFAULT 0
) STRICT;

-- The audit trail of forgetting: what was done, and a keyed hash of for whom. `finished_ms`: since when
-- no answer and no log shows any of it; `erased_ms`: since when the disk does not either.
CREATE VIEW receipts AS
SELECT job_id AS receipt_id, project_id, id_hash, requested_ms AS accepted_ms,
    hidden_ms AS finished_ms, events, finished_ms AS erased_ms
FROM jobs
WHERE kind = 'forget';
