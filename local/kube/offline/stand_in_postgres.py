"""The part of the stand-in that runs what PGO would run."""

from __future__ import annotations

import json
import secrets

from psycopg import sql

from local.kube import objects
from local.kube.api import Api, Object
from local.kube.ledger_pods import CONTAINER, LedgerPods
from local.kube.objects import NAMESPACE
from local.kube.offline import operated
from local.kube.offline.data_images import LEDGER
from local.kube.offline.stand_in_patroni import LEASE, PORT, patroni_file

PODS = "ledger-main"


class PostgresOperator:
    """Instances under Patroni as pods; users with their databases and Secrets."""

    kinds: tuple[str, ...] = ("PostgresCluster",)

    def __init__(self, api: Api, ledger: LedgerPods) -> None:
        self._api = api
        self._ledger = ledger

    def reconcile(self, found: Object) -> Object | None:
        """Make what it asks for; its status, once somebody leads.

        The status is the one that PGO 6.0.3 wrote to this very resource, but for what
        does not run here: PgBouncer and pgBackRest are said to be there.
        """
        spec, said = found["spec"], found.get("status", {})
        operated.apply_changed(self._api, documents(spec))
        if self._ledger.primary() is None:
            return None
        for user in spec["users"]:
            self._make_user(user)
        if "databaseInitSQL" not in said:
            self._ledger.psql(self._init_sql(spec["databaseInitSQL"]))
        self._lead_clients()
        (instances,) = spec["instances"]
        stateful = self._api.get("StatefulSet", NAMESPACE, PODS) or {}
        ready = stateful.get("status", {}).get("readyReplicas", 0)
        count = instances["replicas"]
        return {
            "databaseInitSQL": spec["databaseInitSQL"]["name"],
            "databaseRevision": "stand-in",
            "usersRevision": "stand-in",
            "instances": [
                {
                    "name": instances["name"],
                    "replicas": count,
                    "readyReplicas": ready,
                    "updatedReplicas": count,
                }
            ],
            "patroni": {"systemIdentifier": self._system_identifier(said)},
            **_said_to_be_there(spec),
        }

    def _lead_clients(self) -> None:
        """The name that clients know has the address of the one that follows."""
        lease = self._api.get("Service", NAMESPACE, LEASE)
        assert lease is not None, "it was just made"
        leads = objects.service_to(
            NAMESPACE, "ledger-primary", PORT, [(lease["spec"]["clusterIP"], PORT)]
        )
        leads[0]["spec"]["clusterIP"] = "None"
        operated.apply_changed(self._api, leads)

    def _system_identifier(self, said: Object) -> str:
        known = said.get("patroni", {}).get("systemIdentifier")
        asked = "SELECT system_identifier FROM pg_control_system()"
        return str(known or self._ledger.psql(asked).strip())

    def _init_sql(self, named: Object) -> str:
        found = self._api.get("ConfigMap", NAMESPACE, named["name"])
        assert found is not None, "it is synced with the resource that names it"
        content: str = found["data"][named["key"]]
        return content

    def _make_user(self, user: Object) -> None:
        """A role whose Secret is missing gets a new password, as PGO does it."""
        role, databases = user["name"], user["databases"]
        secret = f"ledger-pguser-{role}"
        if self._api.get("Secret", NAMESPACE, secret) is not None:
            return
        password = secrets.token_hex(16)
        # There may be no standby yet, and a strict COMMIT would wait for one.
        statements = ["SET synchronous_commit TO local"]
        statements += _create_role(role, user.get("options", ""), password)
        for database in databases:
            statements.append(_create_database(database))
            granted = sql.SQL("GRANT ALL ON DATABASE {} TO {}").format(
                sql.Identifier(database), sql.Identifier(role)
            )
            statements.append(granted.as_string())
        self._ledger.psql("".join(f"{each};\n" for each in statements))
        self._api.apply(_secret(secret, role, password, databases[0]))


def documents(spec: Object) -> list[Object]:
    """What PGO would run for this cluster."""
    file = json.dumps(patroni_file(spec), indent=2)
    configuration = objects.config_map(
        NAMESPACE, "ledger-config", {"patroni.json": file}
    )
    made = operated.load("postgres")
    instances = operated.stateful_set(made)
    _settle(instances, spec)
    operated.rolled_by(instances, configuration)
    return [configuration, *made]


def _create_role(role: str, options: str, password: str) -> list[str]:
    name, literal = sql.Identifier(role), sql.Literal(password)
    create = sql.SQL("CREATE ROLE {} LOGIN").format(name).as_string()
    change = sql.SQL("ALTER ROLE {} PASSWORD {}").format(name, literal).as_string()
    known = sql.SQL("SELECT FROM pg_roles WHERE rolname = {}").format(sql.Literal(role))
    return [
        f"SELECT {_quoted(create)} WHERE NOT EXISTS ({known.as_string()}) \\gexec\n"
        f"ALTER ROLE {name.as_string()} {options}",
        change,
    ]


def _create_database(database: str) -> str:
    """No transaction may do it, so psql is told to run what a query says."""
    create = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)).as_string()
    known = sql.SQL("SELECT FROM pg_database WHERE datname = {}").format(
        sql.Literal(database)
    )
    return (
        f"SELECT {_quoted(create)} WHERE NOT EXISTS ({known.as_string()}) \\gexec\n"
        "SELECT"
    )


def _quoted(text: str) -> str:
    return sql.Literal(text).as_string()


def _secret(name: str, role: str, password: str, database: str) -> Object:
    host = f"ledger-primary.{NAMESPACE}.svc"
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
    return objects.secret(NAMESPACE, name, encoded)


def _settle(stateful: Object, spec: Object) -> None:
    """The instances' own wishes."""
    (asked,) = spec["instances"]
    stateful["spec"]["replicas"] = asked["replicas"]
    pod = stateful["spec"]["template"]["spec"]
    for name in ("affinity", "topologySpreadConstraints", "tolerations"):
        pod[name] = asked[name]
    pod["priorityClassName"] = asked["priorityClassName"]
    (database,) = pod["containers"]
    assert database["name"] == CONTAINER
    database |= {"image": LEDGER, "resources": asked["resources"]}
    volume = asked["dataVolumeClaimSpec"]
    size = volume["resources"]["requests"]["storage"]
    operated.claim(stateful, volume["storageClassName"], size)


def _said_to_be_there(spec: Object) -> Object:
    """What the resource's health asks for and nobody runs here."""
    pooler = spec["proxy"]["pgBouncer"]["replicas"]
    repositories = [
        {"name": each["name"], "bound": True, "stanzaCreated": True}
        for each in spec["backups"]["pgbackrest"]["repos"]
    ]
    host = {"apiVersion": "apps/v1", "kind": "StatefulSet", "ready": True}
    return {
        "proxy": {"pgBouncer": {"replicas": pooler, "readyReplicas": pooler}},
        "pgbackrest": {"repoHost": host, "repos": repositories},
    }
