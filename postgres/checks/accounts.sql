-- Accounts: without an open one everything is declined.
SELECT
    'accounts',
    CASE WHEN found.any_open THEN 'good' ELSE 'warning' END,
    CASE WHEN found.any_open THEN 'some are open' ELSE 'none is open' END,
    CASE WHEN found.any_open THEN '' ELSE 'an open account' END,
    CASE WHEN found.any_open THEN '' ELSE 'python -m consumers.bank open-accounts' END
FROM (SELECT EXISTS (SELECT FROM accounts WHERE status = 'open') AS any_open) AS found;
