-- Moves the unsent decisions of the desk, and those that failed unseen, into runs.
ALTER TABLE runs ADD COLUMN starts_at INTEGER;
ALTER TABLE runs ADD COLUMN is_unseen BOOLEAN DEFAULT FALSE NOT NULL;
CREATE INDEX runs_state ON runs (state, starts_at);
CREATE INDEX runs_member ON runs (member, made_at) WHERE member IS NOT NULL;
CREATE INDEX runs_unseen ON runs (member, made_at) WHERE is_unseen;
UPDATE runs SET starts_at = made_at WHERE state IN ('ready', 'interrupted')
    AND id IN (SELECT run FROM tray WHERE outcome IS NULL AND run IS NOT NULL);
UPDATE runs SET is_unseen = TRUE WHERE id IN (
    SELECT run FROM tray WHERE run IS NOT NULL AND outcome NOT IN ('done', 'already', 'deferred', 'undone', 'seen')
);

-- SQLite only: the changes that a run had begun get what was shown.
UPDATE changes SET change = CAST(json_set(
    CAST(change AS TEXT), '$.version', t.version, '$.batch', t.batch, '$.shown_at', CASE WHEN t.hand_terms IS NOT NULL THEN 0 END
) AS BLOB) FROM tray t WHERE t.outcome IS NULL AND t.run = changes.run AND t.request_id = changes.request_id;

-- PostgreSQL only
UPDATE changes SET change = convert_to((convert_from(change, 'UTF8')::jsonb || jsonb_build_object(
    'version', t.version, 'batch', t.batch, 'shown_at', CASE WHEN t.hand_terms IS NOT NULL THEN 0 END
))::text, 'UTF8') FROM tray t WHERE t.outcome IS NULL AND t.run = changes.run AND t.request_id = changes.request_id;

DELETE FROM tray WHERE member IS NULL OR outcome IN ('done', 'already', 'deferred', 'undone', 'seen');
-- Their repo could not be read.
UPDATE tray SET outcome = 'unsent' WHERE outcome = 'open';
-- Their outcomes stand in the runs that sent them.
DELETE FROM tray WHERE EXISTS (
    SELECT 1 FROM changes c JOIN runs r ON r.id = c.run WHERE c.run = tray.run AND c.request_id = tray.request_id
        AND NOT (c.state = 'planned' AND r.state IN ('ended', 'stopped', 'abandoned'))
);
INSERT INTO runs (id, kind, actor, state, made_at, total, counts, member, verbs, starts_at, is_unseen)
SELECT batch || '.' || id, 'direct', actor, CASE WHEN outcome IS NULL THEN 'queued' ELSE 'ended' END, made_at, 1,
    CASE WHEN outcome IS NULL THEN '{}' ELSE '{"' || outcome || '":1}' END, member, '{"' || verb || '":1}', leaves_at,
    outcome IS NOT NULL FROM tray;

-- SQLite only
INSERT INTO changes (run, n, repo_id, request_id, change, state, why)
SELECT t.batch || '.' || t.id, 1, r.repo_id, t.request_id, CAST(json_object(
    'repo', o.namespace || '/' || o.name, 'repo_type', o.type, 'request_id', r.hub_request, 'user_id', p.user_id,
    'user', p.username, 'asked_at', strftime('%Y-%m-%dT%H:%M:%fZ', r.asked_at / 1000.0, 'unixepoch'), 'answers_digest', lower(hex(r.answers)), 'moved_at', r.last_moved_at, 'from', r.status,
    'to', CASE t.verb WHEN 'accept' THEN 'accepted' WHEN 'reject' THEN 'rejected' WHEN 'reset' THEN 'reset' ELSE 'pending' END,
    'reason', t.reason, 'rule', 'direct', 'policy', NULL, 'policy_digest', NULL, 'because', json_array(), 'until', t.until,
    'at_end', t.h ->> '$.at_end', 'terms', json(t.h -> '$.terms'), 'end_rule', t.h ->> '$.rule',
    'rests_on', json(coalesce(t.h -> '$.rests_on', '{}')),
    'is_chosen', json(CASE WHEN coalesce(t.h ->> '$.is_chosen', t.hand_terms IS NULL AND t.until IS NOT NULL) THEN 'true' ELSE 'false' END),
    'row', t.request_id, 'version', t.version, 'batch', t.batch,
    'shown_at', CASE WHEN t.hand_terms IS NOT NULL THEN coalesce(t.h ->> '$.shown_at', 0) END,
    'end_version', t.h ->> '$.version', 'note', CASE WHEN t.outcome IS NULL THEN t.note END
) AS BLOB), coalesce(t.outcome, 'planned'), coalesce(t.why, '')
FROM (SELECT tray.*, CASE WHEN hand_terms LIKE '{%' THEN hand_terms END AS h FROM tray) t
JOIN requests r ON r.id = t.request_id JOIN repos o ON o.id = r.repo_id JOIN people p ON p.id = r.person_id;

-- PostgreSQL only
INSERT INTO changes (run, n, repo_id, request_id, change, state, why)
SELECT t.batch || '.' || t.id, 1, r.repo_id, t.request_id, convert_to(json_build_object(
    'repo', o.namespace || '/' || o.name, 'repo_type', o.type, 'request_id', r.hub_request, 'user_id', p.user_id,
    'user', p.username, 'asked_at', to_char(to_timestamp(r.asked_at / 1000.0) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'answers_digest', encode(r.answers, 'hex'), 'moved_at', r.last_moved_at, 'from', r.status,
    'to', CASE t.verb WHEN 'accept' THEN 'accepted' WHEN 'reject' THEN 'rejected' WHEN 'reset' THEN 'reset' ELSE 'pending' END,
    'reason', t.reason, 'rule', 'direct', 'policy', NULL, 'policy_digest', NULL, 'because', json_build_array(), 'until', t.until,
    'at_end', t.h ->> 'at_end', 'terms', t.h -> 'terms', 'end_rule', t.h ->> 'rule',
    'rests_on', coalesce(t.h -> 'rests_on', '{}'),
    'is_chosen', coalesce((t.h ->> 'is_chosen')::boolean, t.hand_terms IS NULL AND t.until IS NOT NULL),
    'row', t.request_id, 'version', t.version, 'batch', t.batch,
    'shown_at', CASE WHEN t.hand_terms IS NOT NULL THEN coalesce((t.h ->> 'shown_at')::bigint, 0) END,
    'end_version', t.h ->> 'version', 'note', CASE WHEN t.outcome IS NULL THEN t.note END
)::text, 'UTF8'), coalesce(t.outcome, 'planned'), coalesce(t.why, '')
FROM (SELECT tray.*, CASE WHEN hand_terms LIKE '{%' THEN hand_terms::json END AS h FROM tray) t
JOIN requests r ON r.id = t.request_id JOIN repos o ON o.id = r.repo_id JOIN people p ON p.id = r.person_id;

-- Drops what is no longer used.
DROP TABLE tray;
