-- The audit trail of forgetting: what was done, and a keyed hash of for whom. `finished_ms`: since when
-- no answer and no log shows any of it; `erased_ms`: since when the disk does not either.
CREATE VIEW IF NOT EXISTS receipts AS
SELECT job_id AS receipt_id, project_id, id_hash, requested_ms AS accepted_ms,
    hidden_ms AS finished_ms, events, finished_ms AS erased_ms
FROM jobs
WHERE kind = 'forget';
