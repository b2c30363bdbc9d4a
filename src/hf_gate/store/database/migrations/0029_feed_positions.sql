-- Keeps how far each destination that follows the ledger has got.
CREATE TABLE feed_positions (
    destination TEXT NOT NULL PRIMARY KEY,
    ledger_id INTEGER NOT NULL
);
