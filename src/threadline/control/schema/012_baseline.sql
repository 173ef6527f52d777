-- control.db: who may send and who may ask. Times are milliseconds since 1970.
CREATE TABLE projects (
    project_id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    -- The policy for questions that do not name one; NULL: each question's own default.
    stitch TEXT,
    created_ms INTEGER NOT NULL,
    -- A visit ends where nothing happens for longer.
    visit_timeout_minutes INTEGER NOT NULL DEFAULT 30,
    -- Events older than so many days are deleted; NULL: never.
    keep_days INTEGER,
    -- The same of events with one of these names: JSON, days by name.
    keep_days_by_event TEXT NOT NULL DEFAULT '{}',
    -- 1: links and first touches outlive the events that they follow from.
    keep_first_touch INTEGER NOT NULL DEFAULT 0,
    -- What they follow from is deleted up to here; NULL: nothing is.
    touches_kept_ms INTEGER,
    -- By whose clocks days begin where a question does not say: an IANA name; NULL: UTC.
    timezone TEXT
) STRICT;

-- Projects of which something may still be stored, though they are deleted.
CREATE TABLE deleted_projects (
    project_id TEXT PRIMARY KEY,
    deleted_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Where a project's browsers may send from.
CREATE TABLE origins (
    project_id TEXT NOT NULL REFERENCES projects,
    origin TEXT NOT NULL,
    PRIMARY KEY (project_id, origin)
) STRICT, WITHOUT ROWID;

-- What decides where a project's visitors come from, where it is not the default.
CREATE TABLE sites (
    project_id TEXT PRIMARY KEY REFERENCES projects,
    -- 'same': subdomains of the page's domain are the same site. 'separate': each is its own.
    subdomains TEXT NOT NULL,
    -- The project's own rules, YAML as its owner wrote it.
    rules TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The secret itself is shown once and kept nowhere.
CREATE TABLE keys (
    prefix TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects,
    kind TEXT NOT NULL,
    env TEXT NOT NULL,
    secret_hash BLOB NOT NULL,
    created_ms INTEGER NOT NULL,
    last_used_ms INTEGER,
    revoked_ms INTEGER,
    name TEXT NOT NULL DEFAULT '',
    -- From then on the key is refused; NULL: never.
    expires_ms INTEGER,
    -- 1: made by a command for itself and in no list. It is deleted once it has expired.
    temporary INTEGER NOT NULL DEFAULT 0,
    -- What it may do besides what its kind may, by commas.
    scopes TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

-- A keyed hash of a constant: tells whether the file `pepper` is the one the keys were made with.
CREATE TABLE pepper (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    hash BLOB NOT NULL
) STRICT;

-- One salt a day for hashes of addresses. Destroyed after two days, and with it every way back.
CREATE TABLE salts (
    day INTEGER PRIMARY KEY,
    salt BLOB NOT NULL
) STRICT;

-- The day that decides about salts, and one that the clock says instead but is not yet believed.
CREATE TABLE clock (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    day INTEGER NOT NULL,
    doubted_day INTEGER NOT NULL,
    looks INTEGER NOT NULL
) STRICT;

-- How many ids of callers were dropped or refused because they stand for nobody.
CREATE TABLE placeholder_ids (
    project_id TEXT PRIMARY KEY REFERENCES projects,
    refused INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- People with a name: whoever passes these filters when a question is asked.
CREATE TABLE segments (
    project_id TEXT NOT NULL REFERENCES projects,
    name TEXT NOT NULL,
    filters TEXT NOT NULL,
    PRIMARY KEY (project_id, name)
) STRICT, WITHOUT ROWID;

-- Conversions with a name. What a goal does not have is empty.
CREATE TABLE goals (
    project_id TEXT NOT NULL REFERENCES projects,
    name TEXT NOT NULL,
    -- With conditions in braces, as its owner wrote it.
    event TEXT NOT NULL,
    filters TEXT NOT NULL,
    value_property TEXT NOT NULL,
    currency_property TEXT NOT NULL,
    description TEXT NOT NULL,
    PRIMARY KEY (project_id, name)
) STRICT, WITHOUT ROWID;

-- Dated notes. `at`: a date, or a time in UTC.
CREATE TABLE annotations (
    project_id TEXT NOT NULL REFERENCES projects,
    annotation_id TEXT NOT NULL,
    at TEXT NOT NULL,
    text TEXT NOT NULL,
    link TEXT NOT NULL,
    PRIMARY KEY (project_id, annotation_id)
) STRICT, WITHOUT ROWID;

-- Who signs in to the dashboard.
CREATE TABLE members (
    member_id TEXT PRIMARY KEY,
    -- In lower case.
    email TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    -- Argon2id, with its parameters; NULL: signs in by link or OpenID Connect only.
    password_hash TEXT,
    created_ms INTEGER NOT NULL,
    last_seen_ms INTEGER
) STRICT, WITHOUT ROWID;

-- Of the cookie only a keyed hash is kept.
CREATE TABLE sessions (
    session_id TEXT PRIMARY KEY,
    member_id TEXT NOT NULL REFERENCES members,
    token_hash BLOB NOT NULL UNIQUE,
    -- 'password', 'link' or 'oidc'.
    signed_in_by TEXT NOT NULL,
    -- Browser and system, such as 'firefox on linux'.
    device TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    last_used_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Deleted when used. `purpose`: 'setup', which is nobody's yet, 'sign_in' or 'invitation'.
CREATE TABLE one_time_links (
    token_hash BLOB PRIMARY KEY,
    purpose TEXT NOT NULL,
    member_id TEXT REFERENCES members,
    expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A page that whoever has the link may see. Deleted when revoked.
CREATE TABLE share_links (
    share_id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects,
    token_hash BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL,
    page TEXT NOT NULL,
    -- The page's query string: what may be asked has to be the same.
    query TEXT NOT NULL,
    -- Id of the member, or prefix of the key.
    created_by TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    last_used_ms INTEGER
) STRICT, WITHOUT ROWID;

-- Questions with their parameters, to be asked again. `params`: JSON, by name.
CREATE TABLE insights (
    project_id TEXT NOT NULL REFERENCES projects,
    name TEXT NOT NULL,
    question TEXT NOT NULL,
    params TEXT NOT NULL,
    chart TEXT NOT NULL,
    description TEXT NOT NULL,
    PRIMARY KEY (project_id, name)
) STRICT, WITHOUT ROWID;

-- Insights arranged on a page. `insights`: JSON, each by its name and with its width.
CREATE TABLE boards (
    project_id TEXT NOT NULL REFERENCES projects,
    name TEXT NOT NULL,
    insights TEXT NOT NULL,
    description TEXT NOT NULL,
    PRIMARY KEY (project_id, name)
) STRICT, WITHOUT ROWID;
