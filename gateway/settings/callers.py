"""What `[callers]` may say: who may call, what each may do, and what each shows to be known."""

from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.core.access import Caller, Permission, is_name
from gateway.settings.schema import Section, Wrong, nearest
from gateway.settings.syntax import certificate_name, token_sha256
from gateway.settings.venues import NAME_REMEDY
from gateway.venues.base import Venue

HASHES_MOST = 2
CEILING_DEFAULT, CEILING_MOST = 5000, 1_000_000
SUBJECT_MOST = 512
ON_ORDERS = frozenset({Permission.CANCEL, Permission.URGENT, Permission.KILL})


@dataclass(frozen=True, slots=True)
class Ways:
    """How callers can be known besides static tokens."""

    certificates: bool
    issuer: bool


@dataclass(frozen=True, slots=True)
class _Owners:
    """Who shows what; nothing may be shown by two."""

    tokens: dict[str, str] = field(default_factory=dict)
    subjects: dict[str, str] = field(default_factory=dict)
    certificates: dict[str, str] = field(default_factory=dict)


def read_callers(root: Section, venues: tuple[Venue, ...], ways: Ways) -> tuple[Caller, ...]:
    """Every service that may call; a token is optional where something else can tell callers apart."""
    owners = _Owners()
    callers: list[Caller] = []
    with root.section("callers") as section:
        if not section.names():
            section.fault(
                "", "names no caller, so nobody can use the gateway", "add a section such as [callers.desk-a]"
            )
        for name, own in section.sections(is_name, NAME_REMEDY):
            with own:
                callers.append(_caller(name, own, venues, ways))
            _claim_all(own, callers[-1], owners)
    return tuple(callers)


def _claim_all(own: Section, caller: Caller, owners: _Owners) -> None:
    """Two callers that show the same could not be told apart."""
    shown = (
        ("token_sha256", "token", caller.token_sha256, owners.tokens),
        ("subjects", "subject", caller.subjects or (caller.name,), owners.subjects),
        ("certificates", "certificate", caller.certificates, owners.certificates),
    )
    for key, what, values, owned in shown:
        for value in values:
            if value in owned:
                own.fault(key, f"is also the {what} of {owned[value]}", f"give each caller its own {what}")
            owned[value] = caller.name


def _caller(name: str, own: Section, venues: tuple[Venue, ...], ways: Ways) -> Caller:
    permissions = _permissions(own)
    certificates = _certificates(name, own, ways)
    return Caller(
        name=name,
        allow=_allow(own, venues, permissions),
        permissions=permissions,
        weight=own.whole("weight", 1, 1, 1000),
        token_sha256=_hashes(own, needed=not (certificates or ways.issuer)),
        subjects=_subjects(own, ways),
        certificates=certificates,
        max_requests_per_second=own.whole("max_requests_per_second", CEILING_DEFAULT, 1, CEILING_MOST),
    )


def _certificates(name: str, own: Section, ways: Ways) -> tuple[str, ...]:
    """The names that are given; its own for a caller that has nothing else to be known by."""
    if not own.has("certificates"):
        return (name.lower(),) if ways.certificates and not ways.issuer and not own.has("token_sha256") else ()
    names = _each(own, "certificates", '["desk-a.internal", "spiffe://mesh/desk-a"]', certificate_name)
    if names and not ways.certificates:
        own.fault("certificates", "are not asked for", "set server.tls_client_ca, or take this out")
    return names


def _subjects(own: Section, ways: Ways) -> tuple[str, ...]:
    if not own.has("subjects"):
        return ()
    subjects = _each(own, "subjects", '["system:serviceaccount:trading:desk-a"]', _subject)
    if subjects and not ways.issuer:
        own.fault("subjects", "are of no use without an issuer", "add the section [auth.jwt], or take this out")
    return subjects


def _subject(text: str) -> str | Wrong:
    if 0 < len(text) <= SUBJECT_MOST and text.isprintable():
        return text
    return Wrong("holds something else than a subject", f"give 1 to {SUBJECT_MOST} visible characters")


def _each(own: Section, key: str, example: str, parse: Callable[[str], str | Wrong]) -> tuple[str, ...]:
    """A list of texts with a syntax of their own, each once."""
    taken: dict[str, None] = {}
    for text in own.texts(key, example):
        value = parse(text)
        if isinstance(value, Wrong):
            own.fault(key, value.problem, value.remedy)
        else:
            taken[value] = None
    return tuple(taken)


def _permissions(own: Section) -> frozenset[Permission]:
    names = own.texts("permissions", '["cancel", "read"]')
    if not own.has("permissions"):
        return frozenset({Permission.CANCEL, Permission.READ})
    for name in names:
        if name not in list(Permission):
            own.fault("permissions", "holds an unknown permission", "take from " + ", ".join(Permission))
    return frozenset(Permission(name) for name in names if name in list(Permission))


def _allow(own: Section, venues: tuple[Venue, ...], permissions: frozenset[Permission]) -> tuple[str, ...]:
    patterns = own.texts("allow", '["orderly:*"]')
    if not own.has("allow") and permissions & ON_ORDERS:
        own.fault("allow", "is missing, so the caller could cancel nothing", 'give a list such as ["orderly:*"]')
    known = {"*"} | {venue.id for venue in venues}
    for pattern in patterns:
        venue, colon, account = pattern.partition(":")
        if not colon or not (account == "*" or is_name(account)):
            own.fault("allow", "holds something else than venue:account", "* may stand alone on either side")
        elif venue not in known:
            own.fault("allow", "names an unknown venue", nearest(venue, known))
    return patterns


def _hashes(own: Section, *, needed: bool) -> tuple[str, ...]:
    digests = own.texts("token_sha256", '["<64 hex digits>", "<64 hex digits>"]')
    if not own.has("token_sha256"):
        if needed:
            own.fault("token_sha256", "is missing", "`cancel-gateway token new CALLER` prints the line")
        return ()
    if not 1 <= len(digests) <= HASHES_MOST:
        own.fault("token_sha256", "must be one hash, or two while a token is replaced", "give one or two")
        return ()
    parsed = [token_sha256(digest) for digest in digests]
    for wrong in parsed:
        if isinstance(wrong, Wrong):
            own.fault("token_sha256", wrong.problem, wrong.remedy)
    return tuple(digest for digest in parsed if not isinstance(digest, Wrong))
