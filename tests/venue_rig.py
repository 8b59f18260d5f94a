"""What the tests of bearer-token venues share: replies written down in a line, and the vectors of a file."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import orjson
from hypothesis import strategies as st

from gateway.core.wire import Reply, WireRequest

AT_MS = 1_700_000_000_000
VECTORS = Path(__file__).parent / "venues" / "vectors"

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=12), inside, max_size=4),
    max_leaves=8,
)  # fmt: skip
STATUSES = st.sampled_from(
    [200, 201, 202, 204, 302, 400, 401, 403, 404, 409, 415, 418, 422, 429, 500, 503]
) | st.integers(100, 599)


@dataclass(frozen=True, slots=True)
class Vector:
    """One exact request and where it is from."""

    id: str
    source: str
    base_url: str
    options: dict[str, str | int | bool]
    fields: dict[str, str]
    call: str
    order_id: str
    request: WireRequest


def vectors(name: str) -> list[Vector]:
    """The vectors of a venue whose requests are not signed."""
    return [_vector(row) for row in json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))["vectors"]]


def _vector(row: dict[str, object]) -> Vector:
    headers = tuple((name, value) for name, value in cast("list[list[str]]", row["headers"]))
    request = WireRequest(str(row["method"]), str(row["url"]), headers, str(row["body"]).encode())
    fields = cast("dict[str, str]", row["fields"])
    options = cast("dict[str, str | int | bool]", row["options"])
    id_, source, base_url = str(row["id"]), str(row["source"]), str(row["base_url"])
    return Vector(id_, source, base_url, options, fields, str(row["call"]), str(row["order_id"]), request)


def said(status: int, value: object, headers: dict[str, str] | None = None) -> Reply:
    """A reply whose body is JSON."""
    return Reply(status, headers or {}, orjson.dumps(value), AT_MS)


def raw(status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> Reply:
    """A reply whose body is anything."""
    return Reply(status, headers or {}, body, AT_MS)
