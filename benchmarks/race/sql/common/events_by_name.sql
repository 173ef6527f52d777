-- What happened how often.
SELECT event, count(*) AS events
FROM events
GROUP BY 1
ORDER BY 2 DESC, 1
