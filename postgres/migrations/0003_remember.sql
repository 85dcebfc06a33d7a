-- What the Bank remembers of the log and of its own failures, so that another log, another
-- ledger and a record that ends workers are told apart from a bad day.

-- The log was read up to `seen_until` (markers behind the last record take offsets, too):
-- what retention takes below it is no loss. `last_digest` is of the record at
-- next_offset - 1: a log that was cut and has grown again holds another one there.
ALTER TABLE positions
    ADD COLUMN seen_until  bigint NOT NULL DEFAULT 0,
    ADD COLUMN last_digest bytea CHECK (length(last_digest) = 16);

-- Which ledger this is. It travels in the metadata of the group's offsets, with the batch
-- and its hash: an older copy of this ledger, or another one, is refused.
CREATE TABLE ledger_identity (
    one       boolean PRIMARY KEY DEFAULT true CHECK (one),
    ledger_id uuid    NOT NULL DEFAULT gen_random_uuid()
);
INSERT INTO ledger_identity DEFAULT VALUES;

-- Sessions that began at a position and did not get beyond it, and the batches that were
-- begun there with care: see consumers/bank/care.py.
CREATE TABLE trials (
    topic         text    NOT NULL,
    partition     integer NOT NULL,
    next_offset   bigint  NOT NULL,
    opens         integer NOT NULL DEFAULT 0,
    records       integer,
    attempts      integer NOT NULL DEFAULT 0,
    suspect_until bigint  NOT NULL DEFAULT 0,
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 50);

-- Records that were put back from quarantine: the link from the old one to the new one.
-- A row without new_offset is being sent, or its sender died: redriving again finds out.
CREATE TABLE redrives (
    topic         text        NOT NULL,
    partition     integer     NOT NULL,
    record_offset bigint      NOT NULL,
    transfer_id   uuid        NOT NULL,
    token         uuid        NOT NULL,
    new_partition integer     NOT NULL,
    sent_after    bigint      NOT NULL,
    new_offset    bigint,
    redriven_by   text        NOT NULL,
    redriven_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition, record_offset)
);
COMMENT ON COLUMN redrives.sent_after IS
    'end of new_partition before the record was sent: it can only lie behind it';

-- Sums stay far below bigint's end: an account's turnover by a verdict
-- (consumers/bank/rules.py), its limit by this. "Unlimited" becomes ten to the eighteenth.
UPDATE accounts SET credit_limit = 1000000000000000000
    WHERE credit_limit > 1000000000000000000;
ALTER TABLE accounts ADD CONSTRAINT credit_limit_is_bearable
    CHECK (credit_limit <= 1000000000000000000);

DROP VIEW balances;
CREATE VIEW balances AS
    SELECT account, currency, status, credit_limit, debits, credited AS credits,
           credited - debits AS balance, credited - debits + credit_limit AS available
    FROM accounts, LATERAL (
        SELECT coalesce(sum(credits), 0) AS credited
        FROM credits WHERE credits.account = accounts.account
    ) AS sums;
COMMENT ON VIEW balances IS 'credits, balance and available are numeric: no sum overflows';

GRANT SELECT ON balances, ledger_identity, trials, redrives TO bank, audit;
GRANT INSERT, UPDATE ON trials TO bank;
