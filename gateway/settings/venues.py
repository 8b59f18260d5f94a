"""What `[venues]` and `[callers]` may say. The names, limits and own settings of venues come from the registry."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto, unique

from gateway.core.access import Caller, Permission, is_name
from gateway.core.admission import Quota
from gateway.core.model import By, Op, Scope, VenueId
from gateway.settings.schema import Section, Wrong, nearest
from gateway.settings.syntax import base_url, token_sha256
from gateway.venues.base import Option, Site, Venue

NAME_REMEDY = "take 1 to 64 of A-Z a-z 0-9 . _ -"
WEEK_MS = 7 * 86_400_000
HASHES_MOST = 2
RESERVE_DEFAULT = 2
RESERVE_SHARE = 5  # one slot in five at the most, unless the file asks for more
ON_ORDERS = frozenset({Permission.CANCEL, Permission.URGENT, Permission.KILL})


@unique
class Certificates(Enum):
    """Whether callers can be told apart by a certificate."""

    NONE = auto()
    REQUIRED = auto()


@dataclass(frozen=True, slots=True)
class VenueSettings:
    """How one venue is dialled and how hard."""

    site: Site
    default_account: str | None
    timeout_ms: int
    batching: bool
    reserve: int
    connections: int
    limits: Mapping[str, Quota]


def read_venues(root: Section, venues: tuple[Venue, ...]) -> dict[VenueId, VenueSettings]:
    """Every venue that the file or the environment names."""
    with root.section("venues") as section:
        served = {venue.id: _venue(section, venue) for venue in venues if section.has(venue.id)}
        for name in section.names():
            if name not in {venue.id for venue in venues}:
                section.section(name)
                section.fault(name, "is no venue of this gateway", nearest(name, [venue.id for venue in venues]))
        if not served and not section.names():
            section.fault("", "names no venue, so nothing can be cancelled", "add a section such as [venues.orderly]")
        return served


def _venue(section: Section, venue: Venue) -> VenueSettings:
    with section.section(venue.id) as own:
        url = own.parsed("base_url", base_url, None, "")
        options = {name: _option(own, name, option) for name, option in venue.options.items()}
        limits = _limits(own, venue)
        return VenueSettings(
            site=Site(url, options),
            default_account=own.parsed("default_account", _account_name, "", None),
            timeout_ms=own.whole("timeout_ms", 2000, 1, 60_000),
            batching=own.flag("batching", default=True),
            reserve=_reserve(own, venue, limits),
            connections=own.whole("connections", 64, 1, 10_000),
            limits=limits,
        )


def _account_name(text: str) -> str | Wrong | None:
    return (text or None) if not text or is_name(text) else Wrong("is no valid name", NAME_REMEDY)


def _option(own: Section, name: str, option: Option) -> str | int | bool:
    match option.default:
        case bool(default):
            return own.flag(name, default)
        case int(default):
            return own.whole(name, default, option.least or 0, WEEK_MS if option.most is None else option.most)
        case str(default):
            return own.choice(name, default, option.choices) if option.choices else own.text(name, default)


def _limits(own: Section, venue: Venue) -> dict[str, Quota]:
    """The shipped limits, as the file changes them.

    `cancel_client` and the like are limits that the venue counts apart but people think of as one: what the file
    says of `cancel` holds for them too, where it says nothing of theirs.
    """
    limits: dict[str, Quota] = {}
    given: dict[str, tuple[str, ...]] = {}
    heaviest = _heaviest(venue, Op)
    too_small: set[str] = set()
    with own.section("limits") as section:
        for name in sorted(venue.quotas):  # sorted: a family stands before its members
            family = name.partition("_")[0]
            heard = {key: getattr(limits[family], key) for key in given.get(family, ())}
            with section.section(name) as limit:
                given[name] = tuple(key for key in ("tokens", "per_ms", "guard_ms", "scope") if limit.has(key))
                limits[name] = _quota(limit, replace(venue.quotas[name], **heard))
                if limits[name].tokens < heaviest[name] and family not in too_small:
                    too_small.add(name)
                    limit.fault("tokens", "is less than one request costs", f"give at least {heaviest[name]}")
    return limits


def _quota(limit: Section, shipped: Quota) -> Quota:
    return Quota(
        tokens=limit.whole("tokens", shipped.tokens, 1, 1_000_000),
        per_ms=limit.whole("per_ms", shipped.per_ms, 1, WEEK_MS),
        guard_ms=limit.whole("guard_ms", shipped.guard_ms, 0, 60_000),
        scope=Scope(limit.choice("scope", shipped.scope, list(Scope))),
    )


def _heaviest(venue: Venue, ops: Iterable[Op]) -> dict[str, int]:
    """The most that any one request costs under each limit."""
    weights: dict[str, int] = defaultdict(int)
    for charge in (charge for op in ops for by in By for charge in venue.charges(op, by)):
        weights[charge.limit] = max(weights[charge.limit], charge.weight)
    return weights


def _reserve(own: Section, venue: Venue, limits: Mapping[str, Quota]) -> int:
    """The slots kept for urgent and kill; what is left must still carry one normal cancel.

    Only the limits of single cancels count: a venue may allow no more than one batch in a window, and then the
    reserve can't be kept there.
    """
    heaviest = _heaviest(venue, (Op.CANCEL,))
    room = min((limits[name].tokens - weight for name, weight in heaviest.items()), default=RESERVE_DEFAULT)
    fewest = min((limits[name].tokens for name in heaviest), default=0)
    reserve = own.whole("reserve", max(0, min(RESERVE_DEFAULT, fewest // RESERVE_SHARE, room)), 0, 1_000_000)
    if reserve > room >= 0:
        own.fault("reserve", "leaves normal traffic too few tokens for one request", f"give at most {room}")
    return reserve


def read_callers(root: Section, venues: tuple[Venue, ...], certificates: Certificates) -> tuple[Caller, ...]:
    """Every service that may call; a token is optional only where `certificates` can tell callers apart."""
    owners: dict[str, str] = {}
    callers: list[Caller] = []
    with root.section("callers") as section:
        if not section.names():
            section.fault(
                "", "names no caller, so nobody can use the gateway", "add a section such as [callers.desk-a]"
            )
        for name, own in section.sections(is_name, NAME_REMEDY):
            with own:
                callers.append(_caller(name, own, venues, certificates))
            for digest in callers[-1].token_sha256:
                if digest in owners:
                    own.fault(
                        "token_sha256", f"is also the token of {owners[digest]}", "give each caller its own token"
                    )
                owners[digest] = name
    return tuple(callers)


def _caller(name: str, own: Section, venues: tuple[Venue, ...], certificates: Certificates) -> Caller:
    permissions = _permissions(own)
    return Caller(
        name=name,
        allow=_allow(own, venues, permissions),
        permissions=permissions,
        weight=own.whole("weight", 1, 1, 1000),
        token_sha256=_hashes(own, certificates),
    )


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


def _hashes(own: Section, certificates: Certificates) -> tuple[str, ...]:
    digests = own.texts("token_sha256", '["<64 hex digits>", "<64 hex digits>"]')
    if not own.has("token_sha256"):
        if certificates is Certificates.NONE:
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
