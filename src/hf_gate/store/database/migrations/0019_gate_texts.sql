-- Adds the texts of prompts and forms. Texts from before the upgrade are stored by the next full sync.
CREATE TABLE gate_texts (
    digest TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    text TEXT NOT NULL,
    at INTEGER NOT NULL
);
