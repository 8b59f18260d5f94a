"""HTTP's dates (RFC 9110, 5.6.7) as milliseconds. Pure, and total: whatever a venue writes there, nothing is raised."""

from datetime import UTC
from email.utils import parsedate_to_datetime

LONGEST = 64


def http_date_ms(stated: str) -> int | None:
    """When it was, to the second; None where that can't be read."""
    if not stated:
        return None
    try:
        moment = parsedate_to_datetime(stated[:LONGEST])
        # HTTP dates are GMT; one that leaves the zone out would otherwise be read in the machine's own
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
