"""HTTP to a running gateway, with the standard library alone: an on-call tool starts at once and always works."""

import http.client
import json
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

URL_VARIABLE, TOKEN_VARIABLE = "CANCEL_GATEWAY_URL", "CANCEL_GATEWAY_TOKEN"
DEFAULT_URL = "http://127.0.0.1:8080"
EXIT_OK, EXIT_REFUSED, EXIT_USAGE, EXIT_UNKNOWN, EXIT_UNREACHABLE = 0, 1, 2, 3, 4
EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 130, 141  # as shells count signals


@dataclass(frozen=True, slots=True)
class Heard:
    """What the gateway answered."""

    status: int
    headers: Mapping[str, str]
    body: Mapping[str, object]

    def text(self, name: str) -> str:
        """One member as text; empty where it is not there."""
        value = self.body.get(name)
        return "" if value is None else str(value)


class Unreachable(Exception):  # noqa: N818  the gateway is not there; the tool did nothing wrong
    """No answer that could be read."""


def connect_arguments(parser: ArgumentParser, *, speaks_to_callers: bool) -> None:
    """Where the gateway is; the token comes from the environment only, so that no process list shows it."""
    if speaks_to_callers:
        parser.add_argument(
            "--url", default=os.environ.get(URL_VARIABLE, DEFAULT_URL), help=f"default: ${URL_VARIABLE}"
        )
    parser.add_argument("--json", action="store_true", help="print the answer as it came")


def ask(options: Namespace, method: str, path: str, headers: Mapping[str, str], timeout_s: float) -> Heard:
    """One request."""
    connection, prefix = _connection(options.url, timeout_s)
    try:
        connection.request(method, prefix + path, headers={"Authorization": f"Bearer {_token()}", **headers})
        reply = connection.getresponse()
        body = _json(reply.read() or b"{}")
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unreachable(f"no answer from {options.url}: {error}") from None
    finally:
        connection.close()
    if not isinstance(body, dict):
        raise Unreachable(f"{options.url} does not speak like a cancel-gateway")
    return Heard(reply.status, dict(reply.getheaders()), body)


def ask_lines(
    options: Namespace, path: str, headers: Mapping[str, str], body: bytes, timeout_s: float
) -> Iterator[Heard]:
    """One request that is answered line by line; a refusal of the whole is one answer."""
    connection, prefix = _connection(options.url, timeout_s)
    try:
        connection.request("POST", prefix + path, body, {"Authorization": f"Bearer {_token()}", **headers})
        reply = connection.getresponse()
        for line in reply:
            said = _object(_json(line))
            status = said.get("status", reply.status)
            yield Heard(status if isinstance(status, int) else reply.status, dict(reply.getheaders()), said)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unreachable(f"no whole answer from {options.url}: {error}") from None
    finally:
        connection.close()


def listen(url: str, path: str, timeout_s: float) -> Iterator[tuple[str, Mapping[str, object]] | Heard]:
    """Server-sent events as they come, with their names; a refusal is the one thing that comes instead."""
    connection, prefix = _connection(url, timeout_s)
    try:
        connection.request("GET", prefix + path, headers={"Authorization": f"Bearer {_token()}"})
        reply = connection.getresponse()
        if reply.status != http.client.OK:
            yield Heard(reply.status, dict(reply.getheaders()), _object(_json(reply.read() or b"{}")))
            return
        name = ""
        for line in reply:
            if line.startswith(b"event: "):
                name = line[7:].strip().decode()
            elif line.startswith(b"data: "):
                yield name, _object(_json(line[6:]))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unreachable(f"no answer from {url}: {error}") from None
    finally:
        connection.close()


def _json(raw: bytes) -> object:
    """Whatever it says; raises ValueError where it is no JSON, or nested beyond all reason."""
    try:
        return cast("object", json.loads(raw))
    except RecursionError:
        raise ValueError("the answer is nested too deeply") from None


def _object(said: object) -> Mapping[str, object]:
    if not isinstance(said, dict):
        raise ValueError("the answer is no object")  # noqa: TRY004  what came is wrong, not who called
    return said


def _connection(url: str, timeout_s: float) -> tuple[http.client.HTTPConnection, str]:
    """Not connected yet; and what stands before every path."""
    try:
        where = urlsplit(url)
        host, port = where.hostname, where.port
    except ValueError:
        raise Unreachable(f"{url!r} is not an http or https address") from None
    if where.scheme not in {"http", "https"} or not host:
        raise Unreachable(f"{url!r} is not an http or https address")
    kind = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
    return kind(host, port, timeout=timeout_s), where.path.rstrip("/")


def _token() -> str:
    """The token, without the line end that files leave; an impossible one is refused here, where nobody quotes it."""
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not (token.isascii() and token.isprintable()):
        raise Unreachable(f"${TOKEN_VARIABLE} holds what cannot be a token")
    return token
