"""Records with headers that confluent_kafka would not send: any bytes as a name.

By librdkafka itself, the one that confluent_kafka has loaded.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path

import confluent_kafka

MILLISECONDS = 30_000
_PRODUCER = 0  # RD_KAFKA_PRODUCER
_END, _TOPIC, _VALUE, _HEADERS = 0, 1, 4, 10  # rd_kafka_vtype_t


def send(
    servers: str,
    topic: str,
    value: bytes,
    headers: Sequence[tuple[bytes, bytes | None]],
) -> None:
    """Send one record, and wait until the brokers have it."""
    library = _library()
    why = ctypes.create_string_buffer(512)
    conf = _pointer(library.rd_kafka_conf_new())
    library.rd_kafka_conf_set(
        conf, b"bootstrap.servers", servers.encode(), why, ctypes.c_size_t(512)
    )
    new = library.rd_kafka_new(_PRODUCER, conf, why, ctypes.c_size_t(512))
    assert new, why.value
    producer = _pointer(new)
    try:
        named = _pointer(library.rd_kafka_headers_new(ctypes.c_size_t(len(headers))))
        for name, content in headers:
            size = ctypes.c_ssize_t(len(content or b""))
            library.rd_kafka_header_add(
                named, name, ctypes.c_ssize_t(len(name)), content, size
            )
        parts = (_TOPIC, topic.encode(), _VALUE, value, ctypes.c_size_t(len(value)))
        sent = library.rd_kafka_producev(producer, *parts, _HEADERS, named, _END)
        assert sent == 0, f"error {sent}"
        assert library.rd_kafka_flush(producer, MILLISECONDS) == 0
    finally:
        library.rd_kafka_destroy(producer)


def _library() -> ctypes.CDLL:
    package = Path(confluent_kafka.__file__).parent
    (path,) = package.with_name("confluent_kafka.libs").glob("librdkafka-*.so*")
    library = ctypes.CDLL(str(path))
    for makes_one in ("conf_new", "new", "headers_new"):
        getattr(library, f"rd_kafka_{makes_one}").restype = ctypes.c_void_p
    return library


def _pointer(address: int) -> ctypes.c_void_p:
    return ctypes.c_void_p(address)
