-- The field's words for what is left out and for what is set aside.
ALTER TABLE block RENAME COLUMN repeats TO duplicates;
ALTER TABLE dead_letters RENAME COLUMN letter_id TO dead_letter_id;

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

-- Requests to forget become jobs, in whatever state they were.
INSERT INTO jobs (
    job_id, kind, project_id, state, requested_ms, started_ms, finished_ms, id_hash, events,
    hidden_ms, last_seq
)
SELECT r.receipt_id, 'forget', r.project_id,
    CASE
        WHEN f.stage = 0 THEN 'running'
        WHEN f.stage > 0 THEN 'erasing'
        WHEN r.finished_ms IS NULL THEN 'waiting'
        ELSE 'done'
    END,
    r.accepted_ms,
    CASE WHEN f.last_seq IS NOT NULL OR r.finished_ms IS NOT NULL THEN r.accepted_ms END,
    CASE WHEN f.last_seq IS NULL THEN r.finished_ms END,
    r.id_hash, r.events, r.finished_ms, f.last_seq
FROM receipts AS r
-- The list of ids is msgpack, in which an id is its bytes.
LEFT JOIN forgettings AS f ON instr(f.receipts, CAST(r.receipt_id AS BLOB)) > 0;
INSERT INTO forget_plans SELECT last_seq, plan, stage FROM forgettings;
DROP TABLE forgettings;
DROP TABLE receipts;

-- The audit trail of forgetting: what was done, and a keyed hash of for whom. `finished_ms`: since when
-- no answer and no log shows any of it; `erased_ms`: since when the disk does not either.
CREATE VIEW receipts AS
SELECT job_id AS receipt_id, project_id, id_hash, requested_ms AS accepted_ms,
    hidden_ms AS finished_ms, events, finished_ms AS erased_ms
FROM jobs
WHERE kind = 'forget';
