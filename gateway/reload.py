"""The settings once more, while the service runs: callers, issuer and certificates are replaced whole or not at all."""

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.backends.issuer.jwks import HttpKeys, IssuerKeys, Source
from gateway.backends.issuer.tokens import IssuerTokens
from gateway.backends.metrics import Metrics
from gateway.backends.tls import ListenerTls, TlsFiles
from gateway.backends.watch import FileWatch
from gateway.core.access import Caller
from gateway.core.claims import Expected
from gateway.ports import Clock, Log
from gateway.settings import Settings, Tls
from gateway.settings.auth import Jwt
from gateway.settings.change import only_at_start
from gateway.settings.schema import Faults
from gateway.web.door import Door

LOOK_S = 1.0  # taken at the second look that sees the same, so two seconds after the last change


@dataclass(frozen=True, slots=True)
class Told:
    """Where a reload shows."""

    metrics: Metrics
    log: Log


@dataclass(frozen=True, slots=True)
class Reread:
    """Where the settings came from, and how to read them again."""

    path: Path
    read: Callable[[], Settings | Faults]


@dataclass(frozen=True, slots=True)
class Issuer:
    """The parts that take one issuer's tokens."""

    source: HttpKeys
    keys: IssuerKeys
    tokens: IssuerTokens

    async def aclose(self) -> None:
        """Close them."""
        await self.keys.aclose()
        await self.source.aclose()


class Entrance:
    """The door, and what it leans on."""

    def __init__(self, settings: Settings, clock: Clock, told: Told, agent: str) -> None:
        self._clock = clock
        self._told = told
        self._agent = agent
        self._jwt = settings.jwt
        self._issuer = self._open(settings.jwt)
        self.tls = listener_tls(settings.server.tls)
        self.door = Door(settings.callers, clock, self._issuer.tokens if self._issuer else None)

    @property
    def issuer_state(self) -> bool | None:
        """Whether the issuer's keys are there; None where there is no issuer."""
        return self._issuer.keys.usable if self._issuer else None

    async def replace(self, callers: tuple[Caller, ...], jwt: Jwt | None) -> None:
        """From now on these callers, and this issuer; the keys of one that stays are kept."""
        old = self._issuer
        if jwt != self._jwt:
            self._jwt, self._issuer = jwt, self._open(jwt)
        self.door.replace(callers, self._issuer.tokens if self._issuer else None)
        if old is not None and old is not self._issuer:
            await old.aclose()

    def _open(self, jwt: Jwt | None) -> Issuer | None:
        if jwt is None:
            return None
        source = HttpKeys(Source(jwt.jwks_url, self._agent, jwt.jwks_ca, jwt.jwks_token_file))
        keys = IssuerKeys(source.fetch, jwt.stale_seconds, self._clock, self._fetched)
        keys.freshen()
        return Issuer(
            source, keys, IssuerTokens(keys, Expected(jwt.issuer, jwt.audience, jwt.caller_claim), self._clock)
        )

    def _fetched(self, failure: str | None) -> None:
        if self._told.metrics.issuer(failure):
            self._told.log.event("issuer.lost" if failure else "issuer.back", reason=failure)

    async def aclose(self) -> None:
        """Close what is open."""
        if self._issuer is not None:
            await self._issuer.aclose()


def listener_tls(said: Tls | None) -> ListenerTls | None:
    """The callers' listener's TLS, where it has any."""
    return None if said is None else ListenerTls(TlsFiles(said.cert, said.key, said.client_ca))


class Reloader:
    """Watches the settings file and the certificates, and listens for SIGHUP."""

    def __init__(self, settings: Settings, entrance: Entrance, told: Told, reread: Reread | None) -> None:
        self._settings = settings
        self._entrance = entrance
        self._told = told
        self._reread = reread
        self._file = FileWatch((reread.path,) if reread else ())
        tls = settings.server.tls
        self._pems = FileWatch(TlsFiles(tls.cert, tls.key, tls.client_ca).paths if tls else ())
        self._called = asyncio.Event()

    async def run(self) -> None:
        """Until it is cancelled."""
        if self._reread is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._called.set)
        while True:
            called = await self._rung()
            file, pems = await asyncio.to_thread(self._look, called)
            if file:
                await self._take_settings()
            if pems:
                self._take_certificates()

    def _look(self, called: bool) -> tuple[bool, bool]:  # noqa: FBT001  called from a thread, which takes no names
        """Whether the settings and the certificates are to be read; whoever asked for it need not wait."""
        if not called:
            return self._file.changed(), self._pems.changed()
        self._file.take()
        self._pems.take()
        return True, True

    async def _rung(self) -> bool:
        """Wait for the next look; True where a signal was faster."""
        try:
            async with asyncio.timeout(LOOK_S):
                await self._called.wait()
        except TimeoutError:
            return False
        self._called.clear()
        return True

    async def _take_settings(self) -> None:
        if self._reread is None:
            return
        new = await asyncio.to_thread(self._reread.read)
        if isinstance(new, Faults):
            self._refuse("the file has faults", [str(fault) for fault in new.faults])
        elif keys := only_at_start(self._settings, new):
            self._refuse("these keys are read at the start only", list(keys))
        else:
            old, self._settings = self._settings, new
            await self._entrance.replace(new.callers, new.jwt)
            self._told.metrics.config_reloaded("taken")
            self._told.log.event("config.reloaded", **_difference(old, new))

    def _refuse(self, why: str, details: list[str]) -> None:
        self._told.metrics.config_reloaded("refused")
        self._told.log.event("config.refused", why=why, details=details, in_force="the settings from before")

    def _take_certificates(self) -> None:
        if (tls := self._entrance.tls) is None:
            return
        refused = tls.reload()
        self._told.metrics.tls_reloaded("refused" if refused else "taken")
        self._told.log.event("tls.refused" if refused else "tls.reloaded", reason=refused)


def _difference(old: Settings, new: Settings) -> dict[str, object]:
    """What a reload brought, by names."""
    before, now = ({caller.name: caller for caller in each.callers} for each in (old, new))
    return {
        "callers": len(now),
        "added": sorted(now.keys() - before.keys()),
        "removed": sorted(before.keys() - now.keys()),
        "changed": sorted(name for name in now.keys() & before.keys() if now[name] != before[name]),
        "issuer_changed": old.jwt != new.jwt,
    }
