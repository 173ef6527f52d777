-- All that is known of a key in one table; temporary keys under that name.
ALTER TABLE keys ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE keys ADD COLUMN expires_ms INTEGER;
ALTER TABLE keys ADD COLUMN temporary INTEGER NOT NULL DEFAULT 0;
UPDATE keys
SET name = details.name, expires_ms = details.expires_ms, temporary = details.passing
FROM key_details AS details
WHERE details.prefix = keys.prefix;
DROP TABLE key_details;

-- Tables of one row say so in the same way everywhere.
ALTER TABLE clock RENAME COLUMN one TO only_row;
ALTER TABLE pepper RENAME COLUMN one TO only_row;
