-- What decides where a project's visitors come from, where it is not the default.
CREATE TABLE IF NOT EXISTS sites (
    project_id TEXT PRIMARY KEY REFERENCES projects,
    -- 'same': subdomains of the page's domain are the same site. 'separate': each is its own.
    subdomains TEXT NOT NULL,
    -- The project's own rules, YAML as its owner wrote it.
    rules TEXT NOT NULL
) STRICT, WITHOUT ROWID;
