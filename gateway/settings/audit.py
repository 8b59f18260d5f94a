"""`[audit]`: whether a trail of every decision is kept, how long, and how much of a reply."""

from dataclasses import dataclass

from gateway.settings.schema import Section


@dataclass(frozen=True, slots=True)
class Audit:
    """`entries_most` bounds what one process keeps in Redis, whatever the time; `reply_bytes` is 0 where none is."""

    enabled: bool
    retention_days: int
    entries_most: int
    reply_bytes: int


def read_audit(root: Section) -> Audit:
    """Read the section."""
    with root.section("audit") as audit:
        keep_replies = audit.flag("keep_replies", default=True)
        reply_bytes = audit.whole("reply_bytes", 4096, 1, 65_536)
        return Audit(
            enabled=audit.flag("enabled", default=True),
            retention_days=audit.whole("retention_days", 7, 1, 3650),
            entries_most=audit.whole("entries_most", 200_000, 1000, 100_000_000),
            reply_bytes=reply_bytes if keep_replies else 0,
        )
