"""What `[venues]` may say. The names, limits and own settings of venues come from the registry."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from gateway.core.access import is_name
from gateway.core.admission import Quota
from gateway.core.model import By, Op, Scope, VenueId
from gateway.settings.schema import Section, Wrong, nearest
from gateway.settings.syntax import base_url
from gateway.venues.base import Option, Site, Venue

NAME_REMEDY = "take 1 to 64 of A-Z a-z 0-9 . _ -"
WEEK_MS = 7 * 86_400_000
RESERVE_DEFAULT = 2
RESERVE_SHARE = 5  # one slot in five at the most, unless the file asks for more


@dataclass(frozen=True, slots=True)
class VenueSettings:
    """How one venue is dialled and how hard."""

    site: Site
    default_account: str | None
    timeout_ms: int
    batching: bool
    breaker: bool
    cancel_all: bool
    reserve: int
    connections: int
    warm_connections: int
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
            breaker=own.flag("breaker", default=True),
            cancel_all=own.flag("cancel_all", default=True),
            reserve=_reserve(own, venue, limits),
            connections=own.whole("connections", 64, 1, 10_000),
            warm_connections=own.whole("warm_connections", 2, 0, 64),
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
