CREATE TABLE about (
	key TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY (key)
)
;;
CREATE TABLE bindings (
	owner_table TEXT NOT NULL,
	key TEXT NOT NULL,
	user_id TEXT NOT NULL,
	how TEXT NOT NULL,
	at BIGINT NOT NULL,
	PRIMARY KEY (owner_table, key)
)
;;
CREATE TABLE checkpoints (
	id BIGINT NOT NULL,
	at BIGINT NOT NULL,
	heads TEXT NOT NULL,
	PRIMARY KEY (id)
)
;;
CREATE TABLE done (
	verb TEXT NOT NULL,
	ledger_id BIGINT NOT NULL,
	at BIGINT NOT NULL,
	PRIMARY KEY (verb, ledger_id)
)
;;
CREATE INDEX done_at ON done (verb, at)
;;
CREATE TABLE people (
	id BIGINT NOT NULL,
	pseudonym TEXT NOT NULL,
	salt BYTEA,
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
	document BYTEA NOT NULL,
	made_at BIGINT NOT NULL,
	PRIMARY KEY (digest)
)
;;
CREATE TABLE private (
	id BIGINT NOT NULL,
	person_id BIGINT NOT NULL,
	data BYTEA NOT NULL,
	PRIMARY KEY (id)
)
;;
CREATE INDEX private_person ON private (person_id)
;;
CREATE TABLE repos (
	id BIGINT NOT NULL,
	type TEXT NOT NULL,
	namespace TEXT NOT NULL,
	name TEXT NOT NULL,
	gated TEXT,
	form_card TEXT,
	quick_at BIGINT,
	full_at BIGINT,
	is_complete BOOLEAN DEFAULT false NOT NULL,
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
	made_at BIGINT NOT NULL,
	plan TEXT,
	total BIGINT NOT NULL,
	counts TEXT NOT NULL,
	owner TEXT,
	lease_until BIGINT,
	fence BIGINT NOT NULL,
	undoes TEXT,
	PRIMARY KEY (id)
)
;;
CREATE INDEX runs_made ON runs (made_at)
;;
CREATE INDEX runs_plan ON runs (plan) WHERE plan IS NOT NULL
;;
CREATE TABLE settings (
	key TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY (key)
)
;;
CREATE TABLE verdicts (
	id BIGINT NOT NULL,
	action TEXT NOT NULL,
	policy TEXT,
	rule TEXT NOT NULL,
	digest TEXT,
	shadow TEXT NOT NULL,
	PRIMARY KEY (id)
)
;;
CREATE TABLE chains (
	repo_id BIGINT NOT NULL,
	seq BIGINT NOT NULL,
	head BYTEA NOT NULL,
	PRIMARY KEY (repo_id),
	FOREIGN KEY(repo_id) REFERENCES repos (id)
)
;;
CREATE TABLE changes (
	run TEXT NOT NULL,
	n BIGINT NOT NULL,
	repo_id BIGINT NOT NULL,
	request_id BIGINT,
	change BYTEA NOT NULL,
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
	repo_id BIGINT NOT NULL,
	kind TEXT NOT NULL,
	name TEXT NOT NULL,
	n BIGINT NOT NULL,
	PRIMARY KEY (repo_id, kind, name),
	FOREIGN KEY(repo_id) REFERENCES repos (id)
)
;;
CREATE TABLE dictionaries (
	id BIGINT NOT NULL,
	repo_id BIGINT NOT NULL,
	data BYTEA NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY(repo_id) REFERENCES repos (id)
)
;;
CREATE TABLE history (
	person_id BIGINT NOT NULL,
	repo_id BIGINT NOT NULL,
	accepted BIGINT NOT NULL,
	rejected BIGINT NOT NULL,
	resets BIGINT NOT NULL,
	last TEXT NOT NULL,
	last_at BIGINT NOT NULL,
	PRIMARY KEY (person_id, repo_id),
	FOREIGN KEY(person_id) REFERENCES people (id),
	FOREIGN KEY(repo_id) REFERENCES repos (id)
)
;;
CREATE TABLE ledger (
	id BIGINT NOT NULL,
	repo_id BIGINT NOT NULL,
	seq BIGINT NOT NULL,
	at BIGINT NOT NULL,
	kind TEXT NOT NULL,
	actor TEXT NOT NULL,
	request_id BIGINT,
	run TEXT,
	body TEXT NOT NULL,
	commitment BYTEA,
	hash BYTEA NOT NULL,
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
	person_id BIGINT NOT NULL,
	document BYTEA,
	at BIGINT NOT NULL,
	PRIMARY KEY (person_id),
	FOREIGN KEY(person_id) REFERENCES people (id)
)
;;
CREATE TABLE requests (
	id BIGINT NOT NULL,
	repo_id BIGINT NOT NULL,
	person_id BIGINT NOT NULL,
	status TEXT NOT NULL,
	asked_at BIGINT NOT NULL,
	attempt BIGINT NOT NULL,
	hub_request TEXT,
	reviewed_at BIGINT,
	after_id BIGINT,
	verdict_id BIGINT,
	queue TEXT,
	until_at BIGINT,
	at_end TEXT,
	until_rule TEXT,
	open_run TEXT,
	open_before TEXT,
	open_after TEXT,
	moved_at BIGINT,
	version BIGINT NOT NULL,
	is_current BOOLEAN NOT NULL,
	has_notes BOOLEAN DEFAULT false NOT NULL,
	first_seen_at BIGINT NOT NULL,
	started_at BIGINT,
	record_id BIGINT,
	raw BYTEA NOT NULL,
	content BYTEA NOT NULL,
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
	request_id BIGINT NOT NULL,
	PRIMARY KEY (name, request_id),
	FOREIGN KEY(request_id) REFERENCES requests (id)
)
;;
CREATE INDEX hits_request ON hits (request_id)
;;
CREATE TABLE texts (
	id BIGINT NOT NULL,
	text TEXT NOT NULL,
	extra TEXT,
	PRIMARY KEY (id),
	FOREIGN KEY(id) REFERENCES requests (id)
)
;;
CREATE FUNCTION ledger_only_added_to() RETURNS trigger LANGUAGE plpgsql AS
       $$ BEGIN RAISE EXCEPTION 'the ledger is only added to'; END $$
;;
CREATE TRIGGER ledger_no_change BEFORE UPDATE OR DELETE ON ledger FOR EACH ROW EXECUTE FUNCTION ledger_only_added_to()
;;
CREATE TRIGGER ledger_no_truncate BEFORE TRUNCATE ON ledger EXECUTE FUNCTION ledger_only_added_to()
;;
CREATE FUNCTION grams_of(whole text) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
       $$ SELECT array_agg(DISTINCT substr(whole, i, 3)) FROM generate_series(1, length(whole) - 2) AS i $$
;;
CREATE INDEX texts_grams ON texts USING gin (grams_of(text || extra))
