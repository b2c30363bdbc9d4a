CREATE TABLE about (
	"key" TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY ("key")
)
;;
CREATE TABLE absences (
	member TEXT NOT NULL,
	deputy TEXT NOT NULL,
	until INTEGER NOT NULL,
	PRIMARY KEY (member)
)
;;
CREATE TABLE bindings (
	owner_table TEXT NOT NULL,
	"key" TEXT NOT NULL,
	user_id TEXT NOT NULL,
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
CREATE TABLE devices (
	id TEXT NOT NULL,
	member TEXT NOT NULL,
	seen_at INTEGER NOT NULL,
	PRIMARY KEY (id, member)
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
CREATE TABLE erased (
	"key" BLOB NOT NULL,
	request_id INTEGER,
	PRIMARY KEY ("key")
)
 WITHOUT ROWID
;;
CREATE TABLE evaluated_tables (
	name TEXT NOT NULL,
	digest TEXT NOT NULL,
	shape TEXT NOT NULL,
	epoch TEXT NOT NULL,
	keys BLOB NOT NULL,
	PRIMARY KEY (name)
)
;;
CREATE TABLE gate_texts (
	digest TEXT NOT NULL,
	kind TEXT NOT NULL,
	text TEXT NOT NULL,
	at INTEGER NOT NULL,
	PRIMARY KEY (digest)
)
;;
CREATE TABLE grant_terms (
	digest TEXT NOT NULL,
	document TEXT NOT NULL,
	is_shape BOOLEAN DEFAULT 0 NOT NULL,
	PRIMARY KEY (digest)
)
;;
CREATE INDEX grant_terms_shape ON grant_terms (digest) WHERE is_shape
;;
CREATE TABLE held_changes (
	policy TEXT NOT NULL,
	digest TEXT NOT NULL,
	n INTEGER NOT NULL,
	PRIMARY KEY (policy)
)
;;
CREATE TABLE made_plans (
	digest TEXT NOT NULL,
	valid_until INTEGER NOT NULL,
	PRIMARY KEY (digest)
)
;;
CREATE TABLE members (
	name TEXT NOT NULL,
	role TEXT NOT NULL,
	repos TEXT,
	link TEXT,
	made_at INTEGER NOT NULL,
	id TEXT DEFAULT '' NOT NULL,
	account TEXT,
	user_id TEXT,
	proven_at INTEGER,
	link_until INTEGER,
	origin TEXT DEFAULT 'invitation' NOT NULL,
	PRIMARY KEY (name)
)
;;
CREATE TABLE notice_conditions (
	event TEXT NOT NULL,
	line TEXT NOT NULL,
	item TEXT NOT NULL,
	began_at INTEGER NOT NULL,
	told_at INTEGER NOT NULL,
	PRIMARY KEY (event, line)
)
 WITHOUT ROWID
;;
CREATE TABLE notice_destinations (
	name TEXT NOT NULL,
	is_on BOOLEAN DEFAULT 0 NOT NULL,
	events TEXT NOT NULL,
	digest_at TEXT NOT NULL,
	zone TEXT NOT NULL,
	sequence INTEGER NOT NULL,
	PRIMARY KEY (name)
)
;;
CREATE TABLE notice_lines (
	destination TEXT NOT NULL,
	line TEXT NOT NULL,
	item TEXT NOT NULL,
	at INTEGER NOT NULL,
	PRIMARY KEY (destination, line)
)
 WITHOUT ROWID
;;
CREATE TABLE outbox (
	id TEXT NOT NULL,
	destination TEXT NOT NULL,
	sequence INTEGER NOT NULL,
	state TEXT NOT NULL,
	items TEXT NOT NULL,
	is_alarm BOOLEAN DEFAULT 0 NOT NULL,
	made_at INTEGER NOT NULL,
	queued_at INTEGER NOT NULL,
	next_at INTEGER NOT NULL,
	attempts INTEGER NOT NULL,
	tried_at INTEGER,
	ended_at INTEGER,
	outcome TEXT,
	problem TEXT,
	accepted TEXT NOT NULL,
	lease TEXT,
	lease_until INTEGER,
	PRIMARY KEY (id)
)
;;
CREATE INDEX outbox_ended ON outbox (ended_at) WHERE ended_at IS NOT NULL
;;
CREATE INDEX outbox_open ON outbox (destination, sequence) WHERE state IN ('waiting', 'sending')
;;
CREATE UNIQUE INDEX outbox_place ON outbox (destination, sequence)
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
CREATE UNIQUE INDEX people_pseudonym ON people (pseudonym)
;;
CREATE UNIQUE INDEX people_user_id ON people (user_id) WHERE user_id IS NOT NULL
;;
CREATE TABLE picks (
	id TEXT NOT NULL,
	member TEXT NOT NULL,
	made_at INTEGER NOT NULL,
	PRIMARY KEY (id)
)
;;
CREATE TABLE plans (
	digest TEXT NOT NULL,
	document BLOB NOT NULL,
	made_at INTEGER NOT NULL,
	about TEXT,
	PRIMARY KEY (digest)
)
;;
CREATE TABLE policy_authors (
	digest TEXT NOT NULL,
	actor TEXT NOT NULL,
	member TEXT NOT NULL,
	account TEXT NOT NULL,
	PRIMARY KEY (digest, actor, member, account)
)
 WITHOUT ROWID
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
CREATE TABLE promotions (
	policy TEXT NOT NULL,
	digest TEXT NOT NULL,
	PRIMARY KEY (policy)
)
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
	counted_at INTEGER,
	refused_at INTEGER,
	refused_why TEXT,
	tried_at INTEGER,
	tried_complete BOOLEAN DEFAULT 0 NOT NULL,
	tried_counts TEXT,
	classified_by TEXT,
	reclassifying TEXT,
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
	member TEXT,
	account TEXT,
	verbs TEXT NOT NULL,
	is_free BOOLEAN DEFAULT 0 NOT NULL,
	PRIMARY KEY (id)
)
;;
CREATE INDEX runs_made ON runs (made_at)
;;
CREATE INDEX runs_plan ON runs ("plan") WHERE plan IS NOT NULL
;;
CREATE TABLE sessions (
	id TEXT NOT NULL,
	member TEXT NOT NULL,
	method TEXT NOT NULL,
	browser TEXT NOT NULL,
	made_at INTEGER NOT NULL,
	seen_at INTEGER NOT NULL,
	PRIMARY KEY (id)
)
;;
CREATE TABLE settings (
	"key" TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY ("key")
)
;;
CREATE TABLE stop_requests (
	run TEXT NOT NULL,
	action TEXT NOT NULL,
	PRIMARY KEY (run)
)
;;
CREATE TABLE table_versions (
	owner_table TEXT NOT NULL,
	digest TEXT NOT NULL,
	at INTEGER NOT NULL,
	document BLOB NOT NULL,
	PRIMARY KEY (owner_table)
)
;;
CREATE TABLE turns (
	id INTEGER NOT NULL,
	started_at INTEGER NOT NULL,
	interval_s INTEGER,
	ended_at INTEGER,
	ending TEXT,
	problem TEXT,
	repos INTEGER NOT NULL,
	news INTEGER NOT NULL,
	done INTEGER NOT NULL,
	"deferred" INTEGER NOT NULL,
	PRIMARY KEY (id)
)
;;
CREATE TABLE verdicts (
	id INTEGER NOT NULL,
	action TEXT NOT NULL,
	policy TEXT,
	rule TEXT NOT NULL,
	digest TEXT,
	shadow TEXT NOT NULL,
	hand_terms TEXT,
	PRIMARY KEY (id)
)
;;
CREATE TABLE views (
	member TEXT NOT NULL,
	name TEXT NOT NULL,
	"query" TEXT NOT NULL,
	made_at INTEGER NOT NULL,
	PRIMARY KEY (member, name)
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
CREATE INDEX changes_request ON changes (request_id)
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
CREATE TABLE evaluated_lists (
	repo_id INTEGER NOT NULL,
	status TEXT NOT NULL,
	basis TEXT,
	pass_id TEXT NOT NULL,
	at INTEGER NOT NULL,
	PRIMARY KEY (repo_id, status),
	FOREIGN KEY(repo_id) REFERENCES repos (id)
)
;;
CREATE TABLE evaluation_counts (
	repo_id INTEGER NOT NULL,
	status TEXT NOT NULL,
	outcome TEXT NOT NULL,
	verdict_id INTEGER NOT NULL,
	n INTEGER NOT NULL,
	PRIMARY KEY (repo_id, status, outcome, verdict_id),
	FOREIGN KEY(repo_id) REFERENCES repos (id),
	FOREIGN KEY(verdict_id) REFERENCES verdicts (id)
)
 WITHOUT ROWID
;;
CREATE TABLE first_turns (
	digest TEXT NOT NULL,
	repo_id INTEGER NOT NULL,
	PRIMARY KEY (digest, repo_id),
	FOREIGN KEY(repo_id) REFERENCES repos (id)
)
 WITHOUT ROWID
;;
CREATE TABLE halted_versions (
	run TEXT NOT NULL,
	digest TEXT NOT NULL,
	repo_id INTEGER NOT NULL,
	PRIMARY KEY (run, digest, repo_id),
	FOREIGN KEY(run) REFERENCES runs (id),
	FOREIGN KEY(repo_id) REFERENCES repos (id)
)
 WITHOUT ROWID
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
	due_at INTEGER,
	assigned TEXT,
	until_at INTEGER,
	at_end TEXT,
	until_rule TEXT,
	open_run TEXT,
	open_before TEXT,
	open_after TEXT,
	moved_at INTEGER,
	terms TEXT,
	lapses TEXT,
	noticed_at INTEGER,
	ends_at INTEGER,
	last_moved_at INTEGER DEFAULT '0' NOT NULL,
	version INTEGER NOT NULL,
	is_final BOOLEAN DEFAULT 0 NOT NULL,
	reminders TEXT,
	is_current BOOLEAN NOT NULL,
	has_notes BOOLEAN DEFAULT 0 NOT NULL,
	first_seen_at INTEGER NOT NULL,
	started_at INTEGER,
	record_id INTEGER,
	raw BLOB NOT NULL,
	answers BLOB NOT NULL,
	identity BLOB NOT NULL,
	domain TEXT,
	country TEXT,
	decided_rule TEXT,
	quality TEXT,
	mail TEXT,
	fingerprint INTEGER,
	reason TEXT,
	evaluation_version INTEGER DEFAULT '0' NOT NULL,
	outcome TEXT,
	evaluate_at INTEGER DEFAULT '0',
	lookup_user INTEGER,
	lookup_email INTEGER,
	lookup_name INTEGER,
	review_at INTEGER DEFAULT '0',
	is_undecided BOOLEAN DEFAULT 0 NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY(repo_id) REFERENCES repos (id),
	FOREIGN KEY(person_id) REFERENCES people (id),
	FOREIGN KEY(verdict_id) REFERENCES verdicts (id)
)
;;
CREATE INDEX requests_asked ON requests (asked_at, id) WHERE is_current
;;
CREATE INDEX requests_assigned ON requests (assigned, asked_at, id) WHERE is_current AND assigned IS NOT NULL
;;
CREATE UNIQUE INDEX requests_attempt ON requests (person_id, repo_id, asked_at)
;;
CREATE INDEX requests_due ON requests (due_at, id) WHERE is_current AND due_at IS NOT NULL
;;
CREATE INDEX requests_ends ON requests (ends_at, id) WHERE ends_at IS NOT NULL
;;
CREATE INDEX requests_evaluate ON requests (repo_id, status, evaluate_at) WHERE is_current AND evaluate_at IS NOT NULL
;;
CREATE INDEX requests_fingerprint ON requests (repo_id, fingerprint) WHERE is_current AND fingerprint IS NOT NULL
;;
CREATE INDEX requests_hub_request ON requests (hub_request) WHERE hub_request IS NOT NULL
;;
CREATE INDEX requests_lookup_email ON requests (lookup_email) WHERE lookup_email IS NOT NULL
;;
CREATE INDEX requests_lookup_name ON requests (lookup_name) WHERE lookup_name IS NOT NULL
;;
CREATE INDEX requests_lookup_user ON requests (lookup_user) WHERE lookup_user IS NOT NULL
;;
CREATE INDEX requests_mail ON requests (mail, status, asked_at, id) WHERE is_current AND mail <> 'free'
;;
CREATE INDEX requests_open ON requests (id) WHERE open_run IS NOT NULL
;;
CREATE INDEX requests_planned ON requests (repo_id, status, outcome, verdict_id, asked_at, id) WHERE is_current AND outcome IN ('change', 'profile')
;;
CREATE INDEX requests_quality ON requests (quality, status, asked_at, id) WHERE is_current AND quality <> 'good'
;;
CREATE INDEX requests_queue ON requests (queue, asked_at, id) WHERE is_current AND queue IS NOT NULL
;;
CREATE INDEX requests_repo ON requests (repo_id, status, asked_at, id) WHERE is_current
;;
CREATE INDEX requests_review ON requests (repo_id, review_at) WHERE terms IS NOT NULL AND is_current AND review_at IS NOT NULL
;;
CREATE INDEX requests_status ON requests (status, asked_at, id) WHERE is_current
;;
CREATE INDEX requests_terms ON requests (repo_id, id) WHERE terms IS NOT NULL
;;
CREATE INDEX requests_undecided ON requests (repo_id, id) WHERE is_undecided
;;
CREATE INDEX requests_verdict ON requests (verdict_id, asked_at, id) WHERE is_current AND verdict_id IS NOT NULL
;;
CREATE TABLE weekly (
	kind TEXT NOT NULL,
	week INTEGER NOT NULL,
	repo_id INTEGER NOT NULL,
	name TEXT NOT NULL,
	n INTEGER NOT NULL,
	PRIMARY KEY (kind, week, repo_id, name),
	FOREIGN KEY(repo_id) REFERENCES repos (id)
)
 WITHOUT ROWID
;;
CREATE TABLE approval_alarms (
	request_id INTEGER NOT NULL,
	at INTEGER NOT NULL,
	given INTEGER NOT NULL,
	needed INTEGER NOT NULL,
	PRIMARY KEY (request_id),
	FOREIGN KEY(request_id) REFERENCES requests (id)
)
;;
CREATE TABLE approvals (
	request_id INTEGER NOT NULL,
	account TEXT NOT NULL,
	member TEXT,
	actor TEXT NOT NULL,
	at INTEGER NOT NULL,
	status TEXT NOT NULL,
	asked_at INTEGER NOT NULL,
	last_moved_at INTEGER NOT NULL,
	answers BLOB NOT NULL,
	identity BLOB,
	need TEXT NOT NULL,
	has_note BOOLEAN DEFAULT 0 NOT NULL,
	PRIMARY KEY (request_id, account),
	FOREIGN KEY(request_id) REFERENCES requests (id)
)
 WITHOUT ROWID
;;
CREATE TABLE halted_ends (
	run TEXT NOT NULL,
	request_id INTEGER NOT NULL,
	until_at INTEGER NOT NULL,
	PRIMARY KEY (run, request_id, until_at),
	FOREIGN KEY(run) REFERENCES runs (id),
	FOREIGN KEY(request_id) REFERENCES requests (id)
)
 WITHOUT ROWID
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
CREATE TABLE letters (
	id TEXT NOT NULL,
	kind TEXT NOT NULL,
	request_id INTEGER NOT NULL,
	person_id INTEGER NOT NULL,
	"key" TEXT DEFAULT '' NOT NULL,
	state TEXT NOT NULL,
	made_at INTEGER NOT NULL,
	next_at INTEGER NOT NULL,
	attempts INTEGER NOT NULL,
	started_at INTEGER,
	ended_at INTEGER,
	problem TEXT,
	lease TEXT,
	PRIMARY KEY (id),
	FOREIGN KEY(request_id) REFERENCES requests (id)
)
;;
CREATE UNIQUE INDEX letters_once ON letters (request_id, kind, "key")
;;
CREATE INDEX letters_open ON letters (next_at, id) WHERE state IN ('due', 'sending')
;;
CREATE INDEX letters_person ON letters (person_id, started_at)
;;
CREATE TABLE picked (
	pick TEXT NOT NULL,
	request_id INTEGER NOT NULL,
	status TEXT NOT NULL,
	asked_at INTEGER NOT NULL,
	last_moved_at INTEGER NOT NULL,
	answers BLOB NOT NULL,
	assigned TEXT,
	PRIMARY KEY (pick, request_id),
	FOREIGN KEY(pick) REFERENCES picks (id),
	FOREIGN KEY(request_id) REFERENCES requests (id)
)
 WITHOUT ROWID
;;
CREATE TABLE texts (
	id INTEGER NOT NULL,
	text TEXT NOT NULL,
	extra TEXT,
	PRIMARY KEY (id),
	FOREIGN KEY(id) REFERENCES requests (id)
)
;;
CREATE TABLE tray (
	id INTEGER NOT NULL,
	request_id INTEGER NOT NULL,
	version TEXT NOT NULL,
	verb TEXT NOT NULL,
	reason TEXT,
	actor TEXT NOT NULL,
	batch TEXT NOT NULL,
	made_at INTEGER NOT NULL,
	leaves_at INTEGER,
	run TEXT,
	outcome TEXT,
	why TEXT,
	ended_at INTEGER,
	until TEXT,
	member TEXT,
	hand_terms TEXT,
	note TEXT,
	PRIMARY KEY (id),
	FOREIGN KEY(request_id) REFERENCES requests (id)
)
;;
CREATE INDEX tray_leaves ON tray (leaves_at, id) WHERE outcome IS NULL
;;
CREATE UNIQUE INDEX tray_request ON tray (request_id, member) WHERE outcome IS NULL
;;
CREATE TRIGGER ledger_no_update BEFORE UPDATE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is only added to'); END
;;
CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is only added to'); END
;;
CREATE VIRTUAL TABLE grams USING fts5(text, content='', columnsize=0, detail=none, tokenize='trigram case_sensitive 1')
;;
INSERT INTO grams (grams, rank) VALUES ('automerge', 16)
;;
INSERT INTO grams (grams, rank) VALUES ('hashsize', 33554432)
