"""The API's document, as a Store with tokens serves it, and as it lies in docs/.

python -m tests.unit.openapi        writes it anew
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from producers.store.api.clients import Client
from tests.unit.serving import serving

FILE = Path(__file__).parents[2] / "docs/openapi.json"


async def nobody(authorization: str) -> Client:
    """A doorman whom nobody asks."""
    raise AssertionError(authorization)


def document() -> str:
    """What /openapi.json says, as text."""
    with TemporaryDirectory() as folder:
        with serving(Path(folder), nobody) as served, served.http() as http:
            return json.dumps(http.get("/openapi.json").json(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(document())
