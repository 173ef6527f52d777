-- Everything a user did, and what nobody is named on of their devices.
SELECT event_id, timestamp, event, source, medium, campaign, url, referrer, properties
FROM events
WHERE user_id = $user OR user_id IS NULL AND anonymous_id IN (
    SELECT anonymous_id FROM events WHERE user_id = $user AND anonymous_id IS NOT NULL
)
ORDER BY timestamp, event_id
LIMIT 1000
