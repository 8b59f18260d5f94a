"""A cancel from both sides: what its caller was told, and what the venue's own book says of it."""

from dataclasses import dataclass
from typing import Any

from service_rig import Rig, Said

GONE = {"cancelled", "already_cancelled"}
# What says that this cancel did nothing: whoever is told so may act as if it had never been sent.
DID_NOTHING = {
    "venue_limited", "venue_banned", "venue_auth", "venue_unavailable", "rejected", "over_deadline", "draining",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sides:
    """One cancel."""

    told: Said
    order_id: str
    requests: int
    """How many cancels the venue has read since, of whatever order."""
    status: str
    """The order's, in the book, right after the answer."""

    @property
    def said(self) -> tuple[int, str]:
        return self.told.status, self.told.outcome


async def both_sides(
    rig: Rig,
    venue: str,
    *faults: dict[str, object],
    headers: dict[str, str] | None = None,
    account: str = "desk-a",
    **query: str,
) -> Sides:
    """One cancel of a new order, which meets these faults."""
    order = await rig.order(venue, account=account)
    return await again(rig, venue, order, *faults, headers=headers, account=account, **query)


async def again(
    rig: Rig,
    venue: str,
    order: dict[str, Any],
    *faults: dict[str, object],
    headers: dict[str, str] | None = None,
    **query: str,
) -> Sides:
    """One cancel of this order."""
    listed = [{"endpoint": "cancel"} | fault for fault in faults]
    assert "error" not in await rig.venue(venue).control("POST", "faults", {"faults": listed})
    before = await cancels_read(rig, venue)
    told = await rig.desk().cancel(venue, order["order_id"], headers, **query)
    requests = await cancels_read(rig, venue) - before
    await rig.venue(venue).control("DELETE", "faults")
    return Sides(told, order["order_id"], requests, await rig.venue(venue).status_of(order["order_id"]))


async def cancels_read(rig: Rig, venue: str) -> int:
    """How many cancels a venue has read, answered or not."""
    stats = await rig.venue(venue).stats()
    return sum(count for name, count in stats["requests"].items() if "cancel" in name)


def check_true(sides: Sides) -> None:
    """No success and no failure that the book does not have."""
    if sides.told.outcome in GONE:
        assert sides.status == "cancelled", sides
    if sides.told.outcome == "too_late_filled":
        assert sides.status == "filled", sides
    if sides.told.outcome in DID_NOTHING:
        assert sides.status != "cancelled", sides


async def record_of(rig: Rig, sides: Sides) -> dict[str, Any]:
    """The record, which a look at it resolves."""
    read: dict[str, Any] = (await rig.desk().call("GET", sides.told.json["record"])).json
    return read
