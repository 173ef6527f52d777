-- People who sign in to the dashboard, their sessions, links that work once, and links to share.
CREATE TABLE members (
    member_id TEXT PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    password_hash TEXT,
    created_ms INTEGER NOT NULL,
    last_seen_ms INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE sessions (
    session_id TEXT PRIMARY KEY,
    member_id TEXT NOT NULL REFERENCES members,
    token_hash BLOB NOT NULL UNIQUE,
    signed_in_by TEXT NOT NULL,
    device TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    last_used_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE one_time_links (
    token_hash BLOB PRIMARY KEY,
    purpose TEXT NOT NULL,
    member_id TEXT REFERENCES members,
    expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE share_links (
    share_id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects,
    token_hash BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL,
    page TEXT NOT NULL,
    query TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    last_used_ms INTEGER
) STRICT, WITHOUT ROWID;
