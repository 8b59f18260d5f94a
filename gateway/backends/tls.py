"""TLS of our own listener, whose files may be replaced while it runs; a pair that does not fit changes nothing."""

import ssl
from dataclasses import dataclass
from pathlib import Path

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!MD5"  # of TLS 1.2; those of 1.3 are all sound


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files; with `client_ca`, whoever connects must show a certificate of it."""

    cert: Path
    key: Path
    client_ca: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """What to watch."""
        return (self.cert, self.key) if self.client_ca is None else (self.cert, self.key, self.client_ca)


class ListenerTls:
    """The context that the listener holds, which hands every new handshake to the newest one.

    Loading into a context in use would, with a bad pair, leave a certificate without its key.
    """

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._newest = _context(files)
        self.context = _context(files)
        self.context.sni_callback = self._hand_over

    def reload(self) -> str | None:
        """Take the files as they are now; or keep what there is, and say why."""
        try:
            self._newest = _context(self._files)
        except (ssl.SSLError, ValueError):
            return "the files are no certificate with its key, or no client CA"
        except OSError as error:
            return f"a file cannot be read: {error.strerror}"
        return None

    def _hand_over(self, handshake: ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
        """OpenSSL asks this for every handshake, with or without a server name."""
        handshake.context = self._newest


def _context(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    # A resumed session would bring along what an older client CA has vouched for.
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.num_tickets = 0
    context.load_cert_chain(files.cert, files.key, password="")
    if files.client_ca is not None:
        context.load_verify_locations(files.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
