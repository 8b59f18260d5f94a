"""Which master of a cluster has which slots, as one of its nodes told it. No I/O here."""

from dataclasses import dataclass, field

from gateway.backends.redis.wire import Answer, Reply
from gateway.core.redis_address import Place, SocketFile, Spot

SLOTS = 16_384
SHAPE = "an answer of another shape"


@dataclass(slots=True)
class SlotMap:
    """Who serves what; changes only by a slot that moved."""

    owners: list[Spot | None] = field(default_factory=lambda: [None] * SLOTS, repr=False)
    masters: frozenset[str] = frozenset()
    """Their ids, which stay when their addresses change."""

    @property
    def empty(self) -> bool:
        """Whether nobody is known to serve anything."""
        return not self.masters

    @property
    def whole(self) -> bool:
        """Whether every slot is served."""
        return None not in self.owners

    def spots(self) -> tuple[Spot, ...]:
        """Every master's place, once."""
        return tuple(dict.fromkeys(owner for owner in self.owners if owner is not None))


def read_slots(answer: Answer, asked: Spot) -> SlotMap | str:
    """What CLUSTER SLOTS says, or what is wrong with it."""
    ranges = answer if isinstance(answer, list) else []
    owners: list[Spot | None] = [None] * SLOTS
    masters: set[str] = set()
    for one in ranges:
        match one:
            case [int(first), int(last), [host, int(port), bytes(name), *_], *_]:
                owners[first : last + 1] = [_spot(host, port, asked)] * (last + 1 - first)
                masters.add(name.decode("ascii", "replace"))
            case _:
                return SHAPE
    if len(owners) != SLOTS:
        return SHAPE
    return SlotMap(owners, frozenset(masters)) if masters else "refused (CLUSTERDOWN no slots are served)"


def target_of(redirection: str, asked: Spot) -> Spot | None:
    """Where `MOVED 3999 10.0.0.1:6381` leads; None where it leads nowhere."""
    host, _, port = redirection.rpartition(" ")[2].rpartition(":")
    return _spot(host.encode(), int(port), asked) if port.isdigit() else None


def _spot(host: Reply, port: int, asked: Spot) -> Spot:
    """An empty or unknown host means: the one that you have asked."""
    name = host.decode("ascii", "replace").strip("[]") if isinstance(host, bytes) else ""
    if name in {"", "?"}:
        name = "localhost" if isinstance(asked, SocketFile) else asked.host
    return Place(name, port)
