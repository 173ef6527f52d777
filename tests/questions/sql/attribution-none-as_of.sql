WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
        AND received_at <= {as_of:DateTime64(3, 'UTC')}
), considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        TRUE AS is_conversion, if(ifNull(abs(toFloat64OrNull(replaceAll(JSONExtractRaw(e.properties, {value_property:String}), '"', ''))) < 1e200, FALSE), assumeNotNull(toFloat64OrNull(replaceAll(JSONExtractRaw(e.properties, {value_property:String}), '"', ''))), 0) AS value, multiIf(
            JSONExtractRaw(e.properties, {value_property:String}) = '',
            position(e.properties, {value_property:String}) > 0 AND NOT isValidJSON(e.properties),
            JSONExtractRaw(e.properties, {value_property:String}) != 'null' AND NOT ifNull(abs(toFloat64OrNull(replaceAll(JSONExtractRaw(e.properties, {value_property:String}), '"', ''))) < 1e200, FALSE)
        ) AS skipped,
        0 AS traffic_source, 0 AS session
    FROM counted_events AS e
    WHERE e.event_name = {conversion:String}
    UNION ALL
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        FALSE AS is_conversion, toFloat64(0) AS value, FALSE AS skipped,
        e.traffic_source AS traffic_source, cityHash64(e.session_id) AS session
    FROM counted_events AS e
    WHERE e.source != 'internal'
), person_events AS (
    SELECT if(r.user_hash = 0, r.visitor, transform(
            r.user_hash, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, r.user_hash
        )) AS person, r.* EXCEPT (visitor, user_hash)
    FROM considered AS r
), people AS (
    SELECT person,
        groupArrayIf((timestamp, value, skipped), is_conversion) AS converted,
        arraySort(
            groupArrayIf((timestamp, traffic_source, session), NOT is_conversion)
        ) AS arrivals,
        arrayFilter(
            (arrival, nth) -> nth = 1, arrivals, arrayEnumerateUniq(arrivals.3)
        ) AS arrived
    FROM person_events
    GROUP BY person
    HAVING notEmpty(converted)
), conversions AS (
    SELECT person, conversion.1 AS at, conversion.2 AS value, conversion.3 AS skipped,
        arrayFilter(
            t -> t.1 <= at AND t.1 >= at - toIntervalDay({lookback_days:UInt16}), arrived
        ) AS found,
        if(empty(found), [(at, cityHash64('direct', 'direct', '') * 2 + 1, 0)], found) AS touches
    FROM people
    ARRAY JOIN converted AS conversion
), weighed AS (
    SELECT person, value, skipped, touches,
        toInt64(length(touches)) AS n,
        toInt64(arrayLastIndex(t -> t.2 % 2 = 0, touches)) AS last_other,
        arrayMap(t -> exp2(-dateDiff('millisecond', t.1, at) / 604800000), touches) AS decayed,
        arrayMap(
            i -> toFloat64(i = if(last_other = 0, n, last_other)), arrayEnumerate(touches)
        ) AS weights
    FROM conversions
), credits AS (
    SELECT person, value, skipped, credited.1.2 AS traffic_source, credited.2 AS weight
    FROM weighed
    ARRAY JOIN arrayZip(touches, weights) AS credited
    WHERE credited.2 > 0
), named_sources AS (
    SELECT traffic_source, source, medium, campaign FROM traffic_sources WHERE project_id = {project_id:String}
    UNION ALL
    SELECT cityHash64('direct', 'direct', '') * 2 + 1, 'direct', 'direct', ''
    UNION ALL
    SELECT 0, 'internal', 'internal', ''
)
SELECT n.source AS source, n.medium AS medium, grouping(source) AS is_total,
    sum(weight) AS conversions, uniqExact(person) AS persons, sum(weight * value) AS value,
    sum(weight * skipped) AS skipped
FROM credits AS c
LEFT ANY JOIN named_sources AS n ON n.traffic_source = c.traffic_source
GROUP BY GROUPING SETS ((source, medium), ())
ORDER BY conversions DESC, source, medium;
