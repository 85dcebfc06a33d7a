-- Run once, in a new cluster, by the superuser: after PGO made databases and users, before any
-- migration. PGO gives each user ALL on the databases that it lists for it; less is enough.
\set ON_ERROR_STOP on
-- There may be no standby yet, and a strictly synchronous COMMIT would wait for one.
SET synchronous_commit TO local;

-- The owner of a database may create in its schema public, nobody else.
ALTER DATABASE ledger OWNER TO migrator;
ALTER DATABASE registry OWNER TO registry;
REVOKE TEMPORARY ON DATABASE ledger, registry FROM PUBLIC;
REVOKE CREATE, TEMPORARY ON DATABASE ledger FROM bank, audit;

\connect ledger
SET synchronous_commit TO local;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;

\connect registry
SET synchronous_commit TO local;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
