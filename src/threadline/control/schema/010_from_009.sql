-- Insights and boards.
CREATE TABLE insights (
    project_id TEXT NOT NULL REFERENCES projects,
    name TEXT NOT NULL,
    question TEXT NOT NULL,
    params TEXT NOT NULL,
    chart TEXT NOT NULL,
    description TEXT NOT NULL,
    PRIMARY KEY (project_id, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE boards (
    project_id TEXT NOT NULL REFERENCES projects,
    name TEXT NOT NULL,
    insights TEXT NOT NULL,
    description TEXT NOT NULL,
    PRIMARY KEY (project_id, name)
) STRICT, WITHOUT ROWID;
