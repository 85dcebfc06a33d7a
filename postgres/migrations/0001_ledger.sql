-- The ledger: accounts, immutable transfers, and how far the Kafka log has been applied.
-- Amounts are minor units (cents). Words as in docs/glossary.md.

CREATE TABLE accounts (
    account      bigint  PRIMARY KEY CHECK (account > 0),
    currency     text    NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    status       text    NOT NULL DEFAULT 'open'
                         CHECK (status IN ('open', 'frozen', 'closed')),
    credit_limit bigint  NOT NULL DEFAULT 0 CHECK (credit_limit >= 0),
    debits       bigint  NOT NULL DEFAULT 0 CHECK (debits >= 0)
) WITH (fillfactor = 60);  -- room on the page: updates of debits stay heap-only
COMMENT ON TABLE accounts IS 'available = sum(credits) - debits + credit_limit';

-- Credits arrive from every partition; one row per (account, partition) means that two
-- workers never wait for each other on a popular payee.
CREATE TABLE credits (
    account bigint  NOT NULL REFERENCES accounts,
    shard   integer NOT NULL CHECK (shard >= 0),
    credits bigint  NOT NULL CHECK (credits >= 0),
    PRIMARY KEY (account, shard)
) WITH (fillfactor = 60);
COMMENT ON COLUMN credits.shard IS 'partition of the transfers topic that the credit came from';

CREATE TABLE verdicts (
    verdict smallint PRIMARY KEY,
    name    text     NOT NULL UNIQUE
);
COMMENT ON TABLE verdicts IS 'index and symbol of the Avro enum once.payments.Verdict';
INSERT INTO verdicts VALUES
    (1, 'POSTED'),
    (2, 'DECLINED_UNKNOWN_ACCOUNT'),
    (3, 'DECLINED_ACCOUNT_FROZEN'),
    (4, 'DECLINED_ACCOUNT_CLOSED'),
    (5, 'DECLINED_INSUFFICIENT_FUNDS'),
    (6, 'DECLINED_CURRENCY_MISMATCH'),
    (7, 'DECLINED_SAME_ACCOUNT'),
    (8, 'DECLINED_AMOUNT_OUT_OF_RANGE');

-- One row per transfer_id, posted or declined: a repeat finds it here. Repeats and
-- quarantined records have no row. Wide columns first: no padding.
CREATE TABLE transfers (
    transfer_id    uuid     PRIMARY KEY,
    debit_account  bigint   NOT NULL,
    credit_account bigint   NOT NULL,
    amount         bigint   NOT NULL,
    debits_after   bigint   NOT NULL,
    created_at_ms  bigint   NOT NULL,
    record_offset  bigint   NOT NULL CHECK (record_offset >= 0),
    partition      integer  NOT NULL CHECK (partition >= 0),
    verdict        smallint NOT NULL CHECK (verdict BETWEEN 1 AND 8),
    currency       text     NOT NULL,
    memo           text     NOT NULL,
    CHECK (verdict <> 1 OR (amount > 0 AND debit_account <> credit_account))
);
COMMENT ON COLUMN transfers.debits_after IS
    'debits of debit_account after this transfer: the proof of the order of application';
COMMENT ON COLUMN transfers.record_offset IS
    'offset of the Kafka record, in partition, that this row came from';

-- The position: per partition the next offset to apply. Compare-and-set on next_offset
-- is the fence; topic_id notices a topic that was deleted and created again.
CREATE TABLE positions (
    topic        text    NOT NULL,
    partition    integer NOT NULL,
    topic_id     text    NOT NULL,
    next_offset  bigint  NOT NULL CHECK (next_offset >= 0),
    batch_number bigint  NOT NULL DEFAULT 0 CHECK (batch_number >= 0),
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 10);

CREATE TABLE batches (
    topic        text        NOT NULL,
    partition    integer     NOT NULL,
    batch_number bigint      NOT NULL CHECK (batch_number > 0),
    first_offset bigint      NOT NULL,
    last_offset  bigint      NOT NULL CHECK (last_offset >= first_offset),
    records      integer     NOT NULL CHECK (records > 0),
    posted       integer     NOT NULL CHECK (posted >= 0),
    declined     integer     NOT NULL CHECK (declined >= 0),
    hash         bytea       NOT NULL CHECK (length(hash) = 32),
    committed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition, batch_number)
);
COMMENT ON COLUMN batches.hash IS 'the chain of once/chain.py over records and verdicts';

CREATE TABLE quarantine (
    topic          text        NOT NULL,
    partition      integer     NOT NULL,
    record_offset  bigint      NOT NULL,
    reason         text        NOT NULL,
    detail         text        NOT NULL,
    record_key     bytea,
    record_value   bytea,
    quarantined_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition, record_offset)
);
COMMENT ON TABLE quarantine IS 'records that cannot be a transfer, whole, with the reason';

-- High-water mark per emitter and partition: a hole in the sequence is a lost record.
CREATE TABLE emitters (
    emitter       uuid    NOT NULL,
    partition     integer NOT NULL,
    next_sequence bigint  NOT NULL,
    PRIMARY KEY (emitter, partition)
) WITH (fillfactor = 60);

CREATE TABLE emitter_gaps (
    emitter           uuid        NOT NULL,
    partition         integer     NOT NULL,
    record_offset     bigint      NOT NULL,
    expected_sequence bigint      NOT NULL,
    found_sequence    bigint      NOT NULL,
    detected_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (emitter, partition, record_offset)
);

-- Workers remember accounts between batches. Whoever changes what an account may do
-- raises the epoch, and every worker reads it at the start of its transaction, so that
-- the change takes effect at once (docs/adr/0002-accounts-epoch.md).
CREATE TABLE accounts_epoch (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch bigint  NOT NULL
);
INSERT INTO accounts_epoch (epoch) VALUES (1);

CREATE FUNCTION raise_accounts_epoch() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    -- Waits for the batches in flight (they hold the lock shared); new ones wait for us.
    PERFORM pg_advisory_xact_lock(6071020);
    UPDATE accounts_epoch SET epoch = epoch + 1;
    RETURN NULL;
END $$;

CREATE TRIGGER accounts_change BEFORE UPDATE OF status, credit_limit, currency
    ON accounts FOR EACH STATEMENT EXECUTE FUNCTION raise_accounts_epoch();
CREATE TRIGGER accounts_removal BEFORE DELETE OR TRUNCATE
    ON accounts FOR EACH STATEMENT EXECUTE FUNCTION raise_accounts_epoch();

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on %: its rows are never changed', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation',
              HINT = 'Correct a wrong transfer by a new transfer the other way round.';
END $$;

CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE
    ON transfers FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE
    ON batches FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE
    ON quarantine FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- For people: balances and named verdicts.
CREATE VIEW balances AS
    SELECT account, currency, status, credit_limit, debits, credited AS credits,
           credited - debits AS balance, credited - debits + credit_limit AS available
    FROM accounts, LATERAL (
        SELECT coalesce(sum(credits), 0)::bigint AS credited
        FROM credits WHERE credits.account = accounts.account
    ) AS sums;

CREATE VIEW ledger AS
    SELECT transfer_id, verdicts.name AS verdict, debit_account, credit_account, amount,
           currency, memo, to_timestamp(created_at_ms / 1000.0) AS created_at,
           debits_after, partition, record_offset
    FROM transfers JOIN verdicts USING (verdict);
