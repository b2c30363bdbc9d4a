-- Keeps who endorsed an act in one table: plans had it in their summary, and earlier ends in a setting.
CREATE TABLE endorsements (
    act TEXT NOT NULL,
    account TEXT NOT NULL,
    rules TEXT DEFAULT '' NOT NULL,
    PRIMARY KEY (act, account)
) WITHOUT ROWID;

-- SQLite only
INSERT INTO endorsements (act, account)
SELECT p.digest, j.value FROM plans p, json_each(p.about, '$.seen') j WHERE p.about IS NOT NULL;

-- PostgreSQL only
INSERT INTO endorsements (act, account)
SELECT p.digest, j.value FROM plans p, json_array_elements_text(p.about::json -> 'seen') AS j (value) WHERE p.about IS NOT NULL;

-- SQLite only
INSERT INTO endorsements (act, account)
SELECT json_extract(s.value, '$.moves'), j.value FROM settings s, json_each(s.value, '$.accounts') j WHERE s.key = 'agreed ends';

-- PostgreSQL only
INSERT INTO endorsements (act, account)
SELECT s.value::json ->> 'moves', j.value FROM settings s, json_array_elements_text(s.value::json -> 'accounts') AS j (value)
WHERE s.key = 'agreed ends';

DELETE FROM settings WHERE key = 'agreed ends';
