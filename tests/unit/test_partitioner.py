"""The partitioner agrees with Java clients; vectors from Apache Kafka's UtilsTest."""

from __future__ import annotations

import pytest

from once.partitioner import murmur2, partition_for

JAVA = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("key", "signed"), JAVA.items())
def test_murmur2_is_that_of_java(key: bytes, signed: int) -> None:
    assert murmur2(key) == signed & 0xFFFFFFFF


def test_partitions_are_spread_and_in_range() -> None:
    counts = [0] * 6
    for account in range(1, 6001):
        counts[partition_for(b"%d" % account, 6)] += 1
    assert min(counts) > 800
