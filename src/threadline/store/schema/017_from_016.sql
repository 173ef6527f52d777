-- Several nodes may write into one store: what they claim, and which claims come too late.
ALTER TABLE event_ids $on_cluster
    ADD COLUMN IF NOT EXISTS claim UInt64,
    ADD INDEX IF NOT EXISTS claims claim TYPE minmax GRANULARITY 1;

CREATE TABLE IF NOT EXISTS fences $on_cluster (
    number UInt64
)
ENGINE = Replacing$engine(number)
ORDER BY tuple();
