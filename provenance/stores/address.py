"""Where a Kubo daemon's RPC is: a URL, or the multiaddr that the daemon itself writes.

The RPC can read, write and reconfigure everything a daemon has and asks for no password, so any host but this one
is refused unless the user says otherwise.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from provenance.errors import UsageError

DEFAULT_URL = "http://127.0.0.1:5001"
KINDS = ("ip4", "ip6", "dns", "dns4", "dns6")


@dataclass(frozen=True)
class RpcAddress:
    """A host and port; ``host`` is an IP address, or a name when it is remote."""

    host: str
    port: int
    tls: bool = False

    @classmethod
    def parse(cls, text: str, *, allow_remote: bool = False) -> RpcAddress:
        """Reads ``http://127.0.0.1:5001`` or ``/ip4/127.0.0.1/tcp/5001``; raises UsageError."""
        try:
            address = _parse_multiaddr(text) if text.startswith("/") else _parse_url(text)
        except ValueError as error:
            raise UsageError(
                f"{text!r} is not the address of a Kubo RPC",
                expected=f"{DEFAULT_URL} or /ip4/127.0.0.1/tcp/5001",
                found=str(error),
                fix="`ipfs config Addresses.API` prints the daemon's own",
            ) from error
        if not address.is_loopback and not allow_remote:
            raise UsageError(
                f"{address} is another machine, and whoever reaches a Kubo RPC controls the daemon",
                expected="a loopback address such as 127.0.0.1",
                fix="tunnel to it (ssh -L 5001:127.0.0.1:5001 HOST), or allow it with --allow-remote",
            )
        return address

    @property
    def is_loopback(self) -> bool:
        """Whether the address cannot leave this machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def multiaddr(self) -> str:
        """The form that ipfshttpclient takes."""
        try:
            kind = f"ip{ipaddress.ip_address(self.host).version}"
        except ValueError:
            kind = "dns"
        return f"/{kind}/{self.host}/tcp/{self.port}/{'https' if self.tls else 'http'}"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"


def _parse_url(text: str) -> RpcAddress:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("no http:// or https:// and host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a user name or password in the address")
    if parts.path not in ("", "/", "/api/v0", "/api/v0/") or parts.query or parts.fragment:
        raise ValueError("a path, query or fragment")
    return _address(parts.hostname, parts.port or 5001, parts.scheme == "https")


def _parse_multiaddr(text: str) -> RpcAddress:
    parts = text.removeprefix("/").split("/")
    if len(parts) == 4:
        parts.append("http")
    if len(parts) != 5 or parts[0] not in KINDS or parts[2] != "tcp" or parts[4] not in ("http", "https"):
        raise ValueError("not /ip4/…/tcp/… and the like")
    kind, host, _, port, protocol = parts
    if kind.startswith("ip") and ipaddress.ip_address(host).version != int(kind[2]):
        raise ValueError(f"{host} is not of {kind}")
    return _address(host, int(port), protocol == "https")


def _address(host: str, port: int, tls: bool) -> RpcAddress:
    if not 0 < port < 65536:
        raise ValueError(f"port {port}")
    if not host or any(character in host for character in "/ %\\"):
        raise ValueError(f"host {host!r}")
    # A name is what a resolver says it is; this one has to mean this machine.
    return RpcAddress("127.0.0.1" if host == "localhost" else host, port, tls)
