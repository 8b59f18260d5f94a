"""Loopring's names, limits and bytes against vectors from its own client. Its replies: test_loopring_replies.py."""

import json
from pathlib import Path
from typing import Final, NotRequired, TypedDict
from urllib.parse import parse_qsl, urlsplit

import pytest

from gateway.core.admission import Charge, Quota
from gateway.core.model import By, Op, OrderRef, Scope
from gateway.core.outcome import Outcome
from gateway.venues.base import BadMaterial, RefFault, Signer, Site, Venue
from gateway.venues.loopring import LOOPRING, LoopringSigner, signature_base


class Vector(TypedDict):
    id: str
    private_key: str
    private_key_dec: str
    host: str
    method: str
    path: str
    params: list[tuple[str, str]]
    parameter_string: str
    signature_base: str
    signature: str
    url: str
    headers: dict[str, str]
    encoding_ambiguous: NotRequired[bool]


class Rejection(TypedDict):
    private_key: str
    label: str


class VectorFile(TypedDict):
    key_rejections: list[Rejection]
    vectors: list[Vector]


FILE: Final[VectorFile] = json.loads((Path(__file__).parent / "vectors" / "loopring.json").read_text("utf-8"))
VECTORS = {vector["id"]: vector for vector in FILE["vectors"]}
AMBIGUOUS = [vector for vector in FILE["vectors"] if vector.get("encoding_ambiguous")]
CANCELS = [
    vector
    for vector in FILE["vectors"]
    if vector["path"] == "/api/v3/order" and len(vector["params"]) == 2 and not vector.get("encoding_ambiguous")
]
BATCHES = {"batch-hash-10": By.ORDER_ID, "batch-client-3": By.CLIENT_ID}

HASH = "0x05a97490e92ded027f65c4bebf3bad63813f4ce8c7255335894566b2eee90206"
SITE = Site("https://api3.loopring.io")
FIELDS = {"account_id": "10005", "api_key": "lr-test-key", "private_key": "0x1234"}


def signer_of(vector: Vector) -> LoopringSigner:
    fields = {
        "account_id": dict(vector["params"])["accountId"],
        "api_key": vector["headers"]["X-API-KEY"],
        "private_key": vector["private_key"],
    }
    return LOOPRING.unlock(fields, Site(vector["host"]))


def ids_of(vector: Vector) -> list[str]:
    return [value for name, value in vector["params"] if name != "accountId"]


def kind_of(vector: Vector) -> By:
    return By.ORDER_ID if "orderHash" in dict(vector["params"]) else By.CLIENT_ID


def signer() -> LoopringSigner:
    return LOOPRING.unlock(FIELDS, SITE)


@pytest.mark.parametrize("vector", FILE["vectors"], ids=lambda vector: vector["id"])
def test_any_vector_is_signed_to_the_byte(vector: Vector) -> None:
    params = [(name, value) for name, value in vector["params"]]

    request = signer_of(vector).request(vector["method"], vector["path"], params)

    assert request.method == vector["method"]
    assert request.url == vector["url"]
    assert dict(request.headers) == vector["headers"]
    assert dict(request.headers)["X-API-SIG"] == vector["signature"]
    assert len(request.headers) == len(vector["headers"])
    assert request.body == b""


@pytest.mark.parametrize("vector", FILE["vectors"], ids=lambda vector: vector["id"])
def test_any_vector_has_its_signature_base(vector: Vector) -> None:
    text = signature_base(vector["method"], vector["host"] + vector["path"], vector["parameter_string"])

    assert text == vector["signature_base"]


def test_parameters_in_any_order_are_sent_and_signed_by_ascending_key() -> None:
    vector = VECTORS["both-ids"]
    backwards = [(name, value) for name, value in reversed(vector["params"])]

    request = signer_of(vector).request(vector["method"], vector["path"], backwards)

    assert request.url == vector["url"]
    assert dict(request.headers)["X-API-SIG"] == vector["signature"]


@pytest.mark.parametrize("vector", CANCELS, ids=lambda vector: vector["id"])
def test_cancel_of_a_vector_without_ambiguity_is_its_request(vector: Vector) -> None:
    if vector["id"] == "comma-single":  # signed, but an id that no batch can hold
        assert isinstance(LOOPRING.order_ref("a,b", By.CLIENT_ID, None), RefFault)
        return
    (ref,) = ids_of(vector)

    order = LOOPRING.order_ref(ref, kind_of(vector), None)
    assert isinstance(order, OrderRef)
    request = signer_of(vector).cancel(order, at_ms=1)

    assert (request.method, request.url, dict(request.headers)) == (vector["method"], vector["url"], vector["headers"])


@pytest.mark.parametrize(("name", "by"), BATCHES.items())
def test_batch_of_a_vector_is_its_request(name: str, by: By) -> None:
    vector = VECTORS[name]
    (ids,) = ids_of(vector)
    orders = tuple(OrderRef(by, ref) for ref in ids.split(","))

    request = signer_of(vector).batch(orders, at_ms=1)

    assert request is not None
    assert (request.method, request.url, dict(request.headers)) == (vector["method"], vector["url"], vector["headers"])


