-- From a user's first event, one on a page if there is any, until they signed up.
WITH owned AS (
    $owned
), firsts AS (
    SELECT owner, arg_min((timestamp, source, medium), (NOT on_page, timestamp, event_id)) AS touch
    FROM owned
    WHERE owner IS NOT NULL
    GROUP BY owner
), conversions AS (
    SELECT owner, min(timestamp) AS converted_at FROM owned WHERE event = 'signup' GROUP BY owner
), times AS (
    SELECT touch[2] AS source, touch[3] AS medium,
        greatest(0, epoch_ms(converted_at - touch[1])) / 1000 AS seconds
    FROM firsts
    INNER JOIN conversions USING (owner)
)
SELECT source, medium, count(*) AS persons, avg(seconds) AS mean,
    quantile_cont(seconds, 0.25) AS p25, quantile_cont(seconds, 0.5) AS p50,
    quantile_cont(seconds, 0.75) AS p75, quantile_cont(seconds, 0.9) AS p90,
    quantile_cont(seconds, 0.99) AS p99
FROM times
GROUP BY source, medium
ORDER BY persons DESC, source, medium
