"""Tokens of an issuer, on virtual time: whom they mean, what is refused, and how long keys serve."""

import asyncio
import hashlib
import hmac
import json
from dataclasses import dataclass, field

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from issuer_rig import SigningKey, claims_of, key, key_set, part
from made_up import trees
from virtual_time import FakeClock, let_run, loop_clock, on_virtual_time

from gateway.backends.issuer.jwks import COOL_DOWN_S, FRESH_S, IssuerKeys
from gateway.backends.issuer.keys import KeySet, read_keys
from gateway.backends.issuer.tokens import KNOWN_MOST, IssuerTokens, read_head
from gateway.core.access import Denied
from gateway.core.claims import LEEWAY_S, Expected
from gateway.core.outcome import Outcome

EXPECTED = Expected("https://issuer.example", "cancel-gateway", "sub")
STALE_S = 3600.0
RSA, EC, ED = key("RS256", "rsa"), key("ES256", "ec"), key("EdDSA", "ed")


@dataclass
class Desk:
    """An issuer that answers as it is told, and a gateway that takes its tokens."""

    clock: FakeClock = field(default_factory=loop_clock)
    published: list[SigningKey] = field(default_factory=lambda: [RSA, EC, ED])
    down: str | None = None
    takes_s: float = 0.0
    known_most: int = KNOWN_MOST
    fetches: int = 0
    seen: list[str | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.keys = IssuerKeys(self.fetch, STALE_S, self.clock, self.seen.append)
        self.tokens = IssuerTokens(self.keys, EXPECTED, self.clock, self.known_most)

    async def fetch(self) -> KeySet | str:
        self.fetches += 1
        await asyncio.sleep(self.takes_s)
        return self.down or read_keys(key_set(*self.published))

    @property
    def now_s(self) -> float:
        return self.clock.now_ms() / 1000

    def token(self, by: SigningKey = EC, subject: str = "desk-a", **claims: object) -> str:
        return by.token(claims_of(subject, self.now_s) | claims)

    async def subject(self, token: str) -> str | Denied:
        return await self.tokens.subject(token, hashlib.sha256(token.encode()).hexdigest())

    async def refusal(self, token: str) -> str:
        said = await self.subject(token)
        assert isinstance(said, Denied), said
        assert said.outcome is Outcome.UNAUTHENTICATED
        return said.detail


# -- whom a token means ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", [RSA, EC, ED], ids=lambda by: by.algorithm)
@on_virtual_time
async def test_a_token_signed_by_the_issuer_means_its_subject(by: SigningKey) -> None:
    desk = Desk()

    assert await desk.subject(desk.token(by)) == "desk-a"
    assert await desk.subject(desk.token(by, "system:serviceaccount:trading:desk-a")) != "desk-a"


@on_virtual_time
async def test_a_token_is_taken_until_it_expires_also_where_it_is_known() -> None:
    desk = Desk()
    token = desk.token()
    assert await desk.subject(token) == "desk-a"

    desk.clock.pass_s(300 + LEEWAY_S - 1)
    assert await desk.subject(token) == "desk-a"
    desk.clock.pass_s(1)

    assert "expired" in await desk.refusal(token)


@pytest.mark.parametrize(
    ("claims", "word"),
    [
        ({"iss": "https://other.example"}, "issuer"),
        ({"aud": "another-service"}, "audience"),
        ({"exp": 1}, "expired"),
        ({"nbf": 2**40}, "not valid yet"),
        ({"sub": ""}, "no usable sub"),
    ],
)
@on_virtual_time
async def test_a_good_signature_does_not_make_up_for_bad_claims(claims: dict[str, object], word: str) -> None:
    desk = Desk()

    assert word in await desk.refusal(EC.token(claims_of("desk-a", desk.now_s) | claims))


# -- what is no token of the issuer ----------------------------------------------------------------------------


def public_pem(by: SigningKey) -> bytes:
    return by.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def by_hand(head: dict[str, object], claims: object, secret: bytes | None = None) -> str:
    """A token that no honest library makes; signed with a shared secret, or not at all."""
    signed = f"{part(head)}.{part(claims)}"
    mark = b"" if secret is None else hmac.digest(secret, signed.encode(), "sha256")
    return f"{signed}.{part(mark)}"


@on_virtual_time
async def test_no_algorithm_but_the_keys_own_is_taken() -> None:
    desk = Desk()
    claims = claims_of("desk-a", desk.now_s)
    forged = [
        by_hand({"alg": "none", "kid": "rsa"}, claims),
        by_hand({"alg": "None", "kid": "rsa"}, claims),
        by_hand({"alg": "", "kid": "rsa"}, claims),
        by_hand({"alg": None, "kid": "rsa"}, claims),
        by_hand({"alg": ["RS256"], "kid": "rsa"}, claims),
        by_hand({"kid": "rsa"}, claims),
        by_hand({"alg": "HS256", "kid": "rsa"}, claims, public_pem(RSA)),
        by_hand({"alg": "HS256", "kid": "rsa"}, claims, b""),
        by_hand({"alg": "HS512", "kid": "ec"}, claims, public_pem(EC)),
        by_hand({"alg": "RS256", "kid": "rsa"}, claims, public_pem(RSA)),
        by_hand({"alg": "PS256", "kid": "rsa"}, claims, b"x"),
        by_hand({"alg": "ES256", "kid": "rsa"}, claims, b"x"),
        by_hand({"alg": "ES256K", "kid": "ec"}, claims, b"x"),
        by_hand({"alg": "EdDSA", "kid": "ec"}, claims, b"x" * 64),
        by_hand({"alg": "ES256", "kid": "ec"}, claims),
        f"{part({'alg': 'ES256', 'kid': 'ec'})}.{part(claims)}.{part(bytes(64))}",
    ]

    for token in forged:
        assert await desk.refusal(token), token


@on_virtual_time
async def test_a_key_that_the_token_brings_along_is_not_looked_at() -> None:
    desk, mallory = Desk(), key("ES256", "mallory")
    claims = claims_of("desk-a", desk.now_s)
    for headers in (
        {"kid": "ec", "jku": "https://mallory.example/keys"},
        {"kid": "ec", "jwk": mallory.jwk},
        {"kid": "ec", "x5u": "https://mallory.example/cert"},
        {"kid": "ec", "x5c": ["MIIB"]},
        {"kid": "mallory", "jwk": mallory.jwk},
        {"kid": "../../keys"},
        {"kid": ""},
    ):
        assert await desk.refusal(mallory.token(claims, **headers))

    good = EC.token(claims, jku="https://mallory.example/keys", x5u="https://mallory.example/cert")
    assert await desk.subject(good) == "desk-a"
    assert desk.fetches == 1


@on_virtual_time
async def test_a_token_that_asks_for_more_than_is_understood_is_refused() -> None:
    desk = Desk()

    claims = claims_of("desk-a", desk.now_s)

    odd: tuple[dict[str, object], ...] = ({"crit": ["x"], "x": 1}, {"crit": ["b64"], "b64": True}, {"crit": []})
    for headers in odd:
        signed = f"{part({'alg': 'EdDSA', 'kid': 'ed', **headers})}.{part(claims)}"
        assert isinstance(ED.private, Ed25519PrivateKey)
        assert await desk.refusal(f"{signed}.{part(ED.private.sign(signed.encode()))}"), headers
    assert await desk.refusal(by_hand({"alg": "ES256", "kid": 7}, {}))


@on_virtual_time
async def test_any_change_to_a_token_makes_it_nobodys() -> None:
    desk = Desk()
    token = desk.token()
    head, claims, mark = token.split(".")
    other = part(json.dumps(claims_of("desk-b", desk.now_s)).encode())
    changed = [f"{head}.{other}.{mark}", f"{head}.{claims}.{mark[:-4]}", f"{head}.{claims}.", f"{head}..{mark}"]
    changed += [token + "A" * 4, token[:-1], "." + token, token + ".", f"{head}.{claims}.{mark[:10]}AAAA{mark[14:]}"]

    for each in changed:
        assert await desk.refusal(each), each
    assert await desk.subject(token) == "desk-a"


BYTES = st.binary(max_size=40)


@given(st.text(max_size=60) | st.tuples(BYTES, BYTES, BYTES).map(lambda parts: ".".join(map(part, parts))))
def test_no_text_can_crash_the_reading_of_a_token(text: str) -> None:
    on_virtual_time(_refused)(text)


async def _refused(text: str) -> None:
    assert await Desk().refusal(text)


@given(
    head=trees("alg", "kid", "typ", "crit", "b64", "zip"),
    claims=trees("iss", "aud", "exp", "nbf", "sub", "iat"),
    kid=st.sampled_from(["rsa", "ec", "ed", ""]),
)
def test_no_odd_head_and_no_odd_claim_can_crash_the_reading(head: object, claims: object, kid: str) -> None:
    good = {"alg": "EdDSA", "kid": kid}
    signed = f"{part(good | head if isinstance(head, dict) else head)}.{part(claims)}"
    assert isinstance(ED.private, Ed25519PrivateKey)

    on_virtual_time(_refused)(f"{signed}.{part(ED.private.sign(signed.encode()))}")


@pytest.mark.parametrize("token", ["a.b", "a.b.c.d", "", "....", "é.a.b", "a" * 9000 + ".b.c", f"{part([])}.a.b"])
def test_what_does_not_look_like_a_token_is_not_looked_up(token: str) -> None:
    assert isinstance(read_head(token), str)


# -- where keys come from, and how long they serve -------------------------------------------------------------


@on_virtual_time
async def test_a_known_token_costs_neither_a_signature_nor_a_fetch() -> None:
    desk = Desk()
    token = desk.token()
    await desk.subject(token)
    desk.published = []
    desk.down = "down"

    for _ in range(100):
        assert await desk.subject(token) == "desk-a"

    assert desk.fetches == 1


@on_virtual_time
async def test_an_unknown_key_has_the_set_fetched_at_once_but_once_per_cool_down() -> None:
    desk, new = Desk(), key("ES256", "new")
    await desk.subject(desk.token())
    desk.clock.pass_s(COOL_DOWN_S)
    desk.published = [new]

    assert await desk.subject(desk.token(new)) == "desk-a"
    for n in range(50):
        assert await desk.refusal(SigningKey(f"made-up-{n}", "ES256", new.private).token({}))

    assert desk.fetches == 2
    desk.clock.pass_s(COOL_DOWN_S)
    assert await desk.refusal(SigningKey("made-up", "ES256", new.private).token({}))
    assert desk.fetches == 3


@on_virtual_time
async def test_a_crowd_that_comes_before_the_keys_waits_for_one_fetch() -> None:
    desk = Desk(takes_s=0.5)
    tokens = [desk.token(subject=f"desk-{n}") for n in range(30)]

    said = await asyncio.gather(*(desk.subject(token) for token in tokens))

    assert said == [f"desk-{n}" for n in range(30)]
    assert desk.fetches == 1


@on_virtual_time
async def test_a_key_that_is_gone_takes_along_what_was_known_by_it() -> None:
    desk = Desk()
    old, other = desk.token(), desk.token(ED)
    assert await desk.subject(old) == "desk-a"
    desk.published = [ED]
    desk.clock.pass_s(FRESH_S - 20)
    assert await desk.subject(old) == "desk-a"
    desk.clock.pass_s(20)

    assert await desk.subject(other) == "desk-a"  # this one had them fetched behind it
    await let_run()

    assert "no such key" in await desk.refusal(old)
    assert await desk.subject(other) == "desk-a"


@on_virtual_time
async def test_keys_serve_on_while_the_issuer_is_gone_and_not_for_ever() -> None:
    desk = Desk()
    await desk.subject(desk.token())
    desk.down = "the issuer did not answer in time"
    until = desk.clock.monotonic() + STALE_S

    while desk.clock.monotonic() + 60 < until:
        desk.clock.pass_s(60)
        assert await desk.subject(desk.token()) == "desk-a"
        await let_run()
    last = desk.token()
    assert await desk.subject(last) == "desk-a"
    desk.clock.pass_s(61)

    assert "cannot be had" in await desk.refusal(last)
    assert desk.fetches <= STALE_S / 60
    assert set(desk.seen) == {None, "the issuer did not answer in time"}
    desk.down = None
    desk.clock.pass_s(COOL_DOWN_S)
    assert await desk.subject(last) == "desk-a"


@on_virtual_time
async def test_an_issuer_that_was_down_at_the_start_is_taken_when_it_comes() -> None:
    desk = Desk(down="down")
    desk.keys.freshen()
    await let_run()
    token = desk.token()
    assert not desk.keys.usable
    assert "cannot be had" in await desk.refusal(token)

    desk.down = None
    desk.clock.pass_s(COOL_DOWN_S)

    assert await desk.subject(token) == "desk-a"


@on_virtual_time
async def test_what_is_known_is_bounded_and_the_oldest_goes_first() -> None:
    desk = Desk(known_most=3)
    for n in range(10):
        await desk.subject(desk.token(ED, f"desk-{n}"))

    assert [subject.name for subject in desk.tokens._known.values()] == ["desk-7", "desk-8", "desk-9"]


@on_virtual_time
async def test_closing_ends_a_fetch_that_is_in_the_air() -> None:
    desk = Desk(takes_s=60.0)
    desk.keys.freshen()
    await let_run()

    await desk.keys.aclose()
    await desk.keys.aclose()

    assert desk.seen == []
