-- Keys of other systems, and the decisions that they sent.
CREATE TABLE api_keys (
    digest TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    verbs TEXT NOT NULL,
    repos TEXT,
    made_at INTEGER NOT NULL,
    until_at INTEGER
);

CREATE TABLE key_decisions (
    key TEXT NOT NULL,
    idempotency TEXT NOT NULL,
    body TEXT NOT NULL,
    request_id INTEGER NOT NULL REFERENCES requests (id),
    batch TEXT NOT NULL,
    outcome TEXT,
    why TEXT DEFAULT '' NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (key, idempotency)
);
CREATE INDEX key_decisions_request ON key_decisions (request_id);
