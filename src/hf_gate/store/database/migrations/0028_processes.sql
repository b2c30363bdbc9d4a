-- PostgreSQL only: the loops and desks that run
CREATE TABLE processes (
    id TEXT NOT NULL PRIMARY KEY,
    role TEXT NOT NULL,
    host TEXT NOT NULL,
    version TEXT NOT NULL,
    revision TEXT NOT NULL,
    digest TEXT NOT NULL,
    token TEXT NOT NULL,
    seen_at INTEGER NOT NULL
);
