-- How many columns the rows have that lie in this file, as records and as dead letters.
CREATE TABLE IF NOT EXISTS row_columns (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    columns INTEGER NOT NULL
) STRICT;
INSERT OR IGNORE INTO row_columns VALUES (1, 23);
