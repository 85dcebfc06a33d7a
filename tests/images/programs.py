"""Store, Bank and their jobs as the manifests run them, on the surroundings."""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from local.platform.credentials import Issuer
from producers.store.client import StoreClient
from tests.fix_stack import ROOT
from tests.images.containers import HEALTH, Order, Running
from tests.images.surroundings import KAFKA, Surroundings

HTTPS = 8443
SECRETS = "/etc/once/secrets"
SETTINGS = {
    "store": ROOT / "producers" / "store" / "k8s" / "base" / "settings.env",
    "bank": ROOT / "consumers" / "bank" / "k8s" / "base" / "bank.env",
}
SUBJECTS = {
    "transfers-value": "avro/transfer.avsc",
    "transfers-once.payments.AccountChange": "avro/account-change.avsc",
    "transfer-results-value": "avro/transfer-results.avsc",
    "transfer-receipts-value": "avro/transfer-receipts.avsc",
}
POSTGRES = {
    "ONCE_SECRETS_DIR": SECRETS,
    "PGSSLMODE": "verify-full",
    "PGSSLROOTCERT": "/etc/once/postgres/ca.crt",
}


@dataclass(frozen=True)
class Images:
    """The names of ours, with their tags."""

    store: str
    bank: str


class Programs:
    """Makes orders, each with files of its own."""

    def __init__(
        self, images: Images, around: Surroundings, names: tuple[str, ...]
    ) -> None:
        """`names` are those by which anybody calls a Store."""
        self._images = images
        self._around = around
        self._number = count()
        self._issuer = Issuer(self._new("issuer"))
        ca = around.authority.certificate
        self._ca = {"ca.crt": ca.read_bytes()}
        self._tls = around.authority.issue("store", *names)
        self._trust = ssl.create_default_context(cafile=str(ca))

    def store(self, **more: str) -> Order:
        """A Store that serves; `more` are STORE_... in small letters."""
        instance = f"store-{next(self._number)}"
        tls = {**self._ca, "tls.crt": self._tls.chain, "tls.key": self._tls.key}
        jwks = {"jwks.json": self._issuer.jwks.read_bytes()}
        environment = {
            **self._settings("store", instance),
            "STORE_JWKS": "/etc/once/jwks/jwks.json",
            **{f"STORE_{name}".upper(): value for name, value in more.items()},
        }
        folders = {
            **self._clients("store"),
            "/etc/once/store": self._new("tls", **tls),
            "/etc/once/jwks": self._new("jwks", **jwks),
        }
        return Order(
            self._images.store,
            ["serve"],
            environment,
            folders,
            name="store",
            ports=[HTTPS, HEALTH],
        )

    def bank(self) -> Order:
        """A worker."""
        conninfo = self._around.conninfo("bank")
        return Order(
            self._images.bank,
            ["run"],
            self._settings("bank", f"bank-{next(self._number)}"),
            {**self._clients("bank"), **self._postgres(bank_conninfo=conninfo)},
            ports=[HEALTH],
        )

    def job(self, *command: str) -> Order:
        """What is done once: from the Bank's image, as the ledger's owner."""
        conninfo = self._around.conninfo("migrator")
        return Order(
            self._images.bank,
            command[1:],
            {**POSTGRES, "ONCE_REGISTRY_URL": self._around.registry_url},
            self._postgres(once_migrator_conninfo=conninfo),
            entrypoint=["python3", "-m", command[0]],
        )

    def accounts(self, *arguments: str) -> Order:
        """What opens accounts, from the Store's image."""
        instance = f"accounts-{next(self._number)}"
        return Order(
            self._images.store,
            ["open-accounts", *arguments],
            self._settings("store", instance),
            self._clients("store"),
        )

    def smoke(self, **more: str) -> Order:
        """The test that a deployment waits for; `more` are SMOKE_... ."""
        environment = {
            "SMOKE_URL": f"https://store:{HTTPS}",
            "SMOKE_CA": "/etc/once/store/ca.crt",
            "ONCE_SECRETS_DIR": SECRETS,
            **{f"SMOKE_{name}".upper(): value for name, value in more.items()},
        }
        token = {"smoke_token": self._issuer.token("smoke").encode()}
        folders = {
            "/etc/once/store": self._new("ca", **self._ca),
            SECRETS: self._new("secrets", **token),
        }
        return Order(self._images.store, ["smoke"], environment, folders)

    def client(self, store: Running) -> StoreClient:
        """A client of it on this machine, with a token."""
        url = f"https://{store.address(HTTPS)}"
        return StoreClient(url, self._issuer.token("test"), trust=self._trust)

    def token(self, client: str) -> str:
        """What a client of this name shows."""
        return self._issuer.token(client)

    @property
    def trust(self) -> ssl.SSLContext:
        """Of those who vouch for a Store."""
        return self._trust

    def _settings(self, program: str, instance: str) -> dict[str, str]:
        """Those of the manifests, but for where Kafka and the registry are."""
        lines = SETTINGS[program].read_text().splitlines()
        found = dict(line.split("=", 1) for line in lines if "=" in line)
        here = {
            "BOOTSTRAP_SERVERS": self._around.bootstrap_servers,
            "REGISTRY_URL": self._around.registry_url,
            "INSTANCE": instance,
            "KAFKA": json.dumps(KAFKA),
        }
        prefix = program.upper()
        return {**found, **{f"{prefix}_{name}": value for name, value in here.items()}}

    def _clients(self, user: str) -> dict[str, Path]:
        """The folders of a client of Kafka and the registry."""
        kafka = self._new("kafka", **self._around.users.secrets[user])
        return {
            "/etc/once/kafka": kafka,
            "/etc/once/registry": self._new("registry", **self._ca),
        }

    def _postgres(self, **secrets: str) -> dict[str, Path]:
        """The folders of a client of Postgres."""
        files = {name: value.encode() for name, value in secrets.items()}
        return {
            SECRETS: self._new("secrets", **files),
            "/etc/once/postgres": self._new("postgres", **self._ca),
        }

    def _new(self, what: str, **content: bytes) -> Path:
        return self._around.folder(f"{what}-{next(self._number)}", content)
