-- Moves the number of the schema to `about`, and drops what is no longer used.
INSERT INTO about (key, value) VALUES ('schema', '0020');
DROP TABLE alembic_version;
DROP TABLE absences;
ALTER TABLE outbox DROP COLUMN lease_until;
ALTER TABLE notice_conditions DROP COLUMN told_at;

-- Two indexes with another spelling
DROP INDEX runs_plan;
CREATE INDEX runs_plan ON runs (plan) WHERE plan IS NOT NULL;
DROP INDEX letters_once;
CREATE UNIQUE INDEX letters_once ON letters (request_id, kind, key);
