"""The real command line, as a process; and a whole gateway with its sandbox, as `demo` runs it."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

LAST_LINE = "Ctrl-C stops everything."
ORDER = re.compile(r"/orders/(?P<venue>\w+)/(?P<ref>\w+)\?by=order_id(?:&symbol=(?P<symbol>\w+))?'")
END_S = 20


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str


def command(*words: str) -> list[str]:
    """The command line as a person would type it, without an installed script."""
    return [sys.executable, "-m", "gateway", *words]


def run(*words: str, url: str | None = None, token: str | None = None) -> Said:
    """One command, with nothing of ours in its environment but this."""
    own = {"CANCEL_GATEWAY_URL": url, "CANCEL_GATEWAY_TOKEN": token}
    plain = {name: value for name, value in os.environ.items() if not name.startswith("CANCEL_GATEWAY")}
    environment = plain | {name: value for name, value in own.items() if value is not None}
    ended = subprocess.run(  # noqa: S603  our own program
        command(*words), capture_output=True, text=True, timeout=END_S, check=False, env=environment
    )
    return Said(ended.returncode, ended.stdout, ended.stderr)


@dataclass(frozen=True, slots=True)
class Order:
    """An open order of the sandbox, as the demo offers it."""

    venue: str
    ref: str
    symbol: str | None

    @property
    def words(self) -> tuple[str, ...]:
        """What follows `cancel`."""
        return (self.venue, self.ref, "--by", "order_id", *(("--symbol", self.symbol) if self.symbol else ()))


@dataclass(frozen=True, slots=True)
class Demo:
    """A running demo."""

    process: subprocess.Popen[str]
    text: str
    url: str
    token: str
    venue_urls: dict[str, str]
    admin_url: str

    def run(self, *words: str) -> Said:
        """One command against it."""
        return run(*words, url=self.url, token=self.token)

    def new_order(self, venue: str) -> Order:
        """One more open order."""
        symbol = "PERP_ETH_USDC" if venue == "orderly" else None
        asked = {"count": 1, "account": "desk-a"} | ({"symbol": symbol} if symbol else {})
        made = self.control(venue, "orders", asked)["orders"]
        assert isinstance(made, list)
        return Order(venue, str(made[0]["order_id"]), symbol)

    def control(self, venue: str, what: str, asked: dict[str, object]) -> dict[str, object]:
        """Tell a sandbox venue something."""
        root = "/".join(self.venue_urls[venue].split("/")[:3])
        request = Request(f"{root}/_sandbox/{what}", json.dumps(asked).encode(), {"Content-Type": "application/json"})  # noqa: S310  our own
        with urlopen(request, timeout=END_S) as reply:  # noqa: S310  likewise
            answer = json.loads(reply.read())
        assert isinstance(answer, dict)
        return answer


@contextmanager
def demo_running(directory: Path) -> Iterator[Demo]:
    """`demo` from its last line until it is told to stop."""
    words = command("demo", "--directory", str(directory), "--port", "0", "--admin-port", "0")
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603  our own program
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if LAST_LINE in line:
                break
        text = "".join(lines)
        try:
            yield _demo(process, text)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(END_S)


def _demo(process: subprocess.Popen[str], text: str) -> Demo:
    exported = re.search(r"CANCEL_GATEWAY_URL=(\S+) CANCEL_GATEWAY_TOKEN=(\S+)", text)
    assert exported is not None, text
    venue_urls = dict(re.findall(r"^(orderly|hashkey|loopring|etna|b2trader) +(http://\S+)$", text, re.MULTILINE))
    admin = re.search(r"^admin +(\S+)", text, re.MULTILINE)
    assert admin is not None, text
    return Demo(process, text, exported[1], exported[2], venue_urls, admin[1])
