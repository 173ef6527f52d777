WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
        AND received_at <= {as_of:DateTime64(3, 'UTC')}
), considered AS (
    SELECT visitor, user_hash, timestamp, user_hash != 0 AS known
    FROM counted_events AS e
    WHERE timestamp >= {from_:DateTime64(3, 'UTC')}
), person_events AS (
    SELECT transform(
            if(r.user_hash = 0, r.visitor, r.user_hash), {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, if(r.user_hash = 0, r.visitor, r.user_hash)
        ) AS person, r.user_hash = 0 AS is_nobodys, r.* EXCEPT (visitor, user_hash)
    FROM considered AS r
)
SELECT toTimeZone(toStartOfDay(p.timestamp, {tz:String}), 'UTC') AS bucket, uniqExact(p.person) AS value
FROM person_events AS p
GROUP BY bucket
ORDER BY bucket DESC, value DESC
LIMIT 1001;
