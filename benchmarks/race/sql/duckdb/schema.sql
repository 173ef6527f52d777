CREATE TABLE events (
    event_id VARCHAR, timestamp TIMESTAMP, event VARCHAR, anonymous_id VARCHAR, user_id VARCHAR,
    on_page BOOLEAN, path VARCHAR, url VARCHAR, referrer VARCHAR, source VARCHAR, medium VARCHAR,
    campaign VARCHAR, channel VARCHAR, properties VARCHAR
)
