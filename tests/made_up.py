"""Made-up JSON for the tests that feed a reader anything."""

import orjson
from hypothesis import strategies as st

LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(max_size=12) | st.sampled_from(["", "0", "-1", "\x00", "2026-01-01T00:00:00Z", "0001-01-01", "é" * 40])


def trees(*names: str, texts: st.SearchStrategy[str] = TEXTS) -> st.SearchStrategy[object]:
    """Any JSON, with these names where it has some."""
    return st.recursive(
        LEAVES | texts,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(names) | texts, inner, max_size=5),
        max_leaves=16,
    )


def bodies(*names: str) -> st.SearchStrategy[bytes]:
    """Bytes that are JSON, nearly JSON, or none at all."""
    written = trees(*names).map(orjson.dumps)
    cut = st.tuples(written, st.integers(0, 40)).map(lambda it: it[0][: it[1]])
    deep = st.integers(1, 3000).map(lambda depth: b"[" * depth)
    return written | cut | deep | st.binary(max_size=200)
