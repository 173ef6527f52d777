-- How many ids of callers were dropped or refused because they stand for nobody.
CREATE TABLE IF NOT EXISTS placeholder_ids (
    project_id TEXT PRIMARY KEY REFERENCES projects,
    refused INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
