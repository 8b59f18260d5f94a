"""What one replica may use when it cannot ask the others: its guaranteed part of each limit."""

from dataclasses import replace

from gateway.core.admission import Demand


def share(demand: Demand, replicas_most: int) -> Demand | None:
    """The demand under this replica's part; None where a part is too small for even one such request.

    All parts together never exceed the limit, however the replicas' windows lie to each other. A part that is
    smaller than the request would need turns, and turns need somebody to give them out: nothing is sent then.
    """
    part = demand.keep // replicas_most
    if part < demand.weight:
        return None
    reserve = demand.keep - demand.tokens
    return replace(demand, tokens=max(demand.weight, part - reserve), keep=part)
