-- A pause that ends a visit, for each project.
ALTER TABLE projects ADD COLUMN visit_timeout_minutes INTEGER NOT NULL DEFAULT 30;
