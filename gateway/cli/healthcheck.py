"""`cancel-gateway healthcheck`: whether the process beside us answers. A container's HEALTHCHECK, without a shell."""

import argparse
import http.client
import os
import sys
from urllib.parse import urlsplit

HEALTHY, UNHEALTHY, WRONG = 0, 1, 2
DEFAULT_URL = "http://127.0.0.1:9090/healthz"
PATIENCE_S = 2.0


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    command = subparsers.add_parser("healthcheck", help="exit 0 if the process on this machine answers")
    command.add_argument(
        "--url",
        default=os.environ.get("CANCEL_GATEWAY_HEALTH_URL", DEFAULT_URL),
        help="default: $CANCEL_GATEWAY_HEALTH_URL, then %(default)s",
    )
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Ask once; the answer's status decides."""
    target = urlsplit(arguments.url)
    if target.scheme != "http" or not target.hostname:
        print("--url: give the admin listener's address, such as " + DEFAULT_URL, file=sys.stderr)
        return WRONG
    connection = http.client.HTTPConnection(target.hostname, target.port, timeout=PATIENCE_S)
    try:
        connection.request("GET", target.path or "/healthz")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        print(f"no answer: {error}", file=sys.stderr)
        return UNHEALTHY
    finally:
        connection.close()
    if status == http.client.OK:
        return HEALTHY
    print(f"answered {status}", file=sys.stderr)
    return UNHEALTHY
