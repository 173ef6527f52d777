WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
        AND received_at <= {as_of:DateTime64(3, 'UTC')}
), considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        if(ifNull(abs(toFloat64OrNull(replaceAll(JSONExtractRaw(e.properties, {property:String}), '"', ''))) < 1e200, FALSE), assumeNotNull(toFloat64OrNull(replaceAll(JSONExtractRaw(e.properties, {property:String}), '"', ''))), 0) AS number,
        multiIf(
            JSONExtractRaw(e.properties, {property:String}) = '',
            position(e.properties, {property:String}) > 0 AND NOT isValidJSON(e.properties),
            JSONExtractRaw(e.properties, {property:String}) != 'null' AND NOT ifNull(abs(toFloat64OrNull(replaceAll(JSONExtractRaw(e.properties, {property:String}), '"', ''))) < 1e200, FALSE)
        ) AS skipped
    FROM counted_events AS e
    WHERE e.event_name = {event:String}
)
SELECT sum(p.number) AS value, countIf(p.skipped) AS skipped
FROM considered AS p
ORDER BY value DESC
LIMIT 101;
