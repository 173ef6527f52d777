-- The last touch of 30 days that is not direct, else the last, gets the signup.
WITH owned AS (
    $owned
), $visits, touched_visits AS (
    SELECT person, min(timestamp) AS started,
        argMin(is_return, (timestamp, NOT is_return)) AS resumed,
        arraySort(
            t -> t.1, groupArrayIf((timestamp, source, medium, campaign, channel), is_touch)
        ) AS found,
        arrayFilter(
            (t, nth) -> nth = 1,
            found,
            arrayEnumerateUniq(arrayMap(t -> (t.2, t.3, t.4, t.5), found))
        ) AS firsts
    FROM numbered
    GROUP BY person, anonymous_id, visit
), touches AS (
    SELECT person, touch.1 AS touched_at, touch.2 AS source, touch.3 AS medium
    FROM touched_visits
    ARRAY JOIN multiIf(
        notEmpty(firsts), arrayMap(t -> (t.1, toString(t.2), toString(t.3)), firsts),
        resumed, [],
        [(started, 'direct', 'direct')]
    ) AS touch
), conversions AS (
    SELECT person, event_id, timestamp AS converted_at FROM owned WHERE event = 'signup'
), found AS (
    SELECT c.person AS person, c.event_id AS event_id, t.source AS source, t.medium AS medium,
        t.touched_at AS touched_at, isNotNull(t.person) AND touched_at <= converted_at AS before,
        before AND touched_at >= converted_at - INTERVAL 30 DAY AS inside
    FROM touches AS t
    RIGHT JOIN conversions AS c ON t.person = c.person
), credits AS (
    SELECT any(person) AS person, groupArrayIf((source, medium), inside) AS touched,
        multiIf(
            max(inside), argMaxIf((source, medium), (source != 'direct', touched_at), inside),
            max(before), ('outside_window', 'outside_window'),
            ('direct', 'direct')
        ) AS credited
    FROM found
    GROUP BY event_id
)
SELECT share.1 AS source, share.2 AS medium, countIf(share.3) AS conversions,
    uniqExactIf(person, share.3) AS persons, uniqExactIf(person, NOT share.3) AS influenced,
    countIf(NOT share.3) AS touches
FROM credits
ARRAY JOIN arrayConcat(
    [(credited.1, credited.2, TRUE)], arrayMap(t -> (t.1, t.2, FALSE), touched)
) AS share
GROUP BY source, medium
HAVING conversions > 0
ORDER BY conversions DESC, source, medium
