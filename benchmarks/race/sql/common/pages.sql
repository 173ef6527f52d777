-- The ten pages that were looked at most.
SELECT path, count(*) AS views
FROM events
WHERE event = '$pageview'
GROUP BY 1
ORDER BY 2 DESC, 1
LIMIT 10
