-- Which logs this store was written from, as hashes of their ids: one that lost its file begins anew,
-- and then ids that were known before count again. `lost`: how that showed; empty for the first.
CREATE TABLE IF NOT EXISTS logs (
    number UInt32,
    log_hash String,
    lost LowCardinality(String),
    at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY number
SETTINGS non_replicated_deduplication_window = 1000,
    fsync_after_insert = 1, fsync_part_directory = 1;
