-- How long events are kept, and projects that are being deleted.
ALTER TABLE projects ADD COLUMN keep_days INTEGER;
ALTER TABLE projects ADD COLUMN keep_days_by_event TEXT NOT NULL DEFAULT '{}';
ALTER TABLE projects ADD COLUMN keep_first_touch INTEGER NOT NULL DEFAULT 0;
ALTER TABLE projects ADD COLUMN touches_kept_ms INTEGER;
CREATE TABLE deleted_projects (
    project_id TEXT PRIMARY KEY,
    deleted_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
