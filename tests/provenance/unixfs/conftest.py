"""The specification's own inputs, and a store for blocks that nobody checks."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from typing import BinaryIO

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from provenance.cid import DAG_PB, Cid, as_cid
from provenance.unixfs.dagpb import Link, Node
from provenance.unixfs.message import Message


class RandomStream(io.RawIOBase):
    """`testutils.DeterministicRandomReader` of ipfs/kubo: ChaCha20 keyed with SHA-256 of the seed, nonce zero."""

    def __init__(self, size: int, seed: str) -> None:
        key = hashlib.sha256(seed.encode()).digest()
        self._stream = Cipher(algorithms.ChaCha20(key, bytes(16)), None).encryptor()
        self._left = size

    def read(self, size: int = -1, /) -> bytes:
        size = self._left if size < 0 else min(size, self._left)
        self._left -= size
        return self._stream.update(bytes(size))


@pytest.fixture
def random_stream() -> Callable[[int, str], BinaryIO]:
    """A stream of pseudo-random bytes by size and seed."""
    return RandomStream  # type: ignore[return-value]


class Blocks:
    """Blocks as a liar would serve them: made by hand, of any size, with any links."""

    def __init__(self) -> None:
        self.blocks: dict[bytes, bytes] = {}

    def get(self, cid: Cid | str) -> bytes:
        return self.blocks[as_cid(cid).digest]

    def add(self, data: bytes, codec: int = DAG_PB) -> Cid:
        cid = Cid.of_block(data, codec)
        self.blocks[cid.digest] = data
        return cid

    def node(self, message: Message, *links: Link) -> Cid:
        return self.add(Node(links, message.encode()).encode())


@pytest.fixture
def blocks() -> Blocks:
    """An empty one."""
    return Blocks()
