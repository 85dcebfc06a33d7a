"""Which partition a key belongs to: the function that Java clients use.

Source: `Utils.murmur2` and `BuiltInPartitioner.partitionForKey` of Apache Kafka;
librdkafka names it `murmur2_random`. Foreign producers therefore agree with ours.
"""

from __future__ import annotations

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(key: bytes) -> int:
    """The 32-bit murmur2 hash of `key`, unsigned."""
    length = len(key)
    h = (_SEED ^ length) & _MASK
    whole = length & ~3
    for start in range(0, whole, 4):
        k = int.from_bytes(key[start : start + 4], "little") * _M & _MASK
        k = (k ^ k >> 24) * _M & _MASK
        h = h * _M & _MASK ^ k
    tail = key[whole:]
    if tail:
        h = (h ^ int.from_bytes(tail, "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15


def partition_for(key: bytes, partition_count: int) -> int:
    """The partition of `key` in a topic of `partition_count` partitions."""
    return (murmur2(key) & 0x7FFFFFFF) % partition_count
