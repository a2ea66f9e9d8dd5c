CREATE TABLE orchestrator_claims (
	run_id VARCHAR NOT NULL, 
	token INTEGER NOT NULL, 
	owner VARCHAR NOT NULL, 
	expires FLOAT NOT NULL, 
	PRIMARY KEY (run_id)
);

CREATE TABLE orchestrator_documents (
	kind VARCHAR NOT NULL, 
	version INTEGER NOT NULL, 
	data TEXT NOT NULL, 
	PRIMARY KEY (kind, version)
);

CREATE TABLE orchestrator_graphs (
	digest VARCHAR NOT NULL, 
	data TEXT NOT NULL, 
	PRIMARY KEY (digest)
);

CREATE TABLE orchestrator_health (
	name VARCHAR NOT NULL, 
	data TEXT NOT NULL, 
	PRIMARY KEY (name)
);

CREATE TABLE orchestrator_leases (
	name VARCHAR NOT NULL, 
	owner VARCHAR NOT NULL, 
	expires FLOAT NOT NULL, 
	PRIMARY KEY (name)
);

CREATE TABLE orchestrator_meta (
	name VARCHAR NOT NULL, 
	value INTEGER NOT NULL, 
	PRIMARY KEY (name)
);

CREATE TABLE orchestrator_records (
	run_id VARCHAR NOT NULL, 
	seq INTEGER NOT NULL, 
	kind VARCHAR NOT NULL, 
	at FLOAT NOT NULL, 
	body TEXT NOT NULL, 
	prev VARCHAR NOT NULL, 
	hash VARCHAR NOT NULL, 
	PRIMARY KEY (run_id, seq)
);

CREATE TABLE orchestrator_runs (
	run_id VARCHAR NOT NULL, 
	parent VARCHAR, 
	status VARCHAR NOT NULL, 
	policy VARCHAR NOT NULL, 
	started FLOAT NOT NULL, 
	ended FLOAT, 
	head VARCHAR NOT NULL, 
	length INTEGER NOT NULL, 
	trace_id VARCHAR NOT NULL, 
	search TEXT NOT NULL, 
	goal TEXT NOT NULL, 
	summary TEXT NOT NULL, 
	PRIMARY KEY (run_id)
);

CREATE INDEX orchestrator_runs_parent ON orchestrator_runs (parent, started, run_id);

CREATE INDEX orchestrator_runs_started ON orchestrator_runs (started, run_id);

CREATE INDEX orchestrator_runs_status ON orchestrator_runs (status, started, run_id);

CREATE TABLE orchestrator_seals (
	n INTEGER NOT NULL, 
	run_id VARCHAR NOT NULL, 
	head VARCHAR NOT NULL, 
	prev VARCHAR NOT NULL, 
	hash VARCHAR NOT NULL, 
	PRIMARY KEY (n), 
	UNIQUE (run_id)
);

CREATE TABLE orchestrator_values (
	run_id VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	text TEXT NOT NULL, 
	PRIMARY KEY (run_id, name)
);
