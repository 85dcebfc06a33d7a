-- Rights that the programs' roles must not have. PGO gives ALL on the database to a user again
-- whenever users or their passwords change; every migration takes it away (postgres/asserted).
SELECT
    'rights of role ' || role,
    level,
    'may ' || string_agg(what, ', '),
    'no such right',
    cure
FROM (
    SELECT rolname AS role, 'warning' AS level, what, 'make migrate' AS cure
    FROM pg_roles, unnest(ARRAY['CREATE', 'TEMPORARY']) AS what
    WHERE rolname IN ('bank', 'audit')
      AND has_database_privilege(rolname, current_database(), what)
    UNION ALL
    SELECT rolname, 'refused', 'everything (superuser)', 'ALTER ROLE ' || rolname || ' NOSUPERUSER'
    FROM pg_roles
    WHERE rolname IN ('bank', 'audit') AND rolsuper
    UNION ALL
    SELECT rolname, 'refused', 'own ' || relname, 'ALTER TABLE ' || relname || ' OWNER TO migrator'
    FROM pg_class JOIN pg_roles ON pg_roles.oid = relowner
    WHERE rolname IN ('bank', 'audit')
      AND relnamespace = 'public'::regnamespace
      AND relkind IN ('r', 'p')
) AS found
GROUP BY role, level, cure
ORDER BY 1, 2;
