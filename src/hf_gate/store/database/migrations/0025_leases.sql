-- PostgreSQL only: which process does what, until when; `transaction` is the lock of write transactions
CREATE TABLE leases (
    name TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    about TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
);
-- PostgreSQL only
INSERT INTO leases (name, holder, about, epoch, expires_at)
    VALUES ('transaction', '', '', 0, 0), ('store', '', '', 0, 0), ('loop', '', '', 0, 0), ('messages', '', '', 0, 0);
