-- What a key may do besides what its kind may.
ALTER TABLE keys ADD COLUMN scopes TEXT NOT NULL DEFAULT '';
