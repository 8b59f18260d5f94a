"""One call, as often as it takes and is safe: the same key each time, within one deadline."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.client.call import pause_ms, told_ms
from gateway.client.doubt import Told, certain
from gateway.client.exchange import Exchange, Heard, Unreachable
from gateway.client.times import Times
from gateway.core.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Call:
    """What is sent in each attempt."""

    method: str
    target: str
    headers: Mapping[str, str]
    timeout_s: float


async def until_told(
    exchange: Exchange,
    times: Times,
    call: Call,
    read: Callable[[Heard, int], Told | None],
    blank: Callable[[int], Told],
) -> Told:
    """The answer; `unknown` where it may have been sent and nobody said what became of it; else Unreachable."""
    deadline = times.now() + call.timeout_s
    tries, in_doubt, reason, told = 0, False, "", None
    while (left_s := deadline - times.now()) > 0:
        tries += 1
        headers = {**call.headers, "X-Request-Timeout-Ms": str(told_ms(left_s))}
        heard = await exchange.ask(call.method, call.target, headers, left_s)
        told = read(heard, tries) if isinstance(heard, Heard) else None
        if isinstance(heard, Heard):
            in_doubt = in_doubt or told is None
            reason = f"an answer that is not the gateway's, with status {heard.status}"
            if told is None or told.outcome is Outcome.DRAINING:
                exchange.go_on()
        else:
            in_doubt, reason = in_doubt or heard.sent, heard.reason
        pause = pause_ms(told, tries, times.chance())
        if pause is None or times.now() + pause / 1000 >= deadline:
            break
        await times.rest(pause / 1000)
    final = certain(told, blank(tries), in_doubt=in_doubt)
    if final is None:
        raise Unreachable(reason)
    return final
