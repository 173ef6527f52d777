WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        e.visitor AS device, e.medium = 'paid' AS is_paid, toString(e.term) AS term
    FROM counted_events AS e
), person_events AS (
    SELECT if(r.user_hash = 0, r.visitor, r.user_hash) AS person, r.user_hash = 0 AS is_nobodys, r.* EXCEPT (visitor, user_hash)
    FROM considered AS r
)
SELECT term, count() AS events, uniqExact(device) AS uniques,
    countIf(is_paid) / events AS paid_share, uniqExact(person) AS persons
FROM person_events
GROUP BY term
ORDER BY events DESC, term
LIMIT 51;
