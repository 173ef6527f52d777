WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
        AND received_at <= {as_of:DateTime64(3, 'UTC')}
), considered AS (
    SELECT visitor, user_hash, timestamp, user_hash != 0 AS known, e.timestamp AS begins
    FROM counted_events AS e
), links_then AS (
    SELECT *, sipHash64('user', user_id) AS user_hash
    FROM (
        SELECT e.project_id AS project_id,
            assumeNotNull(e.user_id) AS user_id,
            e.visitor AS visitor,
            e.is_bot AS is_bot,
            any(e.anonymous_id) AS anonymous_id,
            min(e.timestamp) AS first_seen,
            max(e.timestamp) AS last_seen
        FROM counted_events AS e
        WHERE e.user_id IS NOT NULL AND NOT e.anonymous_id_generated AND (TRUE)
        GROUP BY e.project_id, assumeNotNull(e.user_id), e.visitor, e.is_bot
    )
), user_links AS (
    SELECT r.visitor AS visitor, transform(r.user_id, {aliased:Array(String)}, {persons:Array(String)}, r.user_id) AS user_id, transform(
            r.user_hash, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, r.user_hash
        ) AS user_hash,
        r.anonymous_id AS anonymous_id, r.first_seen AS first_seen, r.last_seen AS last_seen
    FROM links_then AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
        AND (r.visitor, r.user_hash) NOT IN arrayZip(
                {unlinked_visitors:Array(UInt64)}, {unlinked_hashes:Array(UInt64)}
            )
), devices AS (
    SELECT visitor, min(user_hash) AS least, max(user_hash) AS greatest
    FROM user_links
    GROUP BY visitor
), owners AS (
    SELECT visitor, if(least = greatest, least, 1) AS person
    FROM devices
), observed_events AS (
    SELECT r.visitor AS visitor, r.timestamp AS timestamp, transform(assumeNotNull(r.user_id), {aliased:Array(String)}, {persons:Array(String)}, assumeNotNull(r.user_id)) AS user_id,
        transform(
            r.user_hash, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, r.user_hash
        ) AS user_hash, r.anonymous_id AS anonymous_id,
        r.event_id AS event_id, r.event_name AS event_name
    FROM counted_events AS r
    WHERE r.user_id IS NOT NULL AND NOT r.anonymous_id_generated
        AND (r.visitor, r.user_hash) NOT IN arrayZip(
                {unlinked_visitors:Array(UInt64)}, {unlinked_hashes:Array(UInt64)}
            )
), shared_devices AS (
    SELECT visitor FROM devices WHERE least != greatest
), observations AS (
    SELECT DISTINCT visitor, timestamp, user_hash, user_id
    FROM observed_events
    WHERE visitor IN (SELECT visitor FROM shared_devices)
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

WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
        AND received_at <= {as_of:DateTime64(3, 'UTC')}
), user_touches_then AS (
    SELECT *
    FROM (
        SELECT e.project_id AS project_id,
            assumeNotNull(e.user_id) AS user_id,
            e.is_bot AS is_bot,
            min((NOT (e.source_rule_id != 'no_page'), e.timestamp, e.event_id, e.visitor, e.traffic_source)::Tuple(off_page Bool, timestamp DateTime64(3, 'UTC'), event_id String, visitor UInt64, traffic_source UInt64)) AS first_touch,
            min(e.timestamp) AS known_since
        FROM counted_events AS e
        WHERE e.user_id IS NOT NULL AND (TRUE)
        GROUP BY e.project_id, assumeNotNull(e.user_id), e.is_bot
    )
), tagged_touches AS (
    SELECT transform(r.user_id, {aliased:Array(String)}, {persons:Array(String)}, r.user_id) AS user_id, r.first_touch AS first_touch, r.known_since AS known_since
    FROM user_touches_then AS r
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
        AND received_at <= {as_of:DateTime64(3, 'UTC')}
)
SELECT toString(e.visitor) AS id, any(e.anonymous_id) AS anonymous_id
FROM counted_events AS e
WHERE e.visitor IN {who:Array(UInt64)}
GROUP BY e.visitor;
