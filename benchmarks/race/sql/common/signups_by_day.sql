-- How many signed up on each day.
SELECT CAST(CAST(timestamp AS date) AS text) AS day, count(*) AS events
FROM events
WHERE event = 'signup'
GROUP BY 1
ORDER BY 1
