-- Who an event says it is, as a number: 0 where it does not. Questions that count people read this
-- instead of the ids.
ALTER TABLE events ADD COLUMN IF NOT EXISTS user_hash UInt64
    MATERIALIZED if(user_id IS NULL, 0, sipHash64('user', assumeNotNull(user_id)))
    CODEC(Delta, ZSTD);
