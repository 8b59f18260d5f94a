"""The two ends of every comparison, each a process of its own: the venues (`upstream`), and `forward PORT`."""

import asyncio
import re
import sys
from typing import cast

import aiohttp
import uvloop
from aiohttp import web
from yarl import URL

from bench.shapes import reply_to

LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")  # ccxt sends HashKey's parameters as a body


class Upstream(asyncio.Protocol):
    """A venue that takes every cancel, in the shape of whichever of the five is asked."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end]
            whole = end + 4 + (int(found[1]) if (found := LENGTH.search(head)) else 0)
            if len(self.buffer) < whole:
                return
            self.buffer = self.buffer[whole:]
            self.transport.write(reply_to(head))


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
