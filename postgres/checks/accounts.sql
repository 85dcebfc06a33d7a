-- Accounts: without an open one everything is declined; balances are sums of bigints, and the
-- audit's arithmetic needs room above a limit.
SELECT
    'accounts',
    CASE WHEN found.any_open THEN 'good' ELSE 'warning' END,
    CASE WHEN found.any_open THEN 'some are open' ELSE 'none is open' END,
    CASE WHEN found.any_open THEN '' ELSE 'an open account' END,
    CASE WHEN found.any_open THEN '' ELSE 'python -m consumers.bank open-accounts' END
FROM (SELECT EXISTS (SELECT FROM accounts WHERE status = 'open') AS any_open) AS found
UNION ALL
SELECT
    'account ' || account,
    'refused',
    'credit_limit ' || credit_limit,
    'at most 10^18',
    'UPDATE accounts SET credit_limit = 1000000000000000000 WHERE account = ' || account
FROM (
    SELECT account, credit_limit
    FROM accounts
    WHERE credit_limit > 1000000000000000000
    ORDER BY account
    LIMIT 10
) AS unlimited;
