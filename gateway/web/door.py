"""authenticate: what a request shows becomes a caller, or a refusal. The decision is core/access.py."""

from collections.abc import Iterable

from aiohttp import web

from gateway.core.access import NO_PROOF, Caller, Denied, Directory, by_digest, digest_of
from gateway.core.ceiling import Ceiling
from gateway.core.outcome import Outcome
from gateway.ports import Clock, Tokens
from gateway.web.codec import Refused
from gateway.web.listener import Connection


class Door:
    """Who may come in, and how often. What stands at it can be replaced while the service runs."""

    def __init__(self, callers: Iterable[Caller], clock: Clock, tokens: Tokens | None = None) -> None:
        self._clock = clock
        self._tokens = tokens
        self._directory = Directory.of(callers)
        self._ceilings = {caller.name: Ceiling(caller.max_requests_per_second) for caller in self._directory.callers}

    @property
    def callers(self) -> tuple[Caller, ...]:
        """Who may come in."""
        return self._directory.callers

    def replace(self, callers: Iterable[Caller], tokens: Tokens | None) -> None:
        """From now on these and no others. Who keeps its ceiling keeps what it has used of it."""
        directory = Directory.of(callers)
        kept = self._ceilings
        self._ceilings = {caller.name: _ceiling(caller, kept.get(caller.name)) for caller in directory.callers}
        self._directory, self._tokens = directory, tokens

    async def caller(self, request: web.Request) -> Caller:
        """Who calls; nothing else has been looked at before this is known."""
        said = await self._said(request)
        caller = self._directory.agreed(self._names(request), said)
        if isinstance(caller, Denied):
            raise Refused(caller.outcome, caller.detail)
        if wait_ms := self._ceilings[caller.name].wait_ms(self._clock.monotonic()):
            often = f"{caller.name} may ask {caller.max_requests_per_second} times a second"
            raise Refused(Outcome.OVERLOADED, often, wait_ms)
        return caller

    def _names(self, request: web.Request) -> tuple[str, ...]:
        connection = request.protocol
        return connection.names(self._clock.now_ms) if isinstance(connection, Connection) else ()

    async def _said(self, request: web.Request) -> Caller | Denied | None:
        """Whom the header means. Any header that means nobody is a refusal, whatever else was shown."""
        stated = request.headers.getall("Authorization", None)
        if stated is None:
            return None
        scheme, _, token = stated[0].partition(" ")
        if len(stated) > 1 or scheme.lower() != "bearer":
            return NO_PROOF
        digest = digest_of(token := token.strip())
        if (caller := by_digest(digest, self._directory.callers)) is not None:
            return caller
        if self._tokens is None:
            return NO_PROOF
        subject = await self._tokens.subject(token, digest)
        return subject if isinstance(subject, Denied) else self._directory.of_subject(subject)


def _ceiling(caller: Caller, kept: Ceiling | None) -> Ceiling:
    return (
        kept if kept and kept.per_second == caller.max_requests_per_second else Ceiling(caller.max_requests_per_second)
    )
