"""`demo`: everything on one machine, from nothing, with the first cancels shown and the rest left running."""

import json
import os
import secrets
import socket
import sys
from argparse import Namespace
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.serve import EXIT_USAGE, run_loop, serve_until_signalled

if TYPE_CHECKING:
    from argparse import ArgumentParser, _SubParsersAction

    from gateway.sandbox.server import Sandbox

ACCOUNT = "desk-a"
PORT, ADMIN_PORT = 8080, 9090
ORDERS_EACH = 3
SYMBOLS = {"orderly": "PERP_ETH_USDC"}

CONFIG = """# Written by `cancel-gateway demo`; its token is made anew each time.
[server]
listen = "127.0.0.1:{port}"
admin_listen = "127.0.0.1:{admin_port}"

[redis]
url = "embedded"
data_dir = "redis"

[secrets]
provider = "files"
directory = "secrets"

[callers.demo]
token_sha256 = "{token_sha256}"
allow = ["*:*"]
permissions = ["cancel", "urgent", "read", "kill", "admin"]
"""
VENUE = """
[venues.{venue}]
base_url = "{base_url}"
default_account = "{account}"
"""


@dataclass(frozen=True, slots=True)
class Order:
    """An open order of the sandbox, and how to have it cancelled."""

    venue: str
    order_id: str
    status: str

    @property
    def path(self) -> str:
        """What follows the gateway's address."""
        symbol = f"&symbol={SYMBOLS[self.venue]}" if self.venue in SYMBOLS else ""
        return f"/orders/{self.venue}/{self.order_id}?by=order_id{symbol}"


def add(commands: "_SubParsersAction[ArgumentParser]") -> None:
    """Register the command."""
    demo = commands.add_parser("demo", help="embedded Redis, five sandbox venues and a gateway, ready to try")
    demo.add_argument("--directory", type=Path, default=Path(".run/demo"), help="where its files go")
    demo.add_argument("--port", type=int, default=PORT, help="of the gateway; default: %(default)s")
    demo.add_argument(
        "--admin-port", type=int, default=ADMIN_PORT, help="of /console and /metrics; default: %(default)s"
    )
    demo.add_argument("--once", action="store_true", help="stop after the first cancels")
    demo.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Run it."""
    try:
        return run_loop(_demo(options))
    except KeyboardInterrupt:
        return 0


async def _demo(options: Namespace) -> int:
    from gateway.sandbox.config import DEFAULT_PORTS, FREE_PORTS, SandboxConfig
    from gateway.sandbox.server import running
    from gateway.settings import Settings, load
    from gateway.venues import ALL

    taken = any(_in_use(port) for port in DEFAULT_PORTS.values())
    async with running(SandboxConfig(ports=FREE_PORTS if taken else DEFAULT_PORTS)) as sandbox:
        token = "demo-" + secrets.token_urlsafe(18)
        config = _write(options, sandbox, token)
        settings = load(config, os.environ, ALL)
        if not isinstance(settings, Settings):
            print(settings, file=sys.stderr)
            return EXIT_USAGE

        async def show(url: str, admin_url: str) -> None:
            open_orders = await _make_orders(sandbox)
            print(f"\ngateway   {url}\nadmin     {admin_url}  (/docs /metrics /healthz /readyz)")
            print(f"console   {admin_url}/console#token={token}")
            print("\n".join(f"{venue.id:<9} {venue.base_url}" for venue in sandbox.venues.values()))
            print(f"files     {config.parent}  (config, secrets, gateway.log)\n")
            await _first_cancels(url, token, open_orders)
            if options.once:
                os.kill(os.getpid(), 15)
                return
            _invite(url, token, open_orders, config)

        # Never closed here: the last lines are written when the process ends.
        log_file = os.open(config.parent / "gateway.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        return await serve_until_signalled(settings, show, log_file)


def _write(options: Namespace, sandbox: "Sandbox", token: str) -> Path:
    """The config and the sandbox's published test credentials, as files."""
    from gateway.sandbox.config import DEFAULT_CREDENTIALS

    folder: Path = options.directory.absolute()
    for venue, accounts in DEFAULT_CREDENTIALS.items():
        where = folder / "secrets" / venue
        where.mkdir(mode=0o700, parents=True, exist_ok=True)
        for account, fields in accounts.items():
            (where / f"{account}.json").write_text(json.dumps(fields))
            (where / f"{account}.json").chmod(0o600)
    text = CONFIG.format(
        port=_free(options.port),
        admin_port=_free(options.admin_port),
        token_sha256=sha256(token.encode()).hexdigest(),
    )
    for venue_id, running_venue in sandbox.venues.items():
        text += VENUE.format(venue=venue_id, base_url=running_venue.base_url, account=ACCOUNT)
    config = folder / "config.toml"
    config.write_text(text)
    return config


def _free(port: int) -> int:
    """The port that was asked for, or any free one where somebody has it."""
    return port if not _in_use(port) else 0


def _in_use(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def _make_orders(sandbox: "Sandbox") -> dict[str, list[Order]]:
    made = {}
    for venue in sandbox.venues.values():
        asked = {"count": ORDERS_EACH, "account": ACCOUNT} | (
            {"symbol": SYMBOLS[venue.id]} if venue.id in SYMBOLS else {}
        )
        answer = await _call("POST", f"{venue.control_url}/_sandbox/orders", {}, asked)
        orders = answer["orders"]
        assert isinstance(orders, list)  # noqa: S101  our own sandbox says so
        made[venue.id] = [Order(venue.id, str(order["order_id"]), str(order["status"])) for order in orders]
    return made


async def _first_cancels(url: str, token: str, open_orders: Mapping[str, list[Order]]) -> None:
    """One at each venue, and what came of it."""
    print(f"{'venue':<10}{'order':<70}{'outcome':<12}{'venue said':<14}{'ms':>7}")
    for orders in open_orders.values():
        order = orders[0]
        answer = await _call("DELETE", url + order.path, {"Authorization": f"Bearer {token}"}, None)
        said, took = answer.get("venue_status") or "-", answer.get("venue_ms")
        took_ms = f"{took:.1f}" if isinstance(took, float) else "-"
        print(f"{order.venue:<10}{order.order_id:<70}{answer['outcome']!s:<12}{said!s:<14}{took_ms:>7}")


def _invite(url: str, token: str, open_orders: Mapping[str, list[Order]], config: Path) -> None:
    """Lines to paste."""
    print("\nOrders that are still open; paste one of these:\n")
    for orders in open_orders.values():
        print(f"  curl -X DELETE -H 'Authorization: Bearer {token}' '{url}{orders[1].path}'")
    print(f"\n  curl -H 'Authorization: Bearer {token}' {url}/venues")
    print(f"\n  export CANCEL_GATEWAY_URL={url} CANCEL_GATEWAY_TOKEN={token}")
    print("  .venv/bin/cancel-gateway status")
    print(f"\n  .venv/bin/cancel-gateway audit verify --config {config} --anchors {config.parent / 'gateway.log'}")
    print("\nCtrl-C stops everything.", flush=True)


async def _call(method: str, url: str, headers: Mapping[str, str], body: object) -> dict[str, object]:
    from aiohttp import ClientSession

    async with ClientSession() as session, session.request(method, url, headers=headers, json=body) as reply:
        answer = await reply.json(content_type=None)
        assert isinstance(answer, dict)  # noqa: S101  our own services say so
        return answer
