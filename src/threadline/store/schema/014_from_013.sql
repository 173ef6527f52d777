-- Each statement is written down once it is done, so after a kill the next one begins, or the same
-- one again: each bears that.

-- Old rows have no channel until they are classified again, and without one the number of their
-- traffic source is what it was, so no column is written anew.
ALTER TABLE events ADD COLUMN IF NOT EXISTS channel LowCardinality(String);
ALTER TABLE events MODIFY COLUMN traffic_source UInt64 MATERIALIZED if(
        channel = '',
        cityHash64(source, medium, campaign),
        cityHash64(source, medium, campaign, channel)
    ) * 2 + (source = 'direct') CODEC(ZSTD);

-- The views that follow the events are made anew at the end, from their definitions.
DROP VIEW IF EXISTS links_mv;
DROP VIEW IF EXISTS device_users_mv;
DROP VIEW IF EXISTS activity_mv;
DROP VIEW IF EXISTS visitor_touches_mv;
DROP VIEW IF EXISTS user_touches_mv;
DROP VIEW IF EXISTS traffic_sources_mv;

ALTER TABLE traffic_sources ADD COLUMN IF NOT EXISTS channel SimpleAggregateFunction(any, String);
ALTER TABLE traffic_sources MODIFY COLUMN traffic_source UInt64 DEFAULT if(
        channel = '',
        cityHash64(source, medium, campaign),
        cityHash64(source, medium, campaign, channel)
    ) * 2 + (source = 'direct');

-- Half hours take the place of hours, and first touches prefer pages: these tables are made from
-- the events at the end.
DROP TABLE IF EXISTS activity SYNC;
INSERT INTO unfinished_work (run, name, subject, reach, done)
SELECT run, name, subject, reach, TRUE
FROM unfinished_work WHERE subject = 'activity'
GROUP BY run, name, subject, reach;

-- Exchange rates against the euro, of the whole installation. Imports add rows, and of a day and
-- currency the newest counts, so that the same again changes nothing.
CREATE TABLE IF NOT EXISTS exchange_rates (
    currency LowCardinality(String),
    day Date32,
    -- How much of the currency one euro is; 0: the file that was imported last has none for the day.
    latest SimpleAggregateFunction(max, Tuple(
        imported_at DateTime64(6, 'UTC'), per_euro Decimal(28, 12)
    ))
)
ENGINE = AggregatingMergeTree
ORDER BY (currency, day)
SETTINGS non_replicated_deduplication_window = 1000,
    fsync_after_insert = 1, fsync_part_directory = 1;
