-- Keyed hashes of the event_ids that clients made, as long as a repeat has to be known. Days that
-- are over are dropped whole.
CREATE TABLE IF NOT EXISTS event_ids (
    hash UInt64,
    received_at DateTime('UTC') DEFAULT now()
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(received_at)
ORDER BY hash
SETTINGS non_replicated_deduplication_window = 1000, index_granularity = 1024;
