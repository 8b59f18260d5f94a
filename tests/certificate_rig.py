"""An authority and what it vouches for, written as PEM files; and TLS contexts for whoever connects."""

import datetime as dt
import ssl
from dataclasses import dataclass, field
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Authority:
    """Issues certificates into a folder."""

    folder: Path
    ca: trustme.CA = field(default_factory=trustme.CA)

    @property
    def pem(self) -> Path:
        """Its own certificate."""
        path = self.folder / "ca.pem"
        self.ca.cert_pem.write_to_path(path)
        return path

    def server(self, name: str = "server") -> tuple[Path, Path]:
        """Certificate and key for a listener on loopback; the same name replaces both, each as a whole."""
        issued = self.ca.issue_cert("127.0.0.1", "localhost")
        cert, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        replace_whole(cert, b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        replace_whole(key, issued.private_key_pem.bytes())
        return cert, key

    def client(
        self, *uris: str, dns: tuple[str, ...] = (), common_name: str = "nobody", ends_in_s: float = 3600.0
    ) -> ssl.SSLContext:
        """A client that shows a certificate with these names."""
        names = [*(x509.DNSName(each) for each in dns), *(x509.UniformResourceIdentifier(each) for each in uris)]
        key = generate_private_key(SECP256R1())
        authority = x509.load_pem_x509_certificate(self.ca.cert_pem.bytes())
        signer = load_pem_private_key(self.ca.private_key_pem.bytes(), None)
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
            .issuer_name(authority.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(seconds=ends_in_s))
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        assert isinstance(signer, EllipticCurvePrivateKey)
        issued = builder.sign(signer, SHA256())
        path = self.folder / f"client-{issued.serial_number}.pem"
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(pem + issued.public_bytes(Encoding.PEM))
        context = self.trusting()
        context.load_cert_chain(path)
        return context

    def trusting(self) -> ssl.SSLContext:
        """A client that shows nothing."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.ca.configure_trust(context)
        return context


def replace_whole(path: Path, content: bytes) -> None:
    """There as a whole or not at all."""
    scratch = path.with_name(path.name + ".new")
    scratch.write_bytes(content)
    scratch.replace(path)
