-- What each table and column is, for those who look with psql's \d+, and for
-- docs/reference/ledger.md, which is made of these.

COMMENT ON TABLE accounts IS
    'who may pay and be paid; available = sum(credits) - debits + credit_limit';
COMMENT ON COLUMN accounts.currency IS 'ISO 4217; a transfer must have it';
COMMENT ON COLUMN accounts.credit_limit IS 'how far below 0 the balance may go, minor units';
COMMENT ON COLUMN accounts.debits IS 'all that the account ever paid, minor units';

COMMENT ON TABLE credits IS
    'what accounts were paid: a row per partition, so that workers never wait for each other';
COMMENT ON COLUMN credits.credits IS 'all that came from that partition, minor units';

COMMENT ON TABLE transfers IS
    'one row per transfer_id, posted or declined, never changed; repeats have none';
COMMENT ON COLUMN transfers.amount IS 'minor units';
COMMENT ON COLUMN transfers.created_at_ms IS 'the client''s clock, milliseconds since 1970';
COMMENT ON COLUMN transfers.partition IS 'of the log, that the row came from';
COMMENT ON COLUMN transfers.verdict IS 'its name is in verdicts';

COMMENT ON TABLE positions IS
    'how far each partition is applied; moved in the transaction of the money, and only from where it was';
COMMENT ON COLUMN positions.topic_id IS 'Kafka''s: another one is another log of that name';
COMMENT ON COLUMN positions.next_offset IS 'of the next record to apply';
COMMENT ON COLUMN positions.batch_number IS 'of the batch that is open, or was last';
COMMENT ON COLUMN positions.seen_until IS
    'the log was read up to here, markers too: retention may take what is below';
COMMENT ON COLUMN positions.last_digest IS
    'of the record before next_offset: a log that was cut holds another one there';
COMMENT ON COLUMN positions.hash IS 'of the chain at hash_offset';
COMMENT ON COLUMN positions.hash_offset IS 'next_offset, unless a person has moved that';
COMMENT ON COLUMN positions.recent_hashes IS 'of the chain at each of recent_offsets';
COMMENT ON COLUMN positions.open_first IS 'the first offset of the open batch';
COMMENT ON COLUMN positions.open_posted IS 'of the open batch';
COMMENT ON COLUMN positions.open_declined IS 'of the open batch';
COMMENT ON COLUMN positions.applied_at IS 'when the position last moved';

COMMENT ON TABLE batches IS
    'what was applied together, chained by hashes, never changed; small ones grow in positions first';
COMMENT ON COLUMN batches.records IS 'all of it: repeats and quarantined records, too';

COMMENT ON COLUMN quarantine.reason IS 'one of the words of the quarantine runbook';
COMMENT ON COLUMN quarantine.detail IS 'a sentence for a person';

COMMENT ON TABLE redrives IS
    'records that were put back from quarantine: from the old one to the new one';
COMMENT ON COLUMN redrives.token IS 'in a header of the new record: it is found by that';
COMMENT ON COLUMN redrives.new_offset IS
    'NULL: being sent, or its sender died; redriving again finds out';

COMMENT ON TABLE emitters IS
    'the sequence number that is due from each Store''s producer, by partition';
COMMENT ON TABLE emitter_gaps IS
    'holes in those numbers: Kafka lost what it had acknowledged';

COMMENT ON TABLE accounts_epoch IS
    'raised by each change of an account; workers that remember accounts read it first';
COMMENT ON TABLE ledger_identity IS
    'which ledger this is; an older copy, or another one, is refused by the group''s offsets';
COMMENT ON TABLE trials IS
    'places where sessions ended before they got on: the next one goes with care';
COMMENT ON COLUMN trials.opens IS 'sessions that began here';
COMMENT ON COLUMN trials.records IS 'of the batch that is tried';
COMMENT ON COLUMN trials.attempts IS 'at that batch';
COMMENT ON COLUMN trials.suspect_until IS 'offset up to where batches are small';

COMMENT ON VIEW balances IS
    'for people: what each account has; sums are numeric, so that none overflows';
COMMENT ON COLUMN balances.available IS 'what it may still pay: balance + credit_limit';
COMMENT ON VIEW ledger IS 'for people: transfers, with the names of their verdicts';
COMMENT ON TABLE schema_migrations IS
    'files that were applied, and their checksums: one that changed later is refused';
