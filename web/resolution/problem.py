"""Refusals of the resolution service, each with its HTTP status and a name that stays (RFC 9457)."""

from __future__ import annotations

import provenance.http.problem as http

STATUS = {
    "malformed-request": 400,
    "image-refused": 400,
    "not-found": 404,
    "manifest-unknown": 404,
    "method-not-allowed": 405,
    "request-timeout": 408,
    "too-large": 413,
    "query-too-long": 414,
    "media-type-unsupported": 415,
    "rate-limited": 429,
    "internal": 500,
    "record-damaged": 500,
    "busy": 503,
    "records-unavailable": 503,
}
"""400, 404, 414, 415 and 500 as the API names them (Soft Binding API 2.2, 1.4); the others are HTTP's own."""


class Problem(http.Problem):
    """A refusal of the resolution service, with a kind out of ``STATUS``."""

    statuses = STATUS
