"""A Kubo daemon as the store, reached over its RPC with `ipfshttpclient`.

Blocks go up as CARs, so that the CID is fixed here and never by the daemon's settings; what comes down is hashed
again. `ipfshttpclient.connect()` refuses today's daemons by their version, so the client is constructed directly.
"""

from __future__ import annotations

import io
import re
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from provenance.car import car_bytes, read_car
from provenance.cid import Cid, as_cid
from provenance.errors import BlockMissing, StoreUnavailable
from provenance.faults import printable
from provenance.stores.address import DEFAULT_URL, RpcAddress
from provenance.stores.rpc import Unbelievable, open_client, shallow_parsing
from provenance.unixfs import Block

BATCH_BYTES = 16 * 1024 * 1024
UPLOAD_CHUNK = 1024 * 1024
ABSENT = re.compile(r"not found locally|could not find|block not found|context deadline exceeded", re.IGNORECASE)


class KuboStore:
    """A `BlockStore` in a Kubo daemon. ``timeout`` is seconds per request; use from one thread at a time.

    With ``offline`` the daemon answers from what it has; otherwise it may ask the IPFS network for a block.
    """

    def __init__(
        self, url: str = DEFAULT_URL, *, allow_remote: bool = False, timeout: float = 60.0, offline: bool = False
    ) -> None:
        self.address = RpcAddress.parse(url, allow_remote=allow_remote)
        self._timeout = timeout
        self._offline = offline
        self._client = open_client(self.address, timeout)
        self._closer = weakref.finalize(self, self._client.close_session)

    def __enter__(self) -> KuboStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections; the store is not used afterwards."""
        self._closer()

    def version(self) -> str:
        """The daemon's version; raises StoreUnavailable when none answers."""
        answer = self._request("/version")
        if not answer or not isinstance(answer[0].get("Version"), str):
            raise self._strange(answer)
        return str(answer[0]["Version"])

    def put(self, cid: Cid | str, data: bytes) -> None:
        """Stores one block."""
        cid = as_cid(cid)
        self._import([(cid, cid.check(data))])

    def put_blocks(self, blocks: Iterable[Block]) -> None:
        """Stores many blocks, 16 MiB in one request."""
        self._put_all((block.cid, block.cid.check(block.data)) for block in blocks)

    def put_car(self, stream: BinaryIO) -> tuple[Cid, ...]:
        """Stores every block of a CARv1, each hashed here first, and gives its roots."""
        car = read_car(stream)
        self._put_all(car.blocks)
        return car.roots

    def get(self, cid: Cid | str) -> bytes:
        """One block, hashed again as it arrives; a daemon on the network may take up to the timeout to find it."""
        cid = as_cid(cid)
        with self._translated(cid):
            data = self._client.request("/block/get", (str(cid),), offline=self._offline, opts=self._options())
        return cid.check(data)

    def has(self, cid: Cid | str) -> bool:
        """Whether the daemon holds the block itself."""
        cid = as_cid(cid)
        try:
            self._request("/block/stat", str(cid), offline=True)
        except BlockMissing:
            return False
        return True

    def keep(self, root: Cid | str) -> None:
        """Pins everything below a root; raises BlockMissing when the daemon cannot find some of it."""
        self._request("/pin/add", str(as_cid(root)), offline=self._offline, opts={"recursive": "true"})

    def describe(self) -> str:
        """The daemon's address."""
        return f"the Kubo daemon at {self.address}"

    def _put_all(self, blocks: Iterable[tuple[Cid, bytes]]) -> None:
        batch: list[tuple[Cid, bytes]] = []
        size = 0
        for cid, data in blocks:
            batch.append((cid, data))
            size += len(data)
            if size >= BATCH_BYTES:
                self._import(batch)
                batch, size = [], 0
        if batch:
            self._import(batch)

    def _import(self, blocks: list[tuple[Cid, bytes]]) -> None:
        from ipfshttpclient import multipart

        archive = io.BytesIO(car_bytes([blocks[-1][0]], blocks))
        body, headers = multipart.stream_files(archive, chunk_size=UPLOAD_CHUNK)
        # `Client.dag.imprt` expects exactly one line of answer; without pinning there is none but the count.
        answer = self._request("/dag/import", data=body, headers=headers, opts={"pin-roots": "false", "stats": "true"})
        stats = answer[-1].get("Stats") if answer else None
        if not isinstance(stats, dict) or stats.get("BlockCount") != len(blocks):
            raise self._strange(answer)

    def _request(self, path: str, *arguments: str, opts: dict[str, str] | None = None, **more: Any) -> list[Any]:
        with self._translated(arguments[0] if arguments else None):
            answer = self._client.request(
                path, arguments, decoder="json", opts={**self._options(), **(opts or {})}, **more
            )
        if not isinstance(answer, list) or not all(isinstance(line, dict) for line in answer):
            raise self._strange(answer)
        return answer

    def _options(self) -> dict[str, str]:
        return {"timeout": f"{self._timeout:g}s"}

    @contextmanager
    def _translated(self, cid: Cid | str | None) -> Iterator[None]:
        import requests
        import urllib3
        from ipfshttpclient import exceptions

        try:
            with shallow_parsing():
                yield
        except exceptions.ErrorResponse as error:
            if cid is not None and ABSENT.search(str(error)):
                raise BlockMissing(
                    f"{self.describe()} cannot find {cid}, or something below it",
                    found=printable(str(error)),
                    fix="bring it with `prov store import FILE.car`, or start the daemon online",
                ) from error
            raise StoreUnavailable(
                f"{self.describe()} refused", found=printable(str(error)), fix="see the daemon's log"
            ) from error
        except (exceptions.TimeoutError, urllib3.exceptions.TimeoutError) as error:
            raise StoreUnavailable(
                f"{self.describe()} did not answer within {self._timeout:g} s",
                fix="see whether it is busy, then try again",
            ) from error
        except exceptions.ConnectionError as error:
            raise StoreUnavailable(
                f"{self.describe()} cannot be reached",
                found=str(error),
                fix="start it with `ipfs daemon`, or use the embedded store with `prov store use folder`",
            ) from error
        except (exceptions.Error, requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise self._strange(error) from error
        except (RecursionError, Unbelievable) as error:
            raise self._strange(error) from error

    def _strange(self, answer: object) -> StoreUnavailable:
        return StoreUnavailable(
            f"{self.describe()} did not answer as Kubo does",
            found=printable(str(answer)[:200]) or "nothing",
            fix="check that the address is the RPC of a Kubo (0.42 is known to work) and not its gateway",
        )
