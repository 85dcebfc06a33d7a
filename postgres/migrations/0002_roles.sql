-- What the two programs may do. The roles themselves are made by whoever operates
-- Postgres (PGO's spec.users, or the local stack), never here: no password in git.

GRANT SELECT ON ALL TABLES IN SCHEMA public TO bank, audit;

-- The Bank posts: it can add transfers, never change or remove one.
GRANT UPDATE (debits) ON accounts TO bank;
GRANT INSERT, UPDATE ON credits, positions, emitters TO bank;
GRANT INSERT ON transfers, batches, quarantine, emitter_gaps TO bank;
