"""What the ledger's own rows must say together: I2, I4, I5, I7, I9, in plain SQL.

Every query returns the rows that break the rule; none is good. They sort and fold the
whole ledger inside Postgres, which spills to disk: memory stays bounded here.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

from consumers.bank.audit.report import Evidence

SHOWN_MAX = 20
# Tables whose rows are never changed.
FOREVER = "ARRAY['transfers', 'batches', 'quarantine', 'account_changes', 'decisions']"


@dataclass(frozen=True, slots=True)
class Rule:
    """An invariant, what is wrong with a row that the query returns, and the query."""

    invariant: str
    wrong: str
    query: str


RULES = (
    Rule(
        "I2",
        "transfer {0} has {1} rows",
        "SELECT transfer_id, count(*) FROM transfers GROUP BY 1 HAVING count(*) > 1",
    ),
    Rule(
        "I1",
        "{0}[{1}]@{2} was put back from quarantine as [{3}]@{4}, and transfer {5} is in"
        " no ledger row",
        "SELECT r.topic, r.partition, r.record_offset, new_partition, new_offset,"
        " r.transfer_id FROM redrives AS r JOIN positions AS p"
        "  ON p.topic = r.topic AND p.partition = new_partition"
        " WHERE new_offset < p.next_offset"
        " AND NOT EXISTS (SELECT FROM transfers AS t"
        "  WHERE t.transfer_id = r.transfer_id)"
        " AND NOT EXISTS (SELECT FROM quarantine AS q WHERE q.topic = r.topic"
        "  AND q.partition = new_partition AND q.record_offset = new_offset)",
    ),
    Rule(
        "I3",
        "{0}[{1}]@{2} is said to be put back from quarantine, and was never in it",
        "SELECT topic, partition, record_offset FROM redrives AS r"
        " WHERE NOT EXISTS (SELECT FROM quarantine AS q WHERE q.topic = r.topic"
        "  AND q.partition = r.partition AND q.record_offset = r.record_offset)",
    ),
    Rule(
        "I4",
        "currency {0}: debits {1}, credits {2}",
        "SELECT currency, sum(debits), sum(credited) FROM ("
        " SELECT currency, debits, (SELECT coalesce(sum(credits), 0) FROM credits"
        "  WHERE credits.account = accounts.account) AS credited FROM accounts) AS a"
        " GROUP BY 1 HAVING sum(debits) <> sum(credited)",
    ),
    Rule(
        "I4",
        "account {0}: debits are {1}, its transfers sum to {2}",
        "SELECT account, accounts.debits, folded FROM accounts FULL JOIN ("
        " SELECT debit_account AS account, sum(amount) AS folded FROM transfers"
        " WHERE verdict = 1 GROUP BY 1) AS t USING (account)"
        " WHERE accounts.debits IS DISTINCT FROM coalesce(folded, 0)",
    ),
    Rule(
        "I4",
        "account {0}, shard {1}: credits are {2}, its transfers sum to {3}",
        # Shards above 7 are those of popular payees alone, so both sides are folded.
        "SELECT account, shard, credits.credits, folded FROM ("
        " SELECT account, shard % 8 AS shard, sum(credits) AS credits FROM credits"
        " GROUP BY 1, 2) AS credits FULL JOIN ("
        " SELECT credit_account AS account, partition % 8 AS shard,"
        "  sum(amount) AS folded"
        " FROM transfers WHERE verdict = 1 GROUP BY 1, 2) AS t USING (account, shard)"
        " WHERE coalesce(credits.credits, 0) <> coalesce(folded, 0)",
    ),
    Rule(
        "I5",
        "account {0}: available is {1}",
        "SELECT account, available FROM balances WHERE available < 0",
    ),
    Rule(
        "I5",
        "transfer {0} is posted: {1} {2} from {3} to {4}",
        "SELECT transfer_id, amount, transfers.currency, debit_account, credit_account"
        " FROM transfers"
        " LEFT JOIN accounts AS d ON d.account = debit_account"
        " LEFT JOIN accounts AS c ON c.account = credit_account"
        " WHERE verdict = 1 AND (amount <= 0 OR debit_account = credit_account"
        " OR d.currency IS DISTINCT FROM transfers.currency"
        " OR c.currency IS DISTINCT FROM transfers.currency)",
    ),
    Rule(
        "I7",
        "transfer {0} of account {1}: debits after it are {2}, in order they are {3}",
        "SELECT * FROM (SELECT transfer_id, debit_account, debits_after,"
        " sum(amount) OVER w AS running, record_offset,"
        " lag(record_offset) OVER (PARTITION BY debit_account, partition"
        "  ORDER BY debits_after) AS earlier"
        " FROM transfers WHERE verdict = 1"
        " WINDOW w AS (PARTITION BY debit_account ORDER BY debits_after"
        "  ROWS UNBOUNDED PRECEDING)) AS t"
        " WHERE debits_after <> running OR earlier > record_offset",
    ),
    Rule(
        "I9",
        "table {0} has no enabled trigger against UPDATE, DELETE and TRUNCATE",
        f"SELECT name FROM unnest({FOREVER}) AS name"
        " WHERE NOT EXISTS (SELECT FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid"
        "  WHERE tgrelid = name::regclass AND tgname = 'immutable'"
        "  AND tgenabled IN ('O', 'A') AND tgqual IS NULL AND proname = 'refuse_change'"
        "  AND prosrc LIKE '%RAISE EXCEPTION%'"
        "  AND tgtype & 2 > 0 AND tgtype & 8 > 0 AND tgtype & 16 > 0"
        "  AND tgtype & 32 > 0)",
    ),
    Rule(
        "I9",
        "role {0} may {1} {2}",
        "SELECT rolname, privilege, name FROM pg_roles,"
        f" unnest({FOREVER}) AS name,"
        " unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE']) AS privilege"
        " WHERE NOT rolsuper AND rolname NOT LIKE 'pg\\_%'"
        " AND NOT pg_has_role(pg_roles.oid, (SELECT relowner FROM pg_class"
        "  WHERE oid = name::regclass), 'USAGE')"
        " AND (has_table_privilege(pg_roles.oid, name::regclass, privilege)"
        "  OR (privilege = 'UPDATE'"
        "   AND has_any_column_privilege(pg_roles.oid, name::regclass, privilege)))",
    ),
    Rule(
        "I9",
        "trigger {0} of table {1} is missing, switched off, or does something else",
        # Bits of tgtype: 2 before, 4 insert, 8 delete, 16 update, 32 truncate.
        "SELECT name, of FROM (VALUES"
        "  ('not_by_hand', 'accounts', 2 + 4 + 8 + 16, '%pg_trigger_depth() = 0%',"
        "   'refuse_by_hand', ARRAY['%RAISE EXCEPTION%']),"
        "  ('no_truncation', 'accounts', 2 + 32, '%', 'refuse_by_hand',"
        "   ARRAY['%RAISE EXCEPTION%']),"
        "  ('follow', 'account_changes', 4, '%', 'follow_account_changes',"
        "   ARRAY['%pg_advisory_xact_lock(6071020)%', '%epoch = epoch + 1%',"
        "    '%RAISE EXCEPTION%', '%INSERT INTO accounts %']))"
        "  AS needed (name, of, kind, condition, function, does)"
        " WHERE NOT EXISTS (SELECT FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid"
        "  WHERE tgname = name AND tgrelid = of::regclass AND tgenabled IN ('O', 'A')"
        "  AND tgtype = kind AND pg_get_triggerdef(pg_trigger.oid) LIKE condition"
        "  AND proname = function AND prosrc LIKE ALL (does))",
    ),
    Rule(
        "I11",
        "account {0} is now {1}, with limit {2}, in {3}; by its history it is {4},"
        " with limit {5}, in {6}",
        "SELECT account, a.status, a.credit_limit, a.currency, c.status,"
        " c.credit_limit, c.currency FROM accounts AS a FULL JOIN ("
        " SELECT DISTINCT ON (account) * FROM account_changes WHERE verdict = 12"
        "  ORDER BY account, change DESC) AS c USING (account)"
        " WHERE (a.currency, a.status, a.credit_limit)"
        "  IS DISTINCT FROM (c.currency, c.status, c.credit_limit)"
        " AND NOT (a.status IS NULL AND c.status = 'removed')",
    ),
)

_COUNTS = {
    "I4": "SELECT count(*) FROM accounts",
    "I5": "SELECT count(*) FROM accounts",
    "I7": "SELECT count(*) FROM transfers WHERE verdict = 1",
    "I9": f"SELECT cardinality({FOREVER})",
}


def check(connection: psycopg.Connection, evidence: Evidence) -> None:
    """Run every rule on the connection's snapshot. Raises psycopg.Error."""
    for invariant, query in _COUNTS.items():
        row = connection.execute(query.encode()).fetchone()
        evidence.saw(invariant, row[0] if row else 0)
    for rule in RULES:
        _check(connection, rule, evidence)
    _check_gaps(connection, evidence)


def _check(connection: psycopg.Connection, rule: Rule, evidence: Evidence) -> None:
    name = f"rule_{RULES.index(rule)}"
    with connection.cursor(name) as cursor:
        cursor.execute(rule.query.encode())
        for number, row in enumerate(cursor):
            text = rule.wrong.format(*row) if number < SHOWN_MAX else ""
            evidence.broken(rule.invariant, text)


def _check_gaps(connection: psycopg.Connection, evidence: Evidence) -> None:
    """Gaps that the Bank noticed count also when retention took the evidence."""
    for row in connection.execute(
        "SELECT emitter, partition, record_offset, expected_sequence, found_sequence"
        " FROM emitter_gaps ORDER BY detected_at"
    ):
        evidence.broken(
            "I10",
            f"the Bank noticed: emitter {row[0]}, partition {row[1]}, offset {row[2]}: "
            f"expected number {row[3]}, found {row[4]}",
        )
