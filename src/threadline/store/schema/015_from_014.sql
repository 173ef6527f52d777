-- Whether a person's observations in an account are to be ignored: of a user, or of a device as long
-- as nobody is known there.
CREATE TABLE IF NOT EXISTS account_unlinks $on_cluster (
    project_id LowCardinality(String),
    account_id String,
    account UInt64 MATERIALIZED sipHash64('account', account_id),
    -- One of them is empty.
    user_id String,
    anonymous_id String,
    user_hash UInt64 MATERIALIZED if(user_id = '', 0, sipHash64('user', user_id)),
    visitor UInt64 MATERIALIZED if(anonymous_id = '', 0, sipHash64(anonymous_id)),
    unlinked Bool,
    decided_at DateTime64(6, 'UTC'),
    decided_by String
)
ENGINE = $engine
ORDER BY (project_id, account_id, user_id, anonymous_id, decided_at)
SETTINGS $settings;

-- The states that this schema adds follow (`store/tables.py`, CHANGED_STATES): their tables are filled
-- from the events, then the views made that are missing.
