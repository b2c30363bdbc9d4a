-- Keeps after which entry of the ledger an act was endorsed, so that an approval that was taken back later stays so.
ALTER TABLE endorsements ADD COLUMN ledger_id INTEGER DEFAULT 0 NOT NULL;

-- SQLite only
UPDATE endorsements SET ledger_id = f.id FROM (
    SELECT json_extract(body, '$.plan') AS plan, json_extract(body, '$.account') AS agreed_by, max(id) AS id FROM ledger
    WHERE repo_id = 0 AND kind = 'PlanAgreed' GROUP BY 1, 2
) f WHERE f.plan = act AND f.agreed_by = account;

-- PostgreSQL only
UPDATE endorsements SET ledger_id = f.id FROM (
    SELECT body::json ->> 'plan' AS plan, body::json ->> 'account' AS agreed_by, max(id) AS id FROM ledger
    WHERE repo_id = 0 AND kind = 'PlanAgreed' GROUP BY 1, 2
) f WHERE f.plan = act AND f.agreed_by = account;

-- Drops what is no longer used.
ALTER TABLE picked DROP COLUMN assigned;
