-- Who was there on each day.
WITH owned AS (
    $owned
)
SELECT CAST(CAST(timestamp AS date) AS text) AS day, count(DISTINCT person) AS persons
FROM owned
GROUP BY 1
ORDER BY 1
