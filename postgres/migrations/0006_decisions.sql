-- What the Bank saw when it decided, so that every verdict can be judged afterwards
-- (I11, docs/adr/0023-what-the-decider-saw.md).

-- No account is opened or changed while what there is is copied, nor debited: batches
-- wait for as long as that takes, about a second for each million.
LOCK TABLE accounts IN SHARE ROW EXCLUSIVE MODE;

-- Every opening and every change of what an account may do, by whom and when. `epoch` is
-- that of accounts_epoch from the change on: a batch holds it while it decides.
CREATE TABLE account_changes (
    account      bigint      NOT NULL,
    epoch        bigint      NOT NULL,
    currency     text        NOT NULL,
    status       text        NOT NULL,
    credit_limit bigint      NOT NULL,
    changed_at   timestamptz NOT NULL DEFAULT now(),
    changed_by   text        NOT NULL DEFAULT session_user,
    PRIMARY KEY (account, epoch)
);
COMMENT ON TABLE account_changes IS
    'openings and changes of accounts, written by triggers, never changed';
COMMENT ON COLUMN account_changes.epoch IS
    'of accounts_epoch from then on; batches keep the one in which they decided';
COMMENT ON COLUMN account_changes.status IS 'from then on; removed: there is no such account';

INSERT INTO account_changes (account, epoch, currency, status, credit_limit, changed_by)
    SELECT account, epoch, currency, status, credit_limit, 'migration'
    FROM accounts, accounts_epoch;

CREATE FUNCTION note_opened() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO account_changes (account, epoch, currency, status, credit_limit)
        SELECT account, epoch, currency, status, credit_limit
        FROM opened, accounts_epoch;
    RETURN NULL;
END $$;

CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO account_changes (account, epoch, currency, status, credit_limit)
        SELECT NEW.account, epoch, NEW.currency, NEW.status, NEW.credit_limit
        FROM accounts_epoch;
    RETURN NULL;
END $$;

CREATE FUNCTION note_removed() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO account_changes (account, epoch, currency, status, credit_limit)
        SELECT account, epoch, currency, 'removed', 0 FROM removed, accounts_epoch;
    RETURN NULL;
END $$;

-- An opening raises the epoch, too: in each epoch it is certain which accounts there are.
-- It makes nobody forget an account that is remembered; a change does (`changed`).
ALTER TABLE accounts_epoch ADD COLUMN changed bigint NOT NULL DEFAULT 1;
COMMENT ON COLUMN accounts_epoch.changed IS
    'the last epoch in which an account was changed or removed, and not only opened';
CREATE OR REPLACE FUNCTION raise_accounts_epoch() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    -- Waits for the batches in flight (they hold the lock shared); new ones wait for us.
    PERFORM pg_advisory_xact_lock(6071020);
    UPDATE accounts_epoch SET
        epoch = epoch + 1,
        changed = CASE WHEN TG_OP = 'INSERT' THEN changed ELSE epoch + 1 END;
    RETURN NULL;
END $$;
CREATE TRIGGER accounts_opening BEFORE INSERT
    ON accounts FOR EACH STATEMENT EXECUTE FUNCTION raise_accounts_epoch();
CREATE TRIGGER note_opened AFTER INSERT ON accounts
    REFERENCING NEW TABLE AS opened
    FOR EACH STATEMENT EXECUTE FUNCTION note_opened();
CREATE TRIGGER note_change AFTER UPDATE OF status, credit_limit, currency
    ON accounts FOR EACH ROW EXECUTE FUNCTION note_change();
CREATE TRIGGER note_removed AFTER DELETE ON accounts
    REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION note_removed();
CREATE TRIGGER no_truncation BEFORE TRUNCATE
    ON accounts FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- One row per transaction of the Bank. The partitions of the batch stand in the order in
-- which they were decided: each saw those before it as they are afterwards, and those
-- behind it as they were. Of every other partition it saw at least what lay below its
-- offset in `before`, and at most what lies below that in `after`.
CREATE TABLE decisions (
    decision      bigint    PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    topic         text      NOT NULL,
    epoch         bigint    NOT NULL,
    partitions    integer[] NOT NULL,
    first_offsets bigint[]  NOT NULL,
    next_offsets  bigint[]  NOT NULL,
    before        bigint[]  NOT NULL,
    after         bigint[]  NOT NULL
);
COMMENT ON TABLE decisions IS
    'what each transaction of the Bank saw when it decided, never changed';
COMMENT ON COLUMN decisions.epoch IS
    'of accounts_epoch: which limits and statuses held; 0: taken from the results, not decided';
COMMENT ON COLUMN decisions.partitions IS 'of the batch, in the order of deciding';
COMMENT ON COLUMN decisions.first_offsets IS 'where each of them stood before';
COMMENT ON COLUMN decisions.next_offsets IS 'and stood afterwards';
COMMENT ON COLUMN decisions.before IS
    'how far partitions 0, 1, ... were applied when the accounts were held';
COMMENT ON COLUMN decisions.after IS 'and when all was decided';

-- How far partitions 0, 1, ... of a topic are applied, in the moment of the statement.
CREATE FUNCTION applied(of text) RETURNS bigint[] LANGUAGE sql STABLE AS $$
    SELECT coalesce(array_agg(coalesce(next_offset, 0) ORDER BY number), '{}')
    FROM generate_series(0, (SELECT max(partition) FROM positions WHERE topic = of)) AS number
    LEFT JOIN positions ON topic = of AND partition = number
$$;

CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE
    ON account_changes FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE
    ON decisions FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

GRANT SELECT ON account_changes, decisions TO bank, audit;
GRANT INSERT ON decisions TO bank;
