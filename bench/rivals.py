"""What a user would pick instead, each a process of its own; written as fairly as we know how. For bench/side_by_side.

python -m bench.rivals least UPSTREAM_PORT REDIS_SOCKET     the least that the job needs, on aiohttp
python -m bench.rivals fastapi UPSTREAM_PORT REDIS_SOCKET   a typical gateway: FastAPI, httpx, redis-py
python -m bench.rivals ccxt EXCHANGE UPSTREAM_PORT          no gateway: ccxt in the caller's process
"""

import asyncio
import hashlib
import hmac
import logging
import os
import sys
import time
from typing import TYPE_CHECKING, Annotated

import uvloop

from gateway.sandbox.config import DEFAULT_CREDENTIALS

if TYPE_CHECKING:
    from collections.abc import Awaitable

KEY, SECRET, TOKEN = "k" * 32, b"s" * 32, "bench-token"
# The token bucket that is found in most places: refilled by the client's clock, one key.
BUCKET = """
local b = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(b[1]) or tonumber(ARGV[1]), tonumber(b[2]) or tonumber(ARGV[3])
tokens = math.min(tonumber(ARGV[1]), tokens + (tonumber(ARGV[3]) - at) * tonumber(ARGV[2]))
if tokens < 1 then return 0 end
redis.call('HSET', KEYS[1], 'tokens', tokens - 1, 'at', ARGV[3])
redis.call('PEXPIRE', KEYS[1], 60000)
return 1
"""
LIMIT = (100_000, 100_000)
MARKETS: dict[str, tuple[dict[str, object], str]] = {
    "hashkey": (
        {
            "id": "BTCUSDT",
            "spot": True,
            "type": "spot",
            "base": "BTC",
            "quote": "USDT",
            "contract": False,
            "swap": False,
        },
        "BTC/USDT",
    ),
    "woofipro": (
        {
            "id": "PERP_ETH_USDC",
            "swap": True,
            "type": "swap",
            "base": "ETH",
            "quote": "USDC",
            "contract": True,
            "spot": False,
        },
        "ETH/USDC:USDC",
    ),
}


def signed(order: str) -> str:
    query = f"orderId={order}&timestamp={int(time.time() * 1000)}"
    return f"{query}&signature={hmac.new(SECRET, query.encode(), hashlib.sha256).hexdigest()}"


