CREATE TABLE about (
	"key" TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY ("key")
)
;;
CREATE TABLE bindings (
	owner_table TEXT NOT NULL,
	"key" TEXT NOT NULL,
	user_id TEXT NOT NULL,
	how TEXT NOT NULL,
	at INTEGER NOT NULL,
	PRIMARY KEY (owner_table, "key")
)
;;
CREATE TABLE checkpoints (
	id INTEGER NOT NULL,
	at INTEGER NOT NULL,
	heads TEXT NOT NULL,
	PRIMARY KEY (id)
)
;;
CREATE TABLE done (
	verb TEXT NOT NULL,
	ledger_id INTEGER NOT NULL,
	at INTEGER NOT NULL,
	PRIMARY KEY (verb, ledger_id)
)
 WITHOUT ROWID
;;
CREATE INDEX done_at ON done (verb, at)
;;
CREATE TABLE people (
	id INTEGER NOT NULL,
	pseudonym TEXT NOT NULL,
	salt BLOB,
	user_id TEXT,
	username TEXT,
	fullname TEXT,
	email TEXT,
	user_key TEXT,
	PRIMARY KEY (id)
)
;;
CREATE INDEX people_nameless ON people (user_key) WHERE user_id IS NULL
;;
CREATE UNIQUE INDEX people_user_id ON people (user_id) WHERE user_id IS NOT NULL
;;
CREATE TABLE plans (
	digest TEXT NOT NULL,
	document BLOB NOT NULL,
	made_at INTEGER NOT NULL,
	PRIMARY KEY (digest)
)
;;
CREATE TABLE private (
	id INTEGER NOT NULL,
	person_id INTEGER NOT NULL,
	data BLOB NOT NULL,
	PRIMARY KEY (id)
)
;;
CREATE INDEX private_person ON private (person_id)
;;
CREATE TABLE repos (
	id INTEGER NOT NULL,
	type TEXT NOT NULL,
	namespace TEXT NOT NULL,
	name TEXT NOT NULL,
	gated TEXT,
	form_card TEXT,
	quick_at INTEGER,
	full_at INTEGER,
	is_complete BOOLEAN DEFAULT 0 NOT NULL,
	problem TEXT,
	PRIMARY KEY (id)
)
;;
CREATE UNIQUE INDEX repos_name ON repos (type, namespace, name)
;;
CREATE TABLE runs (
	id TEXT NOT NULL,
	kind TEXT NOT NULL,
	actor TEXT NOT NULL,
	state TEXT NOT NULL,
	made_at INTEGER NOT NULL,
	"plan" TEXT,
	total INTEGER NOT NULL,
	counts TEXT NOT NULL,
	owner TEXT,
	lease_until INTEGER,
	fence INTEGER NOT NULL,
	undoes TEXT,
	PRIMARY KEY (id)
)
;;
CREATE INDEX runs_made ON runs (made_at)
;;
CREATE INDEX runs_plan ON runs ("plan") WHERE plan IS NOT NULL
;;
CREATE TABLE settings (
	"key" TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY ("key")
)
;;
CREATE TABLE verdicts (
	id INTEGER NOT NULL,
	action TEXT NOT NULL,
	policy TEXT,
	rule TEXT NOT NULL,
	digest TEXT,
	shadow TEXT NOT NULL,
	PRIMARY KEY (id)
)
;;
CREATE TABLE chains (
	repo_id INTEGER NOT NULL,
	seq INTEGER NOT NULL,
	head BLOB NOT NULL,
	PRIMARY KEY (repo_id),
	FOREIGN KEY(repo_id) REFERENCES repos (id)
)
;;
CREATE TABLE changes (
	run TEXT NOT NULL,
	n INTEGER NOT NULL,
	repo_id INTEGER NOT NULL,
	request_id INTEGER,
	change BLOB NOT NULL,
	state TEXT NOT NULL,
	why TEXT NOT NULL,
	PRIMARY KEY (run, n),
	FOREIGN KEY(run) REFERENCES runs (id),
	FOREIGN KEY(repo_id) REFERENCES repos (id)
)
;;
CREATE INDEX changes_state ON changes (run, state, n)
;;
CREATE TABLE counters (
	repo_id INTEGER NOT NULL,
	kind TEXT NOT NULL,
	name TEXT NOT NULL,
	n INTEGER NOT NULL,
	PRIMARY KEY (repo_id, kind, name),
	FOREIGN KEY(repo_id) REFERENCES repos (id)
)
 WITHOUT ROWID
