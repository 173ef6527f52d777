-- Visits by where they came from. A bounce: one page view, nothing else, shorter than ten seconds.
WITH owned AS (
    $owned
), $visits
SELECT source, count(*) AS visits, count(DISTINCT person) AS persons,
    avg(events) AS events_per_visit, avg(page_views) AS page_views_per_visit,
    avg(seconds) AS mean_seconds,
    avg(CASE WHEN page_views = 1 AND actions = 0 AND seconds < 10 THEN 1.0 ELSE 0.0 END)
        AS bounce_share
FROM visits
GROUP BY source
ORDER BY 2 DESC, 1