def test_read_by_hash_signs_the_same_parameters_with_get() -> None:
    request = signer().read(OrderRef(By.ORDER_ID, HASH), at_ms=1)

    assert request is not None
    assert request.method == "GET"
    assert request.url == f"https://api3.loopring.io/api/v3/order?accountId=10005&orderHash={HASH}"
    same = signer().request("GET", "/api/v3/order", [("accountId", "10005"), ("orderHash", HASH)])
    assert request == same
    assert request.headers != signer().cancel(OrderRef(By.ORDER_ID, HASH), at_ms=1).headers


def test_read_by_client_id_lists_the_orders_as_the_venue_has_no_such_call() -> None:
    request = signer().read(OrderRef(By.CLIENT_ID, "my-1"), at_ms=1)

    first = [("accountId", "10005"), ("limit", "50"), ("offset", "0")]
    assert request == signer().request("GET", "/api/v3/orders", first)
    assert signer().leaf(OrderRef(By.CLIENT_ID, "my-1"), 2, at_ms=1) == signer().request(
        "GET", "/api/v3/orders", [*first[:2], ("offset", "100")]
    )


@pytest.mark.parametrize(
    "orders",
    [
        (),
        tuple(OrderRef(By.CLIENT_ID, f"c-{n}") for n in range(11)),
        (OrderRef(By.CLIENT_ID, "c-1"), OrderRef(By.ORDER_ID, HASH)),
    ],
    ids=["none", "eleven", "mixed"],
)
def test_a_batch_that_one_call_cannot_hold_is_none(orders: tuple[OrderRef, ...]) -> None:
    assert signer().batch(orders, at_ms=1) is None


@pytest.mark.parametrize("by", By)
def test_a_cancel_always_names_exactly_one_order(by: By) -> None:
    """Without an id the older endpoint cancelled everything of the account."""
    request = signer().cancel(OrderRef(by, "123"), at_ms=1)

    names = [name for name, _ in parse_qsl(urlsplit(request.url).query)]
    assert names == ["accountId", "orderHash" if by is By.ORDER_ID else "clientOrderId"]


def test_the_same_cancel_has_the_same_bytes_at_any_time() -> None:
    order = OrderRef(By.ORDER_ID, HASH)

    assert signer().cancel(order, at_ms=1) == signer().cancel(order, at_ms=2_000_000_000_000)


def test_the_host_that_is_dialled_is_the_host_that_is_signed() -> None:
    order = OrderRef(By.ORDER_ID, HASH)
    elsewhere = LOOPRING.unlock(FIELDS, Site("https://uat2.loopring.io"))

    here, there = signer().cancel(order, at_ms=1), elsewhere.cancel(order, at_ms=1)

    assert there.url.startswith("https://uat2.loopring.io/api/v3/order?")
    assert dict(here.headers)["X-API-SIG"] != dict(there.headers)["X-API-SIG"]


@pytest.mark.parametrize("vector", AMBIGUOUS, ids=lambda vector: vector["id"])
@pytest.mark.parametrize("by", [None, *By])
def test_an_id_that_the_venues_clients_sign_differently_is_refused(vector: Vector, by: By | None) -> None:
    (ref,) = ids_of(vector)

    fault = LOOPRING.order_ref(ref, by, None)

    assert isinstance(fault, RefFault)
    assert fault.outcome is Outcome.INVALID_REQUEST


@pytest.mark.parametrize(
    "ref", ["", "a,b", ".", "..", "a/b", "a%2Fb", "a b", "a\n", "\x00", "ü", "١٢", "x" * 121, "\ud800", "a&b=c", "a?b"]
)
@pytest.mark.parametrize("by", [None, *By])
def test_a_ref_outside_the_alphabet_is_refused(ref: str, by: By | None) -> None:
    fault = LOOPRING.order_ref(ref, by, None)

    assert isinstance(fault, RefFault)
    assert fault.outcome is Outcome.INVALID_REQUEST
    assert not ref.strip(".") or ref not in fault.detail


@pytest.mark.parametrize(
    "ref", ["0x12", HASH + "0", HASH[:-1], "0X" + HASH[2:], "1" * 79, "g" * 64, f"{HASH},{HASH}", "-1"]
)
def test_an_order_id_of_another_shape_is_refused(ref: str) -> None:
    fault = LOOPRING.order_ref(ref, By.ORDER_ID, None)

    assert isinstance(fault, RefFault)
    assert fault.outcome is Outcome.INVALID_REQUEST


