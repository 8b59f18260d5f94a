"""One JSON line per event on stdout, structlog's and the standard library's alike. What is logged is decided elsewhere.

No secret passes: fields that are named like one are dropped, objects are shown by their type only, an exception by
where it was raised and its own words only where it is one of ours, since the words of others quote what they got.
"""

import atexit
import logging
import re
import sys
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from traceback import walk_tb
from types import TracebackType

import orjson
import structlog

from gateway.backends.stdout import LineWriter

OURS = "gateway"
FRAMES_MOST = 30
ATOMS = frozenset((str, int, float, bool, type(None)))
OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS
PLAINLY = OPTIONS | orjson.OPT_PASSTHROUGH_DATACLASS
INTEGER_MOST = 2**63
SECRET_WORDS = frozenset(
    ("authorization", "cookie", "jwt", "passphrase", "passwd", "password", "secret", "sig", "signature", "token")
)
SECRET_PARTS = ("apikey", "privatekey")
CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
SEPARATOR = re.compile(r"[^a-z0-9]+")
SECRET_IN_TEXT = re.compile(
    r"(?i)\b([\w-]*(?:sig|signature|token|secret|password|key|jwt|authorization|cookie)\W{1,4})((?:bearer\s+)?[^\s&'\",]+)"
)

Fields = Mapping[str, object]
_HARMLESS: set[frozenset[str]] = set()


@lru_cache(maxsize=1024)
def looks_secret(name: str) -> bool:
    """Whether a field of this name could hold a secret, in any spelling."""
    words = SEPARATOR.split(CAMEL.sub("_", name).lower())
    return not SECRET_WORDS.isdisjoint(words) or any(part in "".join(words) for part in SECRET_PARTS)


def line(event: str, level: str, fields: Fields) -> bytes:
    """One event as one line of JSON, without anything that is named like a secret."""
    content: dict[str, object] = {"timestamp": datetime.now(UTC), "level": level, "event": event}
    for name, value in fields.items():
        if not looks_secret(name):
            content[name] = value if type(value) in ATOMS else plain(value)
    try:
        return orjson.dumps(content, plain, OPTIONS)
    except orjson.JSONEncodeError:  # a lone surrogate or a huge number, as hostile input has them
        return orjson.dumps(plain(content), plain, OPTIONS)


def plain_line(event: str, fields: Fields) -> bytes:
    """The same for fields that were chosen for the log, as long as their values are what JSON has."""
    names = frozenset(fields)
    if names not in _HARMLESS:
        if any(looks_secret(name) for name in names):
            return line(event, "info", fields)
        _HARMLESS.add(names)
    try:
        return orjson.dumps({"timestamp": datetime.now(UTC), "level": "info", "event": event, **fields}, None, PLAINLY)
    except orjson.JSONEncodeError:
        return line(event, "info", fields)


def plain(value: object) -> object:  # noqa: PLR0911  one case for each kind of value
    """A value as JSON can hold it: secrets dropped at any depth, unknown objects shown by their type only."""
    match value:
        case None | bool() | float() | datetime():
            return value
        case int():
            return value if abs(value) < INTEGER_MOST else str(value)
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case Mapping():
            return {plain(str(name)): plain(inner) for name, inner in value.items() if not looks_secret(str(name))}
        case list() | tuple() | set() | frozenset():
            return [plain(inner) for inner in value]
        case BaseException():
            return told(value)
        case _:
            return f"<{type(value).__name__}>"


def told(error: BaseException) -> dict[str, object]:
    """An exception as it may be shown: its kind, where it was raised, and its words only where they are ours."""
    shown: dict[str, object] = {"kind": type(error).__qualname__, "at": _frames(error.__traceback__)}
    if type(error).__module__.split(".")[0] == OURS:
        shown["message"] = str(error)
    if (cause := error.__cause__ or error.__context__) is not None:
        shown["after"] = type(cause).__qualname__
    return shown


def _frames(trace: TracebackType | None) -> list[str]:
    places = ((frame.f_code, number) for frame, number in walk_tb(trace))
    return [f"{'/'.join(Path(code.co_filename).parts[-2:])}:{number} {code.co_name}" for code, number in places][
        -FRAMES_MOST:
    ]


class Journal:
    """Where the service writes down what happened."""

    def __init__(self, write: Callable[[bytes], None], lines_lost: Callable[[], int] = lambda: 0) -> None:
        """`lines_lost` says how many lines were lost since it was asked last."""
        self._write = write
        self.lines_lost = lines_lost

    def done(self, fields: Fields) -> None:
        """One cancel has been answered. Its fields have names that are known, and values that JSON has as they are."""
        self._write(plain_line("cancel.done", fields))

    def event(self, name: str, **fields: object) -> None:
        """Something changed its state."""
        self._write(line(name, "info", fields))

    def broke(self, request_id: str, error: BaseException) -> None:
        """A bug showed itself."""
        self._write(line("request.broke", "error", {"request_id": request_id, "error": told(error)}))


class _JsonHandler(logging.Handler):
    """The standard library's records in the same form."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        super().__init__()
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, object] = {}
        if record.exc_info and record.exc_info[1] is not None:
            fields["error"] = told(record.exc_info[1])
        try:
            message = record.getMessage()
        except (TypeError, ValueError, LookupError):  # a wrong format; the handler's own report would print the values
            message = str(record.msg)
        fields["message"] = SECRET_IN_TEXT.sub(r"\1[redacted]", message)
        self._write(line(record.name, record.levelname.lower(), fields))


class _Output:
    """structlog's last stop: takes the fields and writes the line."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write

    def msg(self, /, **fields: object) -> None:
        """Write one event; structlog calls this by the name of the level."""
        level, event = str(fields.pop("level")), str(fields.pop("event"))
        if error := _raised(fields.pop("exc_info", None)):
            fields["error"] = told(error)
        self._write(line(event, level, fields))

    debug = info = warning = error = critical = exception = log = msg


def _raised(exc_info: object) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    return sys.exc_info()[1] if exc_info else None


def open_journal(writer: LineWriter, level: int = logging.INFO, lines_lost: Callable[[], int] = lambda: 0) -> Journal:
    """Send structlog and the standard library through one writer, which is emptied at exit."""
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.add_log_level, _as_keywords],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _Output(writer.write),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_JsonHandler(writer.write)], level=max(level, logging.WARNING), force=True)
    atexit.register(writer.close)
    return Journal(writer.write, lines_lost)


def _as_keywords(_: object, __: str, event: MutableMapping[str, object]) -> tuple[tuple[()], Mapping[str, object]]:
    return (), event
