"""Spans by OpenTelemetry. Only `wiring` asks for this package, and only where `[tracing]` is on."""
