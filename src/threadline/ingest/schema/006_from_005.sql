-- Several nodes may write into one store.
ALTER TABLE block ADD COLUMN claim INTEGER NOT NULL DEFAULT 0;
CREATE TABLE held_forgets (
    receipt_id TEXT PRIMARY KEY,
    body BLOB NOT NULL,
    barrier INTEGER NOT NULL DEFAULT 0
) STRICT;
