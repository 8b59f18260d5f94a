"""Records as they lie in Redis: fields of a hash to values and back. No I/O."""

from collections.abc import Iterable, Mapping

import orjson

from gateway.backends.redis.link import Argument, Reply
from gateway.core.idempotency import Record, State, Step, parse_record_id
from gateway.core.model import By
from gateway.core.outcome import Outcome


def note(record: Record) -> tuple[Argument, ...]:
    """What is written of a record that the store does not have."""
    symbol = () if record.symbol is None else ("symbol", record.symbol)
    sent = () if record.sent_ms is None else ("sent_ms", record.sent_ms)
    return (
        *("id", str(record.id), "by", record.by.value, "ref", record.ref, "created_ms", record.created_ms),
        *("caller", record.caller, "request_id", record.request_id),
        *symbol,
        *sent,
    )


def steps_text(steps: tuple[Step, ...]) -> bytes:
    """Steps as JSON; nothing where there are none."""
    return orjson.dumps([[step.at_ms, step.what, step.result] for step in steps]) if steps else b""


def fields_of(flat: Iterable[Reply]) -> dict[bytes, bytes]:
    """Names and values, one after the other, as a table."""
    words = [word for word in flat if isinstance(word, bytes)]
    return dict(zip(words[::2], words[1::2], strict=False))


def read(fields: Mapping[bytes, bytes]) -> Record | None:
    """A record from its fields; None where they can't be one of ours."""
    try:
        return _record({name.decode(): value for name, value in fields.items()})
    except (KeyError, ValueError):
        return None


def _record(fields: Mapping[str, bytes]) -> Record:
    text = {name: value.decode() for name, value in fields.items() if name not in {"body", "steps"}}
    number = {name: int(value) for name, value in text.items() if name.endswith("_ms")}
    where = parse_record_id(text["id"])
    if where is None:
        raise ValueError("not a record's id")
    return Record(
        id=where,
        state=State(text["state"]),
        by=By(text["by"]),
        ref=text["ref"],
        symbol=text.get("symbol"),
        caller=text.get("caller", ""),
        request_id=text.get("request_id", ""),
        created_ms=number["created_ms"],
        fence=int(text["fence"]),
        attempts=int(text.get("attempts", "0")),
        lease_until_ms=number["lease_until_ms"],
        sent_ms=number.get("sent_ms"),
        settled_ms=number.get("settled_ms"),
        outcome=Outcome(text["outcome"]) if "outcome" in text else None,
        body=fields.get("body", b""),
        steps=_steps(fields.get("steps", b"")),
    )


def _steps(said: bytes) -> tuple[Step, ...]:
    """A history that nobody can read is no reason to give a record up."""
    try:
        rows = orjson.loads(said or b"[]")
        return tuple(Step(int(at_ms), str(what), str(result)) for at_ms, what, result in rows)
    except (ValueError, TypeError):
        return ()
