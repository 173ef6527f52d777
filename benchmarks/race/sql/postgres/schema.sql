CREATE TABLE events (
    event_id text PRIMARY KEY, timestamp timestamp NOT NULL, event text NOT NULL, anonymous_id text,
    user_id text, on_page boolean NOT NULL, path text NOT NULL, url text NOT NULL,
    referrer text NOT NULL, source text NOT NULL, medium text NOT NULL, campaign text NOT NULL,
    channel text NOT NULL, properties jsonb NOT NULL
);
CREATE INDEX by_device ON events (anonymous_id, timestamp);
CREATE INDEX by_link ON events (anonymous_id, timestamp, user_id) WHERE user_id IS NOT NULL;
CREATE INDEX by_user ON events (user_id, anonymous_id, timestamp) WHERE user_id IS NOT NULL;
CREATE INDEX by_event ON events (event, timestamp);
