"""One thread, so that figures do not depend on the machine; a tiny CLIP model as in the audits' tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.generation.audit.conftest import clip as clip
from tests.generation.audit.conftest import clip_folder as clip_folder


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
