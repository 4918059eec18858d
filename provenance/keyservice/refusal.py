"""Refusals of the key service, each with its HTTP status and a name that stays (RFC 9457)."""

from __future__ import annotations

from provenance.errors import KeyRefused
from provenance.http.problem import Problem

STATUS = {
    "malformed-request": 400,
    "signature-invalid": 403,
    "challenge-unknown": 403,
    "challenge-expired": 403,
    "no-licence": 403,
    "not-found": 404,
    "token-unknown": 404,
    "key-not-kept": 404,
    "method-not-allowed": 405,
    "request-timeout": 408,
    "too-large": 413,
    "not-json": 415,
    "rate-limited": 429,
    "internal": 500,
    "busy": 503,
    "ledger-unavailable": 503,
}


class Refusal(Problem, KeyRefused):
    """A refusal of the key service, with a kind out of ``STATUS``."""

    statuses = STATUS