async def least(upstream: int, redis_socket: str) -> None:
    """A bare pass-through with one Redis round trip and one signature: no record, no metric, no log, no promise."""
    import aiohttp
    from aiohttp import web
    from redis.asyncio import Redis
    from yarl import URL

    session, redis = aiohttp.ClientSession(), Redis(unix_socket_path=redis_socket)
    bucket = redis.register_script(BUCKET)

    async def handle(request: web.Request) -> web.Response:
        order = request.match_info["ref"]
        await bucket(keys=["least"], args=[*LIMIT, time.time()])
        url = URL(f"http://127.0.0.1:{upstream}/api/v1/spot/order?{signed(order)}", encoded=True)
        async with session.request("DELETE", url, headers={"X-HK-APIKEY": KEY}) as response:
            body = await response.read()
        return web.Response(status=response.status, body=body, content_type="application/json")

    app = web.Application()
    app.router.add_delete("/orders/{venue}/{ref}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(site.port, flush=True)
    await asyncio.Event().wait()


def fastapi(upstream: int, redis_socket: str) -> None:
    """What a good team writes in a week: a limit, a key, a signature, a metric, a log line. None of the promises."""
    import socket

    import httpx
    import orjson
    import prometheus_client
    import structlog
    import uvicorn
    from fastapi import Depends, FastAPI, Header, HTTPException
    from pydantic import BaseModel
    from redis.asyncio import Redis

    app, redis = FastAPI(), Redis(unix_socket_path=redis_socket)
    bucket, client = redis.register_script(BUCKET), httpx.AsyncClient(base_url=f"http://127.0.0.1:{upstream}")
    count = prometheus_client.Counter("cancels", "Cancels.", ["venue", "outcome"])
    seconds = prometheus_client.Histogram("cancel_seconds", "From request to answer.", ["venue"])
    structlog.configure(
        processors=[structlog.processors.TimeStamper("iso"), structlog.processors.JSONRenderer(orjson.dumps)],
        logger_factory=structlog.BytesLoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
    log = structlog.get_logger()

    class Cancelled(BaseModel):
        outcome: str
        venue: str
        order_id: str
        venue_status: str | None

    async def caller(authorization: str = Header()) -> str:
        if not hmac.compare_digest(authorization, f"Bearer {TOKEN}"):
            raise HTTPException(401)
        return "bench"

    @app.delete("/orders/{venue}/{ref}")  # type: ignore[untyped-decorator,unused-ignore]  # typed in its own lock
    async def cancel(venue: str, ref: str, by: str, who: Annotated[str, Depends(caller)]) -> Cancelled:
        began = time.perf_counter()
        if not await redis.set(f"key:{who}:{venue}:{ref}", "sent", nx=True, ex=86_400):
            raise HTTPException(409)
        if not await bucket(keys=[f"limit:{venue}"], args=[*LIMIT, time.time()]):
            raise HTTPException(429)
        response = await client.delete(f"/api/v1/spot/order?{signed(ref)}", headers={"X-HK-APIKEY": KEY})
        status = response.json().get("status")
        outcome = "cancelled" if status == "CANCELED" else "unknown"
        await redis.set(f"key:{who}:{venue}:{ref}", outcome, ex=86_400)
        count.labels(venue, outcome).inc()
        seconds.labels(venue).observe(time.perf_counter() - began)
        log.info("cancel.done", caller=who, venue=venue, ref=ref, by=by, outcome=outcome)
        return Cancelled(outcome=outcome, venue=venue, order_id=ref, venue_status=status)

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    print(listener.getsockname()[1], flush=True)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads the log
    config = uvicorn.Config(app, loop="uvloop", http="httptools", access_log=False, log_level="warning")
    uvicorn.Server(config).run(sockets=[listener])


async def in_process(name: str, upstream: int) -> None:
    """What one cancel costs a trading process that calls the venue itself.

    For each line `COUNT LANES` on standard input it prints CPU microseconds per cancel, and cancels per second.
    """
    import ccxt.async_support as ccxt

    known = {"apiKey": KEY, "secret": SECRET.decode(), "accountId": "0x" + "a1" * 32, "enableRateLimit": False}
    if name == "woofipro":
        known["secret"] = DEFAULT_CREDENTIALS["orderly"]["desk-a"]["private_key"]
    venue = getattr(ccxt, name)(known)
    venue.urls["api"] = dict.fromkeys(venue.urls["api"], f"http://127.0.0.1:{upstream}")
    kind, symbol = MARKETS[name]
    market = {"id": kind["id"], "symbol": symbol, "precision": {}, "limits": {}} | kind
    venue.set_markets([venue.safe_market_structure(market)])

    async def lane(first: int, last: int) -> None:
        for order in range(first, last):
            await venue.cancel_order(str(order), symbol)

    async def crowd(how_many: int, lanes: int) -> None:
        each = how_many // lanes
        work: list[Awaitable[None]] = [lane(n * each, (n + 1) * each) for n in range(lanes)]
        await asyncio.gather(*work)

    try:
        while line := await asyncio.to_thread(sys.stdin.readline):
            count, lanes = map(int, line.split())
            busy, began = time.process_time(), time.perf_counter()
            await crowd(count, lanes)
            done = count // lanes * lanes
            print((time.process_time() - busy) / done * 1e6, done / (time.perf_counter() - began), flush=True)
    finally:
        await venue.close()


if __name__ == "__main__":
    what, port, *rest = sys.argv[1:]
    if what == "least":
        uvloop.run(least(int(port), rest[0]))
    elif what == "fastapi":
        fastapi(int(port), rest[0])
    else:
        uvloop.run(in_process(port, int(rest[0])))
