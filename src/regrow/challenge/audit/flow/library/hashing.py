"""What makes a hash of tokens, and the tables that are read or written with one."""

from __future__ import annotations

from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.flow.domain import NOTHING, Value
from regrow.challenge.audit.flow.scoring import reduced
from regrow.challenge.audit.flow.state import Call, Walk, models

_XORS = frozenset("bitwise_xor multiply mul left_shift bitwise_left_shift".split())
_REDUCERS = frozenset("remainder fmod mod bitwise_and right_shift bitwise_right_shift".split())
_HASHES = frozenset("hash md5 sha1 sha256 blake2b xxh64 xxh32 xxh3_64 crc32 adler32 murmur3 mmh3".split())


@models("at")
def add_at(walk: Walk, call: Call) -> Value | None:
    """`np.add.at(table, index, 1)` gives nothing back."""
    return NOTHING


@models("bincount")
def bincount(walk: Walk, call: Call) -> Value | None:
    """Keys counted: a table."""
    return Value(call.first.tags & v.ORIGIN) if call.first.tags & (v.KEY | v.KEYT) else None


def hashed(walk: Walk, call: Call) -> Value | None:
    """A step of a hash, its reduction to a bucket, or a whole hash function."""
    whole, tags = call.whole, call.whole.tags
    if call.name in _XORS and len(call.args) + bool(call.module.tags) > 1:
        return whole.with_tags(v.MIXED if tags & (v.TOK | v.KEY | v.KEYT | v.MIXED) else 0)
    if (call.name in _REDUCERS and tags & (v.MIXED | v.KEY | v.KEYT)) or (
        call.name in _HASHES and tags & v.TOK
    ):
        return reduced(walk, call.node, whole)
    return None
