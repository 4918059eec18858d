"""Where a Kubo RPC may be."""

from __future__ import annotations

import pytest

from provenance.errors import UsageError
from provenance.stores.address import RpcAddress


@pytest.mark.parametrize(
    ("text", "multiaddr"),
    [
        ("http://127.0.0.1:5001", "/ip4/127.0.0.1/tcp/5001/http"),
        ("http://127.0.0.1", "/ip4/127.0.0.1/tcp/5001/http"),
        ("http://localhost:45001/", "/ip4/127.0.0.1/tcp/45001/http"),
        ("http://127.9.8.7:1/api/v0", "/ip4/127.9.8.7/tcp/1/http"),
        ("https://[::1]:5001", "/ip6/::1/tcp/5001/https"),
        ("/ip4/127.0.0.1/tcp/5001", "/ip4/127.0.0.1/tcp/5001/http"),
        ("/ip6/::1/tcp/5001/http", "/ip6/::1/tcp/5001/http"),
        ("/dns/localhost/tcp/5001/https", "/ip4/127.0.0.1/tcp/5001/https"),
    ],
)
def test_loopback_is_taken(text: str, multiaddr: str) -> None:
    address = RpcAddress.parse(text)
    assert address.multiaddr == multiaddr
    assert RpcAddress.parse(str(address)) == RpcAddress.parse(multiaddr) == address


@pytest.mark.parametrize(
    ("text", "multiaddr"),
    [
        ("http://192.168.0.7:5001", "/ip4/192.168.0.7/tcp/5001/http"),
        ("https://ipfs.example:443", "/dns/ipfs.example/tcp/443/https"),
        ("http://0.0.0.0:5001", "/ip4/0.0.0.0/tcp/5001/http"),
        ("http://localhost.example:5001", "/dns/localhost.example/tcp/5001/http"),
        ("http://127.0.0.1.example", "/dns/127.0.0.1.example/tcp/5001/http"),
        ("/dns4/ipfs.example/tcp/443/https", "/dns/ipfs.example/tcp/443/https"),
    ],
)
def test_another_machine_is_taken_only_when_allowed(text: str, multiaddr: str) -> None:
    with pytest.raises(UsageError, match="another machine"):
        RpcAddress.parse(text)
    assert RpcAddress.parse(text, allow_remote=True).multiaddr == multiaddr


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1:5001",
        "ftp://127.0.0.1",
        "file:///etc/passwd",
        "http://",
        "http://user:secret@127.0.0.1:5001",
        "http://127.0.0.1:5001/ipfs/x",
        "http://127.0.0.1:5001/?x",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:x",
        "http://[::1",
        "/ip4/127.0.0.1",
        "/ip4/127.0.0.1/udp/5001",
        "/ip4/127.0.0.1/tcp/5001/ws",
        "/ip4/127.0.0.1/tcp/5001/http/x",
        "/ip4/::1/tcp/5001",
        "/ip4/localhost/tcp/5001",
        "/ip4/127.0.0.1/tcp/0",
        "/ip4/127.0.0.1/tcp/five",
        "/unix/run/ipfs.sock",
    ],
)
def test_other_addresses_are_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError, match="not the address of a Kubo RPC") as caught:
        RpcAddress.parse(text, allow_remote=True)
    assert "ipfs config Addresses.API" in str(caught.value)
