WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
        AND received_at <= {as_of:DateTime64(3, 'UTC')}
), considered AS (
    SELECT visitor, user_hash, timestamp, user_hash != 0 AS known, e.timestamp AS begins
    FROM counted_events AS e
), person_events AS (
    SELECT transform(
            if(r.user_hash = 0, r.visitor, r.user_hash), {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, if(r.user_hash = 0, r.visitor, r.user_hash)
        ) AS person, r.user_hash = 0 AS is_nobodys, r.* EXCEPT (visitor, user_hash)
    FROM considered AS r
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
