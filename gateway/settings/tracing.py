"""`[tracing]`: whether spans are made, where they go, and how many of the traces that begin here."""

from dataclasses import dataclass
from importlib.util import find_spec

from gateway.settings.schema import Section
from gateway.settings.syntax import collector_url

NEEDED = ("opentelemetry", "opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.exporter.otlp.proto.http")


@dataclass(frozen=True, slots=True)
class Tracing:
    """`endpoint` is a collector's address for OTLP over HTTP, without `/v1/traces`. `sample_ratio` is from 0 to 1."""

    endpoint: str
    sample_ratio: float


def read_tracing(root: Section) -> Tracing | None:
    """Read the section; None where it is off."""
    with root.section("tracing") as tracing:
        enabled = tracing.flag("enabled", default=False)
        endpoint = tracing.parsed("endpoint", collector_url, "http://127.0.0.1:4318", "")
        sample_ratio = tracing.fraction("sample_ratio", 1.0)
        if enabled and not _installed():
            tracing.fault(
                "enabled", "needs the extra `tracing`, which is not installed", "pip install 'cancel-gateway[tracing]'"
            )
        return Tracing(endpoint, sample_ratio) if enabled else None


def _installed() -> bool:
    """Whether the extra is there; a package is looked for only where the one around it is."""
    return all(find_spec(name) is not None for name in NEEDED)
