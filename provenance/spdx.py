"""Licence names: SPDX licence expressions and nothing else."""

from __future__ import annotations

import re
from functools import lru_cache

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from provenance.errors import DatasetError
from provenance.faults import printable

MAX_LENGTH = 256
# Packaging before 26 takes it for a licence.
_NAMELESS = re.compile(r"licenseref-(?![a-z0-9.-])", re.IGNORECASE)


@lru_cache(maxsize=1024)
def licence_expression(text: str) -> str:
    """The canonical form of an SPDX expression (``mit`` becomes ``MIT``); allows LicenseRef-*; raises DatasetError."""
    expected = "an SPDX licence expression such as CC-BY-4.0, CC0-1.0 or LicenseRef-My-Terms"
    if len(text) > MAX_LENGTH or not text.isascii() or _NAMELESS.search(text):
        raise DatasetError(f"the licence {printable(text[:40])!r} is not known", expected=expected)
    try:
        return str(canonicalize_license_expression(text))
    except InvalidLicenseExpression as error:
        raise DatasetError(
            f"the licence {printable(text)!r} is not known",
            expected=expected,
            found=str(error),
            fix="look the identifier up on spdx.org/licenses, or write your own terms as LicenseRef-NAME",
        ) from error


def licence_uri(expression: str) -> str:
    """A single licence as its page on spdx.org; a compound expression or LicenseRef as it stands."""
    if " " in expression or expression.startswith("LicenseRef-"):
        return expression
    return f"https://spdx.org/licenses/{expression.removesuffix('+')}"
