-- Batches that are too small for a row are open, and grow in their position until they
-- are worth one: `batches` grows with the payments, not with polls x partitions
-- (docs/adr/0018-batches-that-grow.md).

-- `hash` is the chain's at `hash_offset`, which is next_offset unless a Bank from before
-- this, or a person, has moved it. A Bank from before this cannot begin any more ("hash"
-- is ambiguous in what it asks): it would not see what is open.
ALTER TABLE positions
    ADD COLUMN hash           bytea CHECK (length(hash) = 32),
    ADD COLUMN hash_offset    bigint,
    ADD COLUMN recent_offsets bigint[] NOT NULL DEFAULT '{}',
    ADD COLUMN recent_hashes  bytea[]  NOT NULL DEFAULT '{}',
    ADD COLUMN open_first     bigint,
    ADD COLUMN open_records   integer  NOT NULL DEFAULT 0 CHECK (open_records >= 0),
    ADD COLUMN open_posted    integer  NOT NULL DEFAULT 0 CHECK (open_posted >= 0),
    ADD COLUMN open_declined  integer  NOT NULL DEFAULT 0 CHECK (open_declined >= 0),
    ADD COLUMN applied_at     timestamptz;
COMMENT ON COLUMN positions.recent_offsets IS
    'the ends of the last batches before this one; recent_hashes has the hash at each';
COMMENT ON COLUMN positions.open_records IS
    'of the batch batch_number while it has no row in batches, from open_first on';

CREATE VIEW all_batches AS
    SELECT topic, partition, batch_number, first_offset, last_offset, records, posted,
           declined, hash, committed_at, false AS open
    FROM batches
    UNION ALL
    SELECT topic, partition, batch_number, open_first, hash_offset - 1, open_records,
           open_posted, open_declined, hash, applied_at, true
    FROM positions
    WHERE open_records > 0 AND hash_offset = next_offset;
COMMENT ON VIEW all_batches IS 'for people and the audit: the open ones, too';

GRANT SELECT ON all_batches TO bank, audit;
