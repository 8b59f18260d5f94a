"""cancel-gateway: gets an order cancelled, safely, on any venue.

The path of one cancel, and the file that walks each step:

    receive       web/handlers.py         decode and validate; the bytes are web/codec.py
    authenticate  web/door.py             who calls; the decision is core/access.py
    unlock        backends/credentials/   a stored credential becomes a Signer
    claim         backends/records.py     fresh / replay / in progress / mismatch; core/idempotency.py
    admit         dispatch.py, line.py    a slot under the venue's limits; core/admission.py, core/ledger.py
    sign          venues/<venue>.py       (order, time) -> exact bytes; errand.py, alone or as one of a party
    send          courier.py              the last look at the slot; backends/sender.py: those bytes, once
    interpret     venues/<venue>.py       any reply -> a verdict; core/outcome.py
    settle        settle.py               the record gets its fact; backends/records.py
    respond       web/codec.py            the fact as JSON or problem+json

Beside the path, `watchman.py` and `resolve.py` find out what became of cancels that were left open, and `follow.py`
lets all who ask for one order hear of its end. `recent.py` and `lookout.py` keep what `web/console.py` shows.

`pipeline.py` holds the middle eight in order, on one screen; `ports.py` says what they need; `wiring/` is the only
package that knows everything. `client/` is the way here for Python services.
"""

__version__ = "0.1.0"
