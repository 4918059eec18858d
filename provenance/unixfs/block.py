"""Blocks on their way to a store, and what a parent must know of them."""

from __future__ import annotations

from dataclasses import dataclass

from provenance.cid import DAG_PB, Cid
from provenance.unixfs.dagpb import Link, Node


@dataclass(frozen=True)
class Subtree:
    """A block seen from its parent.

    ``total`` is the bytes of the block and of every block below it, counted once per link; ``size`` is the bytes
    of file content below it.
    """

    cid: Cid
    total: int
    size: int

    def link(self, name: str) -> Link:
        """A link to it."""
        return Link(self.cid, name, self.total)


@dataclass(frozen=True)
class Block:
    """The bytes of one block, with what a parent must know of it."""

    data: bytes
    subtree: Subtree

    @property
    def cid(self) -> Cid:
        """The block's CID."""
        return self.subtree.cid

    @classmethod
    def of_node(cls, node: Node, version: int, size: int) -> Block:
        """The block of a dag-pb node with ``size`` bytes of file content below it."""
        data = node.encode()
        total = len(data) + sum(link.total for link in node.links)
        return cls(data, Subtree(Cid.of_block(data, DAG_PB, version), total, size))
