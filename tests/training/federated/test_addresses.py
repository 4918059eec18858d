from __future__ import annotations

import socket
from pathlib import Path

import pytest

from provenance.errors import UsageError
from training.federated.addresses import Address, Listening, Reaching


@pytest.mark.parametrize(
    ("text", "host", "port", "loopback"),
    [
        ("127.0.0.1:9070", "127.0.0.1", 9070, True),
        ("localhost:1", "localhost", 1, True),
        ("[::1]:80", "::1", 80, True),
        ("0.0.0.0:80", "0.0.0.0", 80, False),
        ("studio.example:80", "studio.example", 80, False),
        ("127.0.0.1.example:80", "127.0.0.1.example", 80, False),
    ],
)
def test_an_address_is_of_this_machine_or_not(text: str, host: str, port: int, loopback: bool) -> None:
    address = Address.parse(text)
    assert (address.host, address.port, address.is_loopback, str(address)) == (host, port, loopback, text)


@pytest.mark.parametrize("text", ["", "127.0.0.1", ":80", "host:", "host:eighty", "host:70000", "host:-1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not an address"):
        Address.parse(text)


def test_other_machines_are_not_served_in_clear(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="only served by TLS"):
        Listening.of("0.0.0.0:9070", None, None)
    (tmp_path / "c").write_bytes(b"certificate")
    (tmp_path / "k").write_bytes(b"key")
    assert Listening.of("0.0.0.0:9070", tmp_path / "c", tmp_path / "k").key == b"key"
    with pytest.raises(UsageError, match="both --certificate and --key"):
        Listening.of("127.0.0.1:9070", tmp_path / "c", None)


def test_other_machines_are_reached_by_tls_alone(tmp_path: Path) -> None:
    (tmp_path / "root.pem").write_bytes(b"root")
    assert Reaching.of("studio.example:9070", False, None).tls
    assert not Reaching.of("127.0.0.1:9070", False, None).tls
    assert Reaching.of("127.0.0.1:9070", True, None).tls
    reaching = Reaching.of("127.0.0.1:9070", False, tmp_path / "root.pem")
    assert (reaching.tls, reaching.roots) == (True, b"root")


def test_an_address_that_is_taken_is_refused() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(UsageError, match="cannot be listened on"):
            Address("127.0.0.1", other.getsockname()[1]).require_free()
