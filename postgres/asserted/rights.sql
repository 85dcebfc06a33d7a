-- Rights that must not come back. PGO gives each user ALL on the databases that it lists for it,
-- again whenever users or their passwords change; init.sql runs only once. So every run of
-- `once migrate` takes them away again, as far as its role may: the owner of the database.
DO $$
DECLARE
    here    text := current_database();
    wanted  CONSTANT text[] := ARRAY['bank', 'audit'];
    known   text[] := ARRAY(SELECT rolname FROM pg_roles WHERE rolname = ANY (wanted));
    is_ours boolean := (
        SELECT pg_has_role(current_user, datdba, 'USAGE') FROM pg_database WHERE datname = here
    );
    who     text;
BEGIN
    FOREACH who IN ARRAY wanted LOOP
        IF who <> ALL (known) THEN
            RAISE WARNING 'there is no role %: nothing to take from it', who;
        END IF;
    END LOOP;
    IF is_ours THEN
        EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', here);
        FOREACH who IN ARRAY known LOOP
            EXECUTE format('REVOKE CREATE, TEMPORARY ON DATABASE %I FROM %I', here, who);
        END LOOP;
        BEGIN
            REVOKE CREATE ON SCHEMA public FROM PUBLIC;
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE WARNING 'role % may not change the rights on schema public', current_user;
        END;
    ELSE
        RAISE WARNING 'role % does not own database %: rights on it stay', current_user, here;
    END IF;
    -- What another grantor than the owner gave stays, and REVOKE says nothing of it.
    FOREACH who IN ARRAY known LOOP
        IF has_database_privilege(who, here, 'CREATE')
           OR has_database_privilege(who, here, 'TEMPORARY') THEN
            RAISE WARNING 'role % may still CREATE or TEMPORARY in database %', who, here;
        END IF;
    END LOOP;
END
$$;
