"""The other ends of bench/passthrough.py, each a process of its own: `upstream`, and `forward PORT`."""

import asyncio
import re
import sys
from typing import cast

import aiohttp
import uvloop
from aiohttp import web
from yarl import URL

ORDER = re.compile(rb"[?&]orderId=(\d+)")
BODY = (
    b'{"accountId":"1","symbol":"BTCUSDT","clientOrderId":"c","orderId":"%s","transactTime":"1700000000000",'
    b'"price":"1","origQty":"1","executedQty":"0","status":"CANCELED","timeInForce":"GTC","type":"LIMIT","side":"BUY"}'
)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


class Upstream(asyncio.Protocol):
    """A venue that says CANCELED to everything, in HashKey's shape."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head, self.buffer = self.buffer[:end], self.buffer[end + 4 :]
            found = ORDER.search(head)
            body = BODY % (found[1] if found else b"0")
            self.transport.write(HEAD % len(body) + body)


async def upstream() -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def forward(port: int) -> None:
    """The least that an aiohttp service can do: take the request, pass it on, give back the answer."""
    session = aiohttp.ClientSession()

    async def handle(request: web.Request) -> web.Response:
        order = request.match_info["ref"]
        url = URL(f"http://127.0.0.1:{port}/api/v1/spot/order?orderId={order}&timestamp=1&signature=0", encoded=True)
        async with session.request("DELETE", url, headers={"X-HK-APIKEY": "k"}) as response:
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


if __name__ == "__main__":
    uvloop.run(upstream() if sys.argv[1] == "upstream" else forward(int(sys.argv[2])))
