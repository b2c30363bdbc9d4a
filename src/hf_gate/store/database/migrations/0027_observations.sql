-- Adds what other systems said about people.
CREATE TABLE observations (
    person_id INTEGER NOT NULL REFERENCES people (id),
    source TEXT NOT NULL,
    question TEXT NOT NULL,
    value TEXT,
    problem TEXT NOT NULL,
    at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    failures INTEGER DEFAULT 0 NOT NULL,
    PRIMARY KEY (person_id, source)
) WITHOUT ROWID;
CREATE INDEX observations_expire ON observations (expires_at);
