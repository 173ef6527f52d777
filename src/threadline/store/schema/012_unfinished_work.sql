-- Work on the store that takes long, written down before it begins and once more when it is done. What
-- a killed process left in the middle is what was never done. Rows are only added.
CREATE TABLE IF NOT EXISTS unfinished_work (
    run String,
    name LowCardinality(String),
    -- What it is about: a state of identity, a project.
    subject String,
    -- How far it reaches; empty: everything.
    reach String,
    done Bool,
    at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY (name, subject, run)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- What older versions left in the middle shows in their tables.
INSERT INTO unfinished_work (run, name, subject)
SELECT 'before', 'rebuild', replaceOne(name, '_new', '')
FROM system.tables
WHERE database = currentDatabase() AND name IN (
    'links_new', 'device_users_new', 'activity_new', 'visitor_touches_new', 'user_touches_new',
    'places_new'
);

INSERT INTO unfinished_work (run, name, subject)
SELECT 'before', 'rebuild', arrayJoin(['visitor_touches', 'user_touches', 'places'])
FROM system.tables
WHERE database = currentDatabase() AND name = 'reclassified';

-- A power cut must not take back that a migration was made: those after it would not bear it.
ALTER TABLE schema_migrations MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
