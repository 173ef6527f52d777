WITH decided_devices AS (
    SELECT r.visitor AS device,
        minIf(transform(
        r.user_hash, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, r.user_hash
    ), (r.visitor, r.user_hash) NOT IN arrayZip(
        {unlinked_visitors:Array(UInt64)}, {unlinked_hashes:Array(UInt64)}
    )) AS least, maxIf(transform(
        r.user_hash, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, r.user_hash
    ), (r.visitor, r.user_hash) NOT IN arrayZip(
        {unlinked_visitors:Array(UInt64)}, {unlinked_hashes:Array(UInt64)}
    )) AS greatest
    FROM links AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
        AND (r.visitor IN (
        SELECT visitor FROM links WHERE project_id = {project_id:String} AND user_id IN {aliased:Array(String)}
            AND NOT is_bot
    ) OR r.visitor IN {unlinked_visitors:Array(UInt64)})
    GROUP BY r.visitor
)
SELECT device, least, greatest
FROM decided_devices
ORDER BY device;

WITH stretches AS (
    SELECT visitor, known, user_hash, half_hour, page, first, last, events, page_views, actions,
        touches,
        fromUnixTimestamp64Milli(toInt64(half_hour) * 1800000 + intDiv(first.at, 2), 'UTC')
            AS began,
        fromUnixTimestamp64Milli(toInt64(half_hour) * 1800000 + last.at, 'UTC') AS ended
    FROM half_hours
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), considered AS (
    SELECT visitor, user_hash, ended AS timestamp, known, began AS begins
    FROM stretches
    WHERE NOT ((toTimeZone(toDateTime(toMonday(began, {tz:String}), {tz:String}), 'UTC') != toTimeZone(toDateTime(toMonday(ended, {tz:String}), {tz:String}), 'UTC')))
    UNION ALL
    SELECT visitor, user_hash, timestamp, user_hash != 0 AS known, e.timestamp AS begins
    FROM counted_events AS e
    WHERE (e.visitor, intDiv(toUnixTimestamp64Milli(e.timestamp), 1800000)) IN (
        SELECT visitor, half_hour
        FROM stretches
        WHERE ((toTimeZone(toDateTime(toMonday(began, {tz:String}), {tz:String}), 'UTC') != toTimeZone(toDateTime(toMonday(ended, {tz:String}), {tz:String}), 'UTC')))
    )
), device_states AS (
    SELECT visitor, least, greatest
    FROM device_users FINAL
    WHERE project_id = {project_id:String} AND NOT is_bot
), devices AS (
    SELECT r.visitor AS visitor,
        transform(
            r.visitor, {decided_devices:Array(UInt64)}, {decided_least:Array(UInt64)}, r.least
        ) AS least,
        transform(
            r.visitor, {decided_devices:Array(UInt64)}, {decided_greatest:Array(UInt64)}, r.greatest
        ) AS greatest
    FROM device_states AS r
), owners AS (
    SELECT visitor, if(least = greatest, least, 1) AS person
    FROM devices
), shared_devices AS (
    SELECT visitor FROM devices WHERE least != greatest
), known_stretches AS (
    SELECT visitor, half_hour, ended AS timestamp, user_hash
    FROM stretches
    WHERE known AND visitor IN (SELECT visitor FROM shared_devices)
), telling_stretches AS (
    SELECT visitor, timestamp, user_hash, '' AS user_id
    FROM known_stretches
    UNION ALL
    SELECT e.visitor AS visitor, e.timestamp AS timestamp, e.user_hash AS user_hash,
        assumeNotNull(e.user_id) AS user_id
    FROM counted_events AS e
    WHERE e.user_id IS NOT NULL AND NOT e.anonymous_id_generated
        AND (e.visitor, intDiv(toUnixTimestamp64Milli(e.timestamp), 1800000)) IN (
            SELECT visitor, half_hour
            FROM known_stretches
            GROUP BY visitor, half_hour
            HAVING min(user_hash) != max(user_hash)
        )
), observations AS (
    SELECT r.visitor AS visitor, r.timestamp AS timestamp, transform(
            r.user_hash, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, r.user_hash
        ) AS user_hash,
        max(transform(r.user_id, {aliased:Array(String)}, {persons:Array(String)}, r.user_id)) AS user_id
    FROM telling_stretches AS r
    WHERE (r.visitor, r.user_hash) NOT IN arrayZip(
            {unlinked_visitors:Array(UInt64)}, {unlinked_hashes:Array(UInt64)}
        )
    GROUP BY visitor, timestamp, user_hash
), ownership AS (
    SELECT visitor, user_hash, if(next_hash = 0, toDateTime64('2299-01-01 00:00:00', 3, 'UTC'), timestamp) AS until
    FROM (
        SELECT visitor, user_hash, timestamp,
            lagInFrame(timestamp, 1, toDateTime64('2299-01-01 00:00:00', 3, 'UTC')) OVER seen AS previous,
            leadInFrame(user_hash) OVER seen AS next_hash
        FROM observations
        WINDOW seen AS (
            PARTITION BY visitor ORDER BY timestamp, user_id
            ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING
        )
    )
    WHERE next_hash != user_hash AND (next_hash = 0 OR previous != timestamp)
), person_events AS (
    SELECT
        multiIf(o.person = 0, e.seen, o.person != 1, o.person, c.user_hash) AS person,
        o.person = 0 AND e.untagged AS is_nobodys, e.* EXCEPT (seen, untagged)
    FROM (
        SELECT transform(
            if(r.user_hash = 0, r.visitor, r.user_hash), {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, if(r.user_hash = 0, r.visitor, r.user_hash)
        ) AS seen, r.user_hash = 0 AS untagged, r.* EXCEPT (visitor, user_hash)
        FROM considered AS r
    ) AS e
    LEFT ANY JOIN owners AS o ON o.visitor = e.seen
    ASOF LEFT JOIN ownership AS c
        ON c.visitor = if(o.person = 1, e.seen, 0) AND e.timestamp <= c.until
), people AS (
    SELECT person, minIf(begins, TRUE) AS began, countIf(TRUE) > 0 AS has_begun,
        groupUniqArrayIf(toTimeZone(toDateTime(toMonday(timestamp, {tz:String}), {tz:String}), 'UTC'), TRUE) AS active
    FROM person_events
    GROUP BY person
), cohorts AS (
    SELECT people.person AS person, began, toTimeZone(toDateTime(toMonday(began, {tz:String}), {tz:String}), 'UTC') AS cohort,
        arrayDistinct(arrayMap(
            at -> dateDiff({interval:String}, cohort, at, {tz:String}), active
        )) AS periods
    FROM people
), cell AS (
    SELECT person, began, count() OVER () AS persons
    FROM cohorts
    WHERE cohort = {cohort_start:DateTime64(3, 'UTC')} AND has(periods, {period:UInt16})
)
SELECT person, began, persons
FROM cell
ORDER BY began, person
LIMIT 101;

WITH tagged_touches AS (
    SELECT transform(r.user_id, {aliased:Array(String)}, {persons:Array(String)}, r.user_id) AS user_id, r.first_touch AS first_touch, r.known_since AS known_since
    FROM user_touches AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
)
SELECT DISTINCT toString(sipHash64('user', user_id)) AS id, user_id
FROM tagged_touches
WHERE sipHash64('user', user_id) IN {who:Array(UInt64)};

WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
)
SELECT toString(e.visitor) AS id, any(e.anonymous_id) AS anonymous_id
FROM counted_events AS e
WHERE e.visitor IN {who:Array(UInt64)}
GROUP BY e.visitor;
