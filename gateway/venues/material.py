"""Reading stored credentials: a field is there and can stand where it is needed, or BadMaterial names it."""

import re
from collections.abc import Mapping

from gateway.venues.base import BadMaterial

INT32_MOST = 2_147_483_647
LONGEST = 8192
INT32_DIGITS = re.compile(r"[1-9][0-9]{0,9}")
# RFC 9110 section 5.5 strips blanks at the ends of a field value, and anything but visible ASCII is open to dispute.
HEADER_VALUE = re.compile(rf"[!-~](?:[ -~]{{0,{LONGEST}}}[!-~])?")
BEARER = re.compile(rf"[!-~]{{1,{LONGEST}}}")


def field_text(fields: Mapping[str, str], name: str) -> str:
    """A field's text; raises BadMaterial where it is missing or empty."""
    value = fields.get(name)
    if value is None:
        raise BadMaterial(name, "is missing")
    if not value:
        raise BadMaterial(name, "is empty")
    return value


def header_text(fields: Mapping[str, str], name: str) -> str:
    """A field that goes into a header as it stands: visible ASCII, blanks only inside."""
    value = field_text(fields, name)
    if not HEADER_VALUE.fullmatch(value):
        raise BadMaterial(name, "must be visible ASCII, with blanks only inside")
    return value


def bearer_text(fields: Mapping[str, str], name: str) -> str:
    """A field that is a token: visible ASCII without blanks."""
    value = field_text(fields, name)
    if not is_bearer(value):
        raise BadMaterial(name, "must be visible ASCII without blanks")
    return value


def is_bearer(value: str) -> bool:
    """Whether a token can follow `Bearer` in a header."""
    return BEARER.fullmatch(value) is not None


def is_int32(value: str) -> bool:
    """Whether a text is a positive 32-bit integer, written in the only way it can be written."""
    return INT32_DIGITS.fullmatch(value) is not None and int(value) <= INT32_MOST
