-- PostgreSQL only: what desks share for a while: one-time links and codes, who has a request open
CREATE TABLE shared_values (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    subject TEXT NOT NULL,
    value BLOB NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (kind, key)
);
-- PostgreSQL only
CREATE INDEX shared_values_subject ON shared_values (kind, subject);