@pytest.mark.parametrize(
    ("ref", "by", "kind"),
    [
        (HASH, None, By.ORDER_ID),
        (HASH.upper().replace("X", "x"), None, By.ORDER_ID),
        (HASH, By.ORDER_ID, By.ORDER_ID),
        (HASH, By.CLIENT_ID, By.CLIENT_ID),
        ("9" * 78, By.ORDER_ID, By.ORDER_ID),
        ("123", By.CLIENT_ID, By.CLIENT_ID),
        ("my-1", None, By.CLIENT_ID),
        ("0x12", None, By.CLIENT_ID),
        (HASH + "0", None, By.CLIENT_ID),
        ("UPPER_lower-1.2~3", None, By.CLIENT_ID),
        ("x" * 120, None, By.CLIENT_ID),
    ],
)
def test_a_valid_ref_keeps_its_spelling_and_gets_its_kind(ref: str, by: By | None, kind: By) -> None:
    assert LOOPRING.order_ref(ref, by, "LRC-ETH") == OrderRef(kind, ref)


@pytest.mark.parametrize("ref", ["1", "202003180000", "9" * 78])
def test_digits_without_a_kind_are_ambiguous(ref: str) -> None:
    """Older hashes are decimal numbers, and client ids often are."""
    fault = LOOPRING.order_ref(ref, None, None)

    assert isinstance(fault, RefFault)
    assert fault.outcome is Outcome.AMBIGUOUS_REF


def test_the_shipped_limits_are_five_a_second_and_a_careful_batch() -> None:
    assert LOOPRING.quotas == dict.fromkeys(("cancel", "read", "list"), Quota(5, 1000)) | {"batch": Quota(1, 1000)}
    assert {quota.scope for quota in LOOPRING.quotas.values()} == {Scope.ACCOUNT}
    assert LOOPRING.batch_most == 10


@pytest.mark.parametrize("by", By)
def test_every_operation_spends_from_limits_that_exist(by: By) -> None:
    spent = {op: LOOPRING.charges(op, by) for op in Op}

    assert spent == {
        Op.CANCEL: (Charge("cancel"),),
        Op.BATCH: (Charge("cancel"), Charge("batch")),
        Op.READ: (Charge("read"),),
        Op.LIST: (Charge("list"),),
        Op.CANCEL_ALL: (),
    }
    assert {charge.limit for charges in spent.values() for charge in charges} <= set(LOOPRING.quotas)


def test_it_is_a_venue_and_its_signer_is_a_signer() -> None:
    venue: Venue = LOOPRING
    held: Signer = signer()

    assert (venue.id, dict(venue.options)) == ("loopring", {})
    assert venue.fields == (frozenset(FIELDS),)
    assert held.cancel(OrderRef(By.ORDER_ID, HASH), 1).method == "DELETE"


def test_a_decimal_key_equals_its_hexadecimal_form() -> None:
    vector = VECTORS["doc-example-client-id"]

    signer_ = LOOPRING.unlock(FIELDS | {"private_key": vector["private_key_dec"]}, SITE)

    assert signer_.key == signer_of(vector).key


@pytest.mark.parametrize("rejection", FILE["key_rejections"], ids=lambda rejection: rejection["label"])
@pytest.mark.parametrize("base", [10, 16])
def test_a_key_outside_its_range_is_bad_material(rejection: Rejection, base: int) -> None:
    written = rejection["private_key"] if base == 16 else str(int(rejection["private_key"], 16))

    with pytest.raises(BadMaterial, match="order of the subgroup") as caught:
        LOOPRING.unlock(FIELDS | {"private_key": written}, SITE)

    assert caught.value.field == "private_key"
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("private_key", "0xzz"),
        ("private_key", "-5"),
        ("private_key", "5_0"),
        ("private_key", " 5"),
        ("private_key", "abc"),
        ("private_key", "0X5"),
        ("private_key", "0x" + "1" * 65),
        ("private_key", "9" * 5000),
        ("private_key", "\u0665"),
        ("account_id", "-1"),
        ("account_id", "0x5"),
        ("account_id", "1" * 21),
        ("account_id", "5&orderHash=1"),
        ("account_id", "\u0665"),
        ("api_key", "two words"),
        ("api_key", "line\r\nX-Evil: 1"),
        ("api_key", "schlüssel"),
    ],
)
def test_bad_material_is_named_by_its_field_and_never_shown(name: str, value: str) -> None:
    with pytest.raises(BadMaterial) as caught:
        LOOPRING.unlock(FIELDS | {name: value}, SITE)

    assert caught.value.field == name
    assert value not in str(caught.value)


@pytest.mark.parametrize("name", FIELDS)
def test_missing_material_is_named(name: str) -> None:
    with pytest.raises(BadMaterial) as caught:
        LOOPRING.unlock({key: value for key, value in FIELDS.items() if key != name}, SITE)

    assert caught.value.field == name


def test_no_repr_shows_key_or_signature() -> None:
    secret = VECTORS["doc-example-client-id"]["private_key_dec"]
    held = LOOPRING.unlock(FIELDS | {"private_key": secret}, SITE)
    request = held.cancel(OrderRef(By.ORDER_ID, HASH), at_ms=1)

    shown = repr(held) + repr(request) + repr(held.key)

    assert secret not in shown
    assert FIELDS["api_key"] not in shown
    assert dict(request.headers)["X-API-SIG"] not in shown
