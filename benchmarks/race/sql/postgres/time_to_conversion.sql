-- From a user's first event, one on a page if there is any, until they signed up.
WITH owned AS (
    $owned
), firsts AS (
    SELECT DISTINCT ON (owner) owner, timestamp, source, medium
    FROM owned
    WHERE owner IS NOT NULL
    ORDER BY owner, NOT on_page, timestamp, event_id
), conversions AS (
    SELECT owner, min(timestamp) AS converted_at FROM owned WHERE event = 'signup' GROUP BY owner
), times AS (
    SELECT f.source, f.medium,
        greatest(0, CAST(extract(epoch FROM c.converted_at - f.timestamp) AS float8)) AS seconds
    FROM firsts AS f
    INNER JOIN conversions AS c USING (owner)
)
SELECT source, medium, count(*) AS persons, avg(seconds) AS mean,
    percentile_cont(0.25) WITHIN GROUP (ORDER BY seconds) AS p25,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) AS p50,
    percentile_cont(0.75) WITHIN GROUP (ORDER BY seconds) AS p75,
    percentile_cont(0.9) WITHIN GROUP (ORDER BY seconds) AS p90,
    percentile_cont(0.99) WITHIN GROUP (ORDER BY seconds) AS p99
FROM times
GROUP BY source, medium
ORDER BY persons DESC, source, medium
