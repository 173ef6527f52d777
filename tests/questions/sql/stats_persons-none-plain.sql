WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        toString(e.source) AS source
    FROM counted_events AS e
    WHERE e.timestamp >= {from_:DateTime64(3, 'UTC')}
), person_events AS (
    SELECT if(r.user_hash = 0, r.visitor, r.user_hash) AS person, r.* EXCEPT (visitor, user_hash)
    FROM considered AS r
)
SELECT source, uniqExact(person) AS value
FROM person_events
GROUP BY source
ORDER BY value DESC, source
LIMIT 101;