;;
CREATE TABLE dictionaries (
	id INTEGER NOT NULL,
	repo_id INTEGER NOT NULL,
	data BLOB NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY(repo_id) REFERENCES repos (id)
)
;;
CREATE TABLE history (
	person_id INTEGER NOT NULL,
	repo_id INTEGER NOT NULL,
	accepted INTEGER NOT NULL,
	rejected INTEGER NOT NULL,
	resets INTEGER NOT NULL,
	last TEXT NOT NULL,
	last_at INTEGER NOT NULL,
	PRIMARY KEY (person_id, repo_id),
	FOREIGN KEY(person_id) REFERENCES people (id),
	FOREIGN KEY(repo_id) REFERENCES repos (id)
)
 WITHOUT ROWID
;;
CREATE TABLE ledger (
	id INTEGER NOT NULL,
	repo_id INTEGER NOT NULL,
	seq INTEGER NOT NULL,
	at INTEGER NOT NULL,
	kind TEXT NOT NULL,
	actor TEXT NOT NULL,
	request_id INTEGER,
	run TEXT,
	body TEXT NOT NULL,
	commitment BLOB,
	hash BLOB NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY(repo_id) REFERENCES repos (id)
)
;;
CREATE UNIQUE INDEX ledger_chain ON ledger (repo_id, seq)
;;
CREATE INDEX ledger_request ON ledger (request_id, id) WHERE request_id IS NOT NULL
;;
CREATE INDEX ledger_run ON ledger (run, id) WHERE run IS NOT NULL
;;
CREATE TABLE profiles (
	person_id INTEGER NOT NULL,
	document BLOB,
	at INTEGER NOT NULL,
	PRIMARY KEY (person_id),
	FOREIGN KEY(person_id) REFERENCES people (id)
)
;;
CREATE TABLE requests (
	id INTEGER NOT NULL,
	repo_id INTEGER NOT NULL,
	person_id INTEGER NOT NULL,
	status TEXT NOT NULL,
	asked_at INTEGER NOT NULL,
	attempt INTEGER NOT NULL,
	hub_request TEXT,
	reviewed_at INTEGER,
	after_id INTEGER,
	verdict_id INTEGER,
	queue TEXT,
	until_at INTEGER,
	at_end TEXT,
	until_rule TEXT,
	open_run TEXT,
	open_before TEXT,
	open_after TEXT,
	moved_at INTEGER,
	version INTEGER NOT NULL,
	is_current BOOLEAN NOT NULL,
	has_notes BOOLEAN DEFAULT 0 NOT NULL,
	first_seen_at INTEGER NOT NULL,
	started_at INTEGER,
	record_id INTEGER,
	raw BLOB NOT NULL,
	content BLOB NOT NULL,
	domain TEXT,
	country TEXT,
	reason TEXT,
	PRIMARY KEY (id),
	FOREIGN KEY(repo_id) REFERENCES repos (id),
	FOREIGN KEY(person_id) REFERENCES people (id),
	FOREIGN KEY(verdict_id) REFERENCES verdicts (id)
)
;;
CREATE INDEX requests_asked ON requests (asked_at, id) WHERE is_current
;;
CREATE UNIQUE INDEX requests_attempt ON requests (person_id, repo_id, asked_at)
;;
CREATE INDEX requests_country ON requests (country, asked_at, id) WHERE is_current AND country IS NOT NULL
;;
CREATE INDEX requests_hub_request ON requests (hub_request) WHERE hub_request IS NOT NULL
;;
CREATE INDEX requests_open ON requests (id) WHERE open_run IS NOT NULL
;;
CREATE INDEX requests_queue ON requests (queue, asked_at, id) WHERE is_current AND queue IS NOT NULL
;;
CREATE INDEX requests_repo ON requests (repo_id, status, asked_at, id) WHERE is_current
;;
CREATE INDEX requests_status ON requests (status, asked_at, id) WHERE is_current
;;
CREATE INDEX requests_until ON requests (until_at, id) WHERE until_at IS NOT NULL
;;
CREATE INDEX requests_verdict ON requests (verdict_id, asked_at, id) WHERE is_current AND verdict_id IS NOT NULL
;;
CREATE TABLE hits (
	name TEXT NOT NULL,
	request_id INTEGER NOT NULL,
	PRIMARY KEY (name, request_id),
	FOREIGN KEY(request_id) REFERENCES requests (id)
)
 WITHOUT ROWID
;;
CREATE INDEX hits_request ON hits (request_id)
;;
CREATE TABLE texts (
	id INTEGER NOT NULL,
	text TEXT NOT NULL,
	extra TEXT,
	PRIMARY KEY (id),
	FOREIGN KEY(id) REFERENCES requests (id)
)
;;
CREATE TRIGGER ledger_no_update BEFORE UPDATE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is only added to'); END
;;
CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is only added to'); END
;;
CREATE VIRTUAL TABLE grams USING fts5(text, content='', columnsize=0, detail=none, tokenize='trigram case_sensitive 1')
;;
INSERT INTO grams (grams, rank) VALUES ('automerge', 16)
