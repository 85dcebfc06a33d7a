"""A schema registry for tests: the two questions our clients ask, over real HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Schema = dict[str, Any] | str  # a text is answered as it is, whatever it is


@contextmanager
def serving(schemas: Mapping[int, Schema]) -> Iterator[str]:
    """Serve these schemas by id, and the id of each under any subject; the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            schema = schemas.get(int(self.path.rpartition("/")[2]))
            if schema is None:
                self._answer(404, {"error_code": 40403})
            else:
                text = schema if isinstance(schema, str) else json.dumps(schema)
                self._answer(200, {"schema": text})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked = json.loads(body["schema"])
            ids = [number for number, schema in schemas.items() if schema == asked]
            if ids:
                self._answer(200, {"id": ids[0]})
            else:
                self._answer(404, {"error_code": 40403})

        def _answer(self, status: int, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Tests do not read an access log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}
    )
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
