-- How many people there are.
WITH owned AS (
    $owned
)
SELECT count(DISTINCT person) AS persons FROM owned
