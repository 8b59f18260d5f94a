"""The gateway, as a Python service calls it: `CancelClient`. It needs aiohttp and nothing else of the gateway's own.

call.py       what is asked, what time is left, what may be tried again; pure
heard.py      what the gateway said, as values; pure
doubt.py      what is certain where an attempt was never answered; pure
trying.py     one call until it is told; many.py many of them in one body
exchange.py   one request to one of several addresses: the only file that opens a socket
client.py     the calls
"""

from gateway.client.call import Order, new_key
from gateway.client.client import CancelClient, ReadRefused
from gateway.client.exchange import Unreachable
from gateway.client.heard import Answer, Killed, Record, VenueState
from gateway.core.model import By, Wait
from gateway.core.outcome import Outcome

__all__ = [
    "Answer",
    "By",
    "CancelClient",
    "Killed",
    "Order",
    "Outcome",
    "ReadRefused",
    "Record",
    "Unreachable",
    "VenueState",
    "Wait",
    "new_key",
]
