"""The document of the API that lies in docs/ is the one that a Store serves."""

from __future__ import annotations

import json

from tests.unit.openapi import FILE, document


def test_the_document_in_docs_is_the_applications() -> None:
    served = document()
    assert FILE.read_text() == served, "python -m tests.unit.openapi writes it anew"
    said = json.loads(served)
    assert said["security"] == [{"token": []}]
    assert "/v1/transfers:batch" in said["paths"]
