"""The part of the stand-in that does PGO's work on a Postgres outside the cluster."""

from __future__ import annotations

import secrets

import psycopg
from psycopg import sql

from local.kube import objects
from local.kube.api import Api, Object
from local.stack import Stack
from local.stack.passwords import SUPERUSER
from local.stack.roles import OWNER, ensure_database

PORT = 5432
# Used from outside the cluster too, by what looks after the test: their passwords stay.
SHARED = ("migrator", "audit")
READERS = ("bank", "audit")  # of a database that is not theirs


class PostgresOperator:
    """Users with their databases and Secrets; a Service that follows the primary."""

    kinds: tuple[str, ...] = ("PostgresCluster",)

    def __init__(self, api: Api, stack: Stack) -> None:
        self._api = api
        self._stack = stack
        self._leads: str | None = None
        self._name = ""

    def services(self, namespace: str) -> None:
        """The name of the primary leads to whoever leads now."""
        leader = self._stack.postgres.leader()
        if not self._name or leader in (None, self._leads):
            return
        assert leader is not None
        endpoints = self._stack.endpoints
        assert endpoints.exposure is not None, "the stack listens for this machine only"
        primary = [(endpoints.exposure.address, endpoints.ports[leader])]
        for suffix in ("primary", "pgbouncer"):
            name = f"{self._name}-{suffix}"
            for made in objects.outside_service(namespace, name, PORT, primary):
                self._api.apply(made)
        self._leads = leader

    def reconcile(self, found: Object) -> Object:
        """Make users and Secrets; the cluster's status."""
        meta, spec = found["metadata"], found["spec"]
        self._name = meta["name"]
        for user in spec["users"]:
            self._make_user(meta["namespace"], user["name"], user["databases"])
        instances = [
            {
                "name": each["name"],
                "replicas": each["replicas"],
                "readyReplicas": each["replicas"],
                "updatedReplicas": each["replicas"],
            }
            for each in spec["instances"]
        ]
        return {
            "instances": instances,
            "patroni": {"systemIdentifier": "1"},
            "databaseRevision": "stand-in",
            "usersRevision": "stand-in",
            "proxy": {"pgBouncer": {"replicas": 2, "readyReplicas": 2}},
            "pgbackrest": {
                "repoHost": {
                    "apiVersion": "apps/v1",
                    "kind": "StatefulSet",
                    "ready": True,
                },
                "repos": [
                    {"name": each["name"], "bound": True, "stanzaCreated": True}
                    for each in spec["backups"]["pgbackrest"]["repos"]
                ],
            },
        }

    def _make_user(self, namespace: str, role: str, databases: list[str]) -> None:
        """A role whose Secret is missing gets a new password, as PGO does it."""
        name = f"{self._name}-pguser-{role}"
        if self._api.get("Secret", namespace, name) is not None:
            return
        password = secrets.token_hex(16)
        superuser = self._stack.conninfo(user=SUPERUSER, dbname="postgres")
        with psycopg.connect(superuser, autocommit=True) as connection:
            known = connection.execute(
                "SELECT FROM pg_roles WHERE rolname = %s", (role,)
            ).fetchone()
            if known is None:
                make = sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role))
                connection.execute(make)
            if role in SHARED:
                password = self._stack.password(role)
            change = sql.SQL("ALTER ROLE {} PASSWORD {}")
            connection.execute(
                change.format(sql.Identifier(role), sql.Literal(password))
            )
            for database in databases:
                owner = role if role not in READERS else OWNER
                ensure_database(connection, database, owner)
        self._api.apply(self._secret(namespace, name, role, password, databases[0]))

    def _secret(
        self, namespace: str, name: str, role: str, password: str, database: str
    ) -> Object:
        host = f"{self._name}-primary.{namespace}.svc"
        where = f"{host}:{PORT}/{database}"
        content = {
            "host": host,
            "port": str(PORT),
            "dbname": database,
            "user": role,
            "password": password,
            "uri": f"postgresql://{role}:{password}@{where}",
            "jdbc-uri": f"jdbc:postgresql://{where}?password={password}&user={role}",
        }
        encoded = {key: value.encode() for key, value in content.items()}
        return objects.secret(namespace, name, encoded)
