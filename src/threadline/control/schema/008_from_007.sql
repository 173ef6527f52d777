-- Segments, goals and annotations.
CREATE TABLE segments (
    project_id TEXT NOT NULL REFERENCES projects,
    name TEXT NOT NULL,
    filters TEXT NOT NULL,
    PRIMARY KEY (project_id, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE goals (
    project_id TEXT NOT NULL REFERENCES projects,
    name TEXT NOT NULL,
    event TEXT NOT NULL,
    filters TEXT NOT NULL,
    value_property TEXT NOT NULL,
    currency_property TEXT NOT NULL,
    description TEXT NOT NULL,
    PRIMARY KEY (project_id, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE annotations (
    project_id TEXT NOT NULL REFERENCES projects,
    annotation_id TEXT NOT NULL,
    at TEXT NOT NULL,
    text TEXT NOT NULL,
    link TEXT NOT NULL,
    PRIMARY KEY (project_id, annotation_id)
) STRICT, WITHOUT ROWID;
