"""The test vectors of IPIP-499, from ipfs/kubo v0.42.0, test/cli/cid_profiles_test.go: sizes, seeds, names and CIDs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

import pytest

from provenance.unixfs import hash_content, import_tree
from provenance.unixfs.dagpb import Node
from provenance.unixfs.message import DIRECTORY, HAMT_SHARD, Message

KIB = 1024
MIB = 1024 * KIB

FILES = [
    ("unixfs-v0-2015", 256 * KIB, "chunk-v0-seed", "QmWmRj3dFDZdb6ABvbmKhEL6TmPbAfBZ1t5BxsEyJrcZhE"),
    ("unixfs-v0-2015", 256 * KIB + 1, "chunk-v0-seed", "QmYyLxtzZyW22zpoVAtKANLRHpDjZtNeDjQdJrcQNWoRkJ"),
    ("unixfs-v0-2015", 174 * 256 * KIB, "v0-seed", "QmUbBALi174SnogsUzLpYbD4xPiBSFANF4iztWCsHbMKh2"),
    ("unixfs-v0-2015", 174 * 256 * KIB + 1, "v0-seed", "QmV81WL765sC8DXsRhE5fJv2rwhS4icHRaf3J9Zk5FdRnW"),
    ("unixfs-v0-2015", 175 * 256 * KIB, "v0-seed", "QmepeWtdmS1hHXx1oZXsPUv6bMrfRRKfZcoPPU4eEfjnbf"),
    ("unixfs-v1-2025", MIB, "chunk-v1-seed", "bafkreiacndfy443ter6qr2tmbbdhadvxxheowwf75s6zehscklu6ezxmta"),
    ("unixfs-v1-2025", MIB + 1, "chunk-v1-seed", "bafybeigmix7t42i6jacydtquhet7srwvgpizfg7gjbq7627d35mjomtu64"),
    ("unixfs-v1-2025", 1024 * MIB, "v1-2025-seed", "bafybeihmf37wcuvtx4hpu7he5zl5qaf2ineo2lqlfrapokkm5zzw7zyhvm"),
    ("unixfs-v1-2025", 1024 * MIB + 1, "v1-2025-seed", "bafybeibdsi225ugbkmpbdohnxioyab6jsqrmkts3twhpvfnzp77xtzpyhe"),
]

# Profile, files, length of their names, length of the last one's name, sharded, CID. Each file holds "x".
DIRECTORIES = [
    ("unixfs-v0-2015", 4096, 30, 30, False, "QmX5GtRk3TSSEHtdrykgqm4eqMEn3n2XhfkFAis5fjyZmN"),
    ("unixfs-v0-2015", 4033, 31, 31, True, "QmeMiJzmhpJAUgynAcxTQYek5PPKgdv3qEvFsdV3XpVnvP"),
    ("unixfs-v1-2025", 4766, 11, 21, False, "bafybeic3h7rwruealwxkacabdy45jivq2crwz6bufb5ljwupn36gicplx4"),
    ("unixfs-v1-2025", 4766, 11, 22, True, "bafybeiegvuterwurhdtkikfhbxcldohmxp566vpjdofhzmnhv6o4freidu"),
]
ALPHABET = "abcdefghijklmnopqrstuvwxyz01234567890-_"


@pytest.mark.parametrize(("profile", "size", "seed", "expected"), FILES)
def test_files(
    profile: str, size: int, seed: str, expected: str, random_stream: Callable[[int, str], BinaryIO]
) -> None:
    assert str(hash_content(random_stream(size, seed), profile)) == expected


def names(stream: BinaryIO, count: int, length: int, last: int) -> Iterator[str]:
    for index in range(count):
        letters = stream.read(last if index == count - 1 else length)
        yield "".join(ALPHABET[letter % len(ALPHABET)] for letter in letters)


@pytest.mark.parametrize(("profile", "count", "length", "last", "sharded", "expected"), DIRECTORIES)
def test_directories(
    profile: str,
    count: int,
    length: int,
    last: int,
    sharded: bool,
    expected: str,
    random_stream: Callable[[int, str], BinaryIO],
) -> None:
    files = {name: b"x" for name in names(random_stream(MIB, f"hamt-{profile}"), count, length, last)}
    *_, root = import_tree(files, profile)
    assert Message.parse(Node.parse(root.data).data).type == (HAMT_SHARD if sharded else DIRECTORY)
    assert str(root.cid) == expected
