"""Where a server listens and how it is reached: in clear on this machine alone, by TLS from any other."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path

from provenance.errors import UsageError
from provenance.files import read_file

PEM_LIMIT = 1 << 20


@dataclass(frozen=True)
class Address:
    """A host and a port; ``[::1]:8080`` has the host ``::1``."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Reads HOST:PORT; raises UsageError."""
        host, _, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise UsageError("this is not an address", expected="HOST:PORT, such as 127.0.0.1:9070", found=text)
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether it is of this machine alone; a name other than localhost may be anybody's."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def require_free(self) -> None:
        """Raises UsageError when something listens here already, or nothing can."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((self.host, self.port))
        except OSError as error:
            raise UsageError(f"{self} cannot be listened on", found=str(error), fix="give another --listen") from error


@dataclass(frozen=True)
class Listening:
    """Where a server listens; with certificate and key (PEM) by TLS, which any address but loopback needs."""

    address: Address
    certificate: bytes | None = None
    key: bytes | None = None

    @classmethod
    def of(cls, listen: str, certificate: Path | None, key: Path | None) -> Listening:
        """Reads what a command names; raises UsageError."""
        address = Address.parse(listen)
        if (certificate is None) != (key is None):
            raise UsageError("TLS needs a certificate and its key", fix="give both --certificate and --key, or neither")
        if certificate is None or key is None:
            if not address.is_loopback:
                raise UsageError(
                    "other machines are only served by TLS",
                    expected="--certificate and --key, or an address of this machine alone",
                    found=str(address),
                )
            return cls(address)
        return cls(address, read_file(certificate, limit=PEM_LIMIT), read_file(key, limit=PEM_LIMIT))


@dataclass(frozen=True)
class Reaching:
    """How a server is reached: in clear, or by TLS with some root certificates (PEM) or the system's own."""

    address: Address
    tls: bool
    roots: bytes | None = None

    @classmethod
    def of(cls, server: str, tls: bool, tls_root: Path | None) -> Reaching:
        """Reads what a command names: TLS unless the server is on this machine and nobody asked for it."""
        address = Address.parse(server)
        roots = None if tls_root is None else read_file(tls_root, limit=PEM_LIMIT)
        return cls(address, tls or roots is not None or not address.is_loopback, roots)
