-- Accounts are opened and changed by records of the log, in one order with their debits
-- (docs/adr/0025-accounts-through-the-log.md). `account_changes` is what the Bank writes,
-- and `accounts` follows it; nobody changes `accounts` by hand any more.

-- Batches wait until the history has its new form, about a second for a million accounts;
-- what reads these tables for long (an audit, a dump) is waited for, but not for long.
SET LOCAL lock_timeout = '10s';
LOCK TABLE accounts, account_changes IN ACCESS EXCLUSIVE MODE;

DROP TRIGGER accounts_change ON accounts;
DROP TRIGGER accounts_removal ON accounts;
DROP TRIGGER accounts_opening ON accounts;
DROP TRIGGER note_opened ON accounts;
DROP TRIGGER note_change ON accounts;
DROP TRIGGER note_removed ON accounts;
DROP TRIGGER no_truncation ON accounts;
DROP FUNCTION note_opened();
DROP FUNCTION note_change();
DROP FUNCTION note_removed();
DROP FUNCTION raise_accounts_epoch();

INSERT INTO verdicts VALUES
    (12, 'CHANGED'),
    (13, 'DECLINED_ACCOUNT_EXISTS'),
    (14, 'DECLINED_ACCOUNT_NOT_EMPTY');

-- Every change that was asked for, in the order in which they were decided. Those by hand
-- from before come first, in the order of their epochs.
ALTER TABLE account_changes RENAME TO account_changes_by_hand;
CREATE TABLE account_changes (
    change           bigint      GENERATED ALWAYS AS IDENTITY,
    account          bigint      NOT NULL,
    epoch            bigint      NOT NULL,
    change_id        uuid,
    verdict          smallint    NOT NULL DEFAULT 12,
    must_be_new      boolean     NOT NULL DEFAULT false,
    new_currency     text,
    new_status       text,
    new_credit_limit bigint,
    currency         text,
    status           text,
    credit_limit     bigint,
    reason           text        NOT NULL DEFAULT '',
    changed_by       text        NOT NULL,
    changed_at       timestamptz NOT NULL DEFAULT now(),
    created_at_ms    bigint,
    partition        integer,
    record_offset    bigint,
    CONSTRAINT account_changes_order PRIMARY KEY (change),
    CONSTRAINT account_changes_ids UNIQUE (change_id)
);
INSERT INTO account_changes
    (account, epoch, currency, status, credit_limit, changed_at, changed_by)
    SELECT account, epoch, currency, status, credit_limit, changed_at, changed_by
    FROM account_changes_by_hand ORDER BY epoch, account;
DROP TABLE account_changes_by_hand;
CREATE INDEX account_changes_by_account ON account_changes (account, change);

COMMENT ON TABLE account_changes IS
    'every change of an account that was asked for, by whom, why and what became of it; never changed';
COMMENT ON COLUMN account_changes.change IS 'the order in which they were decided';
COMMENT ON COLUMN account_changes.epoch IS
    'of accounts_epoch from then on; batches keep the one in which they decided';
COMMENT ON COLUMN account_changes.change_id IS
    'the client''s; null: by hand, before accounts came through the log';
COMMENT ON COLUMN account_changes.verdict IS 'its name is in verdicts; only CHANGED has an effect';
COMMENT ON COLUMN account_changes.must_be_new IS 'asked for: only if there was no such account';
COMMENT ON COLUMN account_changes.new_currency IS 'asked for; null: it opens nothing';
COMMENT ON COLUMN account_changes.new_status IS 'asked for; null: as it was';
COMMENT ON COLUMN account_changes.new_credit_limit IS 'asked for, minor units; null: as it was';
COMMENT ON COLUMN account_changes.currency IS 'afterwards; null: there is no such account';
COMMENT ON COLUMN account_changes.status IS
    'afterwards; null: there is no such account; removed: by hand, before';
