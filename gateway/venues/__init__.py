"""The venues, one file each. `ALL` is the only list of them."""

from gateway.venues.b2trader import B2TRADER
from gateway.venues.base import Venue
from gateway.venues.etna import ETNA
from gateway.venues.hashkey import HASHKEY
from gateway.venues.loopring import LOOPRING
from gateway.venues.orderly import ORDERLY

ALL: tuple[Venue, ...] = (ORDERLY, HASHKEY, LOOPRING, ETNA, B2TRADER)
