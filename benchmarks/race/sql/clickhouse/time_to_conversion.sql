-- From a user's first event, one on a page if there is any, until they signed up.
WITH owned AS (
    $owned
), times AS (
    SELECT argMin((timestamp, source, medium), (NOT on_page, timestamp, event_id)) AS touch,
        minIf(timestamp, event = 'signup') AS converted_at,
        greatest(0, dateDiff('millisecond', touch.1, converted_at)) / 1000 AS seconds
    FROM owned
    WHERE owner IS NOT NULL
    GROUP BY owner
    HAVING countIf(event = 'signup') > 0
)
SELECT touch.2 AS source, touch.3 AS medium, count() AS persons, avg(seconds) AS mean,
    quantilesExactInclusive(0.25, 0.5, 0.75, 0.9, 0.99)(seconds) AS quantiles
FROM times
GROUP BY source, medium
ORDER BY persons DESC, source, medium
