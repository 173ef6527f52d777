WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        e.timestamp AS begins, e.user_hash != 0 AS known, e.event_name AS event_name
    FROM counted_events AS e
), person_events AS (
    SELECT if(e.owner = 0, e.seen, e.owner) AS person, e.owner = 0 AND e.untagged AS is_nobodys,
        e.* EXCEPT (seen, owner, untagged)
    FROM (
        SELECT if(r.user_hash = 0, r.visitor, r.user_hash) AS seen, dictGet({devices:String}, 'first', seen) AS owner, r.user_hash = 0 AS untagged,
            r.* EXCEPT (visitor, user_hash)
        FROM considered AS r
    ) AS e
), people AS (
    SELECT person, minIf(begins, known) AS began, countIf(known) > 0 AS has_begun,
        groupUniqArrayIf(toTimeZone(toDateTime(toMonday(timestamp, {tz:String}), {tz:String}), 'UTC'), event_name = {event:String}) AS active
    FROM person_events
    GROUP BY person
), cohorts AS (
    SELECT toTimeZone(toDateTime(toMonday(began, {tz:String}), {tz:String}), 'UTC') AS cohort,
        arrayDistinct(arrayMap(
            at -> dateDiff({interval:String}, cohort, at, {tz:String}), active
        )) AS periods
    FROM people
    WHERE has_begun
)
SELECT cohort, count() AS persons,
    sumForEach(arrayMap(k -> toUInt64(has(periods, k)), range({periods:UInt16}))) AS retained
FROM cohorts
GROUP BY cohort
ORDER BY cohort;
