-- Moves notices and letters into one table of messages.
CREATE TABLE messages (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    destination TEXT NOT NULL,
    state TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    queued_at INTEGER NOT NULL,
    next_at INTEGER NOT NULL,
    attempts INTEGER DEFAULT 0 NOT NULL,
    tried_at INTEGER,
    ended_at INTEGER,
    outcome TEXT,
    problem TEXT,
    lease TEXT,
    sequence INTEGER,
    items TEXT DEFAULT '[]' NOT NULL,
    is_alarm BOOLEAN DEFAULT FALSE NOT NULL,
    accepted TEXT DEFAULT '[]' NOT NULL,
    request_id INTEGER REFERENCES requests (id),
    person_id INTEGER,
    key TEXT DEFAULT '' NOT NULL
);
INSERT INTO messages (id, kind, destination, state, made_at, queued_at, next_at, attempts, tried_at, ended_at, outcome,
    problem, lease, sequence, items, is_alarm, accepted)
SELECT id, 'notice', destination, CASE WHEN state = 'delivered' THEN 'sent' WHEN state <> 'dead' THEN state
    WHEN outcome = 'refused' THEN 'bounced' ELSE 'failed' END, made_at, queued_at, next_at, attempts, tried_at, ended_at,
    outcome, problem, lease, sequence, items, is_alarm, accepted FROM outbox;
INSERT INTO messages (id, kind, destination, state, made_at, queued_at, next_at, attempts, tried_at, ended_at, problem,
    lease, request_id, person_id, key)
SELECT id, kind, '', CASE WHEN state = 'due' THEN 'waiting' ELSE state END, made_at, made_at, next_at, attempts,
    started_at, ended_at, problem, lease, request_id, person_id, key FROM letters;
DROP TABLE outbox;
DROP TABLE letters;
CREATE UNIQUE INDEX messages_place ON messages (destination, sequence) WHERE sequence IS NOT NULL;
CREATE INDEX messages_open ON messages (destination, sequence) WHERE state IN ('waiting', 'sending');
CREATE INDEX messages_dead ON messages (destination, ended_at) WHERE state IN ('unknown', 'bounced', 'failed');
CREATE INDEX messages_ended ON messages (ended_at) WHERE ended_at IS NOT NULL;
CREATE UNIQUE INDEX messages_once ON messages (request_id, kind, key) WHERE request_id IS NOT NULL;
CREATE INDEX messages_person ON messages (person_id, tried_at) WHERE person_id IS NOT NULL;
