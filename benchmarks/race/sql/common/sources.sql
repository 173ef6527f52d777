-- Events, devices, people and visits by where the visit came from; what a server says is direct.
WITH owned AS (
    $owned
), $visits, counted AS (
    SELECT source, medium, person, anonymous_id AS device, events, 1 AS visits FROM visits
    UNION ALL
    SELECT source, medium, person, coalesce(anonymous_id, user_id) AS device, 1 AS events,
        0 AS visits
    FROM owned
    WHERE NOT on_page
)
SELECT source, medium, sum(events) AS all_events, count(DISTINCT device) AS devices,
    count(DISTINCT person) AS persons, sum(visits) AS all_visits
FROM counted
GROUP BY source, medium
ORDER BY 3 DESC, 1, 2
