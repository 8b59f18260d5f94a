"""The open-loop driver charges a stall to everybody who would have come meanwhile."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.pace import due_times, pace, quantile

STALL_S, PER_S, SECONDS = 0.5, 100.0, 1.0
REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@contextmanager
def stalling_server() -> Iterator[int]:
    """Answers at once, but for one pause of half a second in which it does nothing at all."""
    loop, port = asyncio.new_event_loop(), list[int]()
    up, began, servers = threading.Event(), list[float](), list[asyncio.Server]()

    class Stalling(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            if not began:
                began.append(time.monotonic())
                time.sleep(STALL_S)
            self.transport.write(REPLY * data.count(b"\r\n\r\n"))

    async def serve() -> None:
        server = await loop.create_server(Stalling, "127.0.0.1", 0)
        servers.append(server)
        port.append(server.sockets[0].getsockname()[1])
        up.set()

    thread = threading.Thread(target=lambda: (loop.run_until_complete(serve()), loop.run_forever()))
    thread.start()
    up.wait()
    yield port[0]
    loop.call_soon_threadsafe(servers[0].close)
    loop.call_soon_threadsafe(loop.call_later, 0.1, loop.stop)  # whoever hung up is seen to have
    thread.join()
    loop.close()


def test_a_stall_is_charged_to_all_who_were_due_meanwhile() -> None:
    times = due_times(PER_S, SECONDS, seed=1)
    with stalling_server() as port:
        (seen,) = pace((port, times, lambda n: b"DELETE /%d HTTP/1.1\r\n\r\n" % n))

    assert seen.statuses == {200: len(times)}
    stalled = sum(due - times[0] < STALL_S for due in times)
    assert sum(latency > 20 for latency in seen.latencies_ms) >= 0.8 * stalled
    assert quantile(seen.latencies_ms, 1.0) >= 0.9 * STALL_S * 1000


def test_due_times_are_the_same_for_the_same_seed_and_as_many_as_asked_for() -> None:
    times = due_times(200.0, 10.0, seed=3)

    assert times == due_times(200.0, 10.0, seed=3) != due_times(200.0, 10.0, seed=4)
    assert 1800 < len(times) < 2200
    assert times == sorted(times)
