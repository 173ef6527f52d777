-- Who may send and who may ask. Times are milliseconds since 1970.
CREATE TABLE IF NOT EXISTS projects (
    project_id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    -- The policy for questions that do not name one; NULL: each question's own default.
    stitch TEXT,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS origins (
    project_id TEXT NOT NULL REFERENCES projects,
    origin TEXT NOT NULL,
    PRIMARY KEY (project_id, origin)
) STRICT, WITHOUT ROWID;
-- The secret itself is shown once and kept nowhere.
CREATE TABLE IF NOT EXISTS keys (
    prefix TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects,
    kind TEXT NOT NULL,
    env TEXT NOT NULL,
    secret_hash BLOB NOT NULL,
    created_ms INTEGER NOT NULL,
    last_used_ms INTEGER,
    revoked_ms INTEGER
) STRICT, WITHOUT ROWID;
-- One salt a day for hashes of addresses. Destroyed after two days, and with it every way back.
CREATE TABLE IF NOT EXISTS salts (
    day INTEGER PRIMARY KEY,
    salt BLOB NOT NULL
) STRICT;