COMMENT ON COLUMN account_changes.credit_limit IS 'afterwards, minor units';
COMMENT ON COLUMN account_changes.changed_by IS 'who asked, as the Store knew it';
COMMENT ON COLUMN account_changes.changed_at IS 'when it was decided';
COMMENT ON COLUMN account_changes.reason IS 'why, in the words of who asked';
COMMENT ON COLUMN account_changes.created_at_ms IS
    'when it was asked for: the client''s clock, milliseconds since 1970';
COMMENT ON COLUMN account_changes.partition IS 'of the log, that the row came from';
COMMENT ON COLUMN account_changes.record_offset IS
    'offset of the Kafka record, in partition, that this row came from';

ALTER TABLE accounts_epoch ADD COLUMN by_hand_until bigint NOT NULL DEFAULT 0;
UPDATE accounts_epoch SET
    by_hand_until = (SELECT coalesce(max(change), 0) FROM account_changes);
COMMENT ON COLUMN accounts_epoch.by_hand_until IS
    'the last row of account_changes that was by hand; a later one without a record is wrong';

-- What is written into the history takes effect. Each batch of changes is an epoch of its
-- own: it waits for the batches in flight, which hold the lock shared, and new ones wait
-- for it. `changed` makes the workers forget what they remember; an opening does not.
-- It runs with the owner's rights: no temporary table of a caller may come first.
CREATE FUNCTION follow_account_changes() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    here accounts_epoch;
BEGIN
    PERFORM pg_advisory_xact_lock(6071020);
    UPDATE accounts_epoch SET
        epoch = epoch + 1,
        changed = CASE WHEN EXISTS (
            SELECT FROM said JOIN accounts AS a USING (account)
            WHERE verdict = 12
            AND (a.status, a.credit_limit) IS DISTINCT FROM (said.status, said.credit_limit)
        ) THEN epoch + 1 ELSE changed END
    RETURNING * INTO here;
    IF EXISTS (
        SELECT FROM said WHERE epoch <> here.epoch
        OR change_id IS NULL OR partition IS NULL OR record_offset IS NULL
        OR created_at_ms IS NULL
    ) THEN
        RAISE EXCEPTION 'account_changes: no record of the log stands behind a row'
            USING ERRCODE = 'integrity_constraint_violation',
                  HINT = 'Accounts are changed through the log: see docs/how-to/.';
    END IF;
    INSERT INTO accounts (account, currency, status, credit_limit)
        SELECT DISTINCT ON (account) account, currency, status, credit_limit
        FROM said WHERE verdict = 12 ORDER BY account, change DESC
    ON CONFLICT (account) DO UPDATE
        SET status = excluded.status, credit_limit = excluded.credit_limit
        WHERE (accounts.status, accounts.credit_limit)
            IS DISTINCT FROM (excluded.status, excluded.credit_limit);
    RETURN NULL;
END $$;
CREATE TRIGGER follow AFTER INSERT ON account_changes
    REFERENCING NEW TABLE AS said
    FOR EACH STATEMENT EXECUTE FUNCTION follow_account_changes();
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE
    ON account_changes FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION refuse_by_hand() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on %: accounts are opened and changed through the log', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation',
              HINT = 'python -m producers.store open-accounts | change-account; docs/how-to/freeze-close-or-limit.md';
END $$;
CREATE TRIGGER not_by_hand
    BEFORE INSERT OR DELETE OR UPDATE OF account, currency, status, credit_limit ON accounts
    FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION refuse_by_hand();
CREATE TRIGGER no_truncation BEFORE TRUNCATE
    ON accounts FOR EACH STATEMENT EXECUTE FUNCTION refuse_by_hand();

GRANT SELECT ON account_changes TO bank, audit;
GRANT INSERT (account, epoch, change_id, verdict, must_be_new, new_currency, new_status,
    new_credit_limit, currency, status, credit_limit, reason, changed_by, created_at_ms,
    partition, record_offset) ON account_changes TO bank;
