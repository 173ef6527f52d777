-- In this log a person signs up once, so each signup has one last page view before it.
WITH owned AS (
    $owned
), steps AS MATERIALIZED (
    SELECT person, event, timestamp FROM owned WHERE event IN ('$pageview', 'signup', 'purchase')
), signed_up AS (
    SELECT person, min(timestamp) AS signed_up_at FROM steps WHERE event = 'signup' GROUP BY person
), ways AS (
    SELECT s.signed_up_at AS second, max(e.timestamp) FILTER (e.event = '$pageview' AND e.timestamp <= s.signed_up_at)
            AS first,
        min(e.timestamp) FILTER (e.event = 'purchase' AND e.timestamp >= s.signed_up_at) AS third
    FROM steps AS e
    INNER JOIN signed_up AS s ON s.person = e.person
    GROUP BY s.person, s.signed_up_at
)
SELECT (SELECT count(DISTINCT person) FROM steps WHERE event = '$pageview') AS viewed,
    count(*) FILTER (second <= first + INTERVAL 30 DAY) AS signed_up,
    count(*) FILTER (second <= first + INTERVAL 30 DAY AND third <= first + INTERVAL 30 DAY)
        AS purchased
FROM ways
