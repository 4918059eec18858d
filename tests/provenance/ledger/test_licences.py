"""What a licence allows, told by itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.ledger.licences import COMMERCIAL, NEVER, TRANSFERABLE, Licence, Terms
from provenance.ledger.protocol import Batch, IssuerKey

LICENCE = Licence(token=1, licensee="0x" + "11" * 20, offer=1, expires=1000, granted_at=500)


@pytest.mark.parametrize(
    ("terms", "flags"),
    [
        (Terms(), 0),
        (Terms(commercial=True), COMMERCIAL),
        (Terms(transferable=True), TRANSFERABLE),
        (Terms(commercial=True, transferable=True), COMMERCIAL | TRANSFERABLE),
    ],
)
def test_flags_are_packed_as_the_contract_packs_them(terms: Terms, flags: int) -> None:
    assert terms.flags == flags


@pytest.mark.parametrize(("now", "valid"), [(0, True), (999, True), (1000, False), (1001, False)])
def test_licence_is_valid_strictly_before_its_end(now: int, valid: bool) -> None:
    assert LICENCE.is_valid(now) is valid


def test_licence_that_was_ended_is_not_valid() -> None:
    ended = Licence(**{**LICENCE.__dict__, "ended_at": 600})
    assert not ended.is_valid(601)
    assert Licence(**{**LICENCE.__dict__, "expires": NEVER}).is_valid(NEVER - 1)


@given(quota=st.integers(0, 100), used=st.integers(0, 100), anchored=st.integers(0, 100))
def test_the_same_images_are_reported_and_anchored(quota: int, used: int, anchored: int) -> None:
    held = Licence(**{**LICENCE.__dict__, "quota": quota, "used": used, "anchored": anchored})
    assert held.usage == max(used, anchored)
    if quota == 0:
        assert held.left is None
        assert held.is_valid(999)
    else:
        assert held.left == max(0, quota - held.usage)
        assert held.is_valid(999) is (held.usage < quota)


@given(first=st.integers(0, 100), count=st.integers(1, 100), serial=st.integers(0, 250))
def test_batch_covers_just_its_serials(first: int, count: int, serial: int) -> None:
    batch = Batch(1, first, count, "ab" * 32, "cid", 1, "00" * 32, 1)
    assert batch.covers(serial) is (serial in range(first, first + count))


@pytest.mark.parametrize(("time", "valid"), [(9, False), (10, True), (19, True), (20, False)])
def test_issuer_is_valid_from_until(time: int, valid: bool) -> None:
    assert IssuerKey("0x" + "11" * 20, "0a" * 32, 10, 20).is_valid(time) is valid
    assert IssuerKey("0x" + "11" * 20, "0a" * 32, 10).is_valid(time) is (time >= 10)
