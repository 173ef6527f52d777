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
), person_events AS (
    SELECT if(e.owner = 0, e.seen, e.owner) AS person, e.owner = 0 AND e.untagged AS is_nobodys,
        e.* EXCEPT (seen, owner, untagged)
    FROM (
        SELECT if(r.user_hash = 0, r.visitor, r.user_hash) AS seen, dictGet({devices:String}, 'first', seen) AS owner, r.user_hash = 0 AS untagged,
            r.* EXCEPT (visitor, user_hash)
        FROM considered AS r
    ) AS e
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
    SELECT r.user_id AS user_id, r.first_touch AS first_touch, r.known_since AS known_since
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
