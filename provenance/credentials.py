"""Content Credentials: the C2PA manifest that a picture carries, written and read with c2pa-python.

The manifest says: created by a trained model, or opened and edited by one; watermarked (the soft binding names the
payload); our own assertion, which names the ledger, the record, the adapter and the pixels; and what the safety filters
decided. Nothing is fetched from any network: remote manifests and OCSP are off, and so are thumbnails.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from provenance.c2pa_context import context
from provenance.canonical import Json
from provenance.decisions import SAFETY_LABEL, claim_of, read_claim
from provenance.errors import CredentialsError
from provenance.ingredient import Ingredient
from provenance.latent_entry import LATENT_ALGORITHM
from provenance.placement import is_placement
from provenance.record import Origin

if TYPE_CHECKING:
    from safety.decision import Decision

ASSERTION_LABEL = "org.prov.image"
SOFT_BINDING_LABEL = "c2pa.soft-binding"
ACTIONS_LABEL = "c2pa.actions.v2"
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
COMPOSITE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
SOURCE_TYPES = (SOURCE_TYPE, COMPOSITE_TYPE)
GENERATOR = "prov"
STORE_TYPE = "application/c2pa"
# `dwtDctSvd` was written with another error-correcting code until 0.1.0.
VERSIONS = {"dwtDctSvd": 2}

UNTRUSTED, EXPIRED, OTHER_PIXELS = (
    "signingCredential.untrusted",
    "signingCredential.expired",
    "assertion.dataHash.mismatch",
)
SIGNED = "claimSignature.validated"

_HEX64 = re.compile(r"[0-9a-f]{64}")
_PAYLOAD = re.compile(r"[0-9a-f]{16}")
_LATER = {"fingerprint", "size", "placement"}
T = TypeVar("T")


def soft_binding_algorithm(backend: str) -> str:
    """The name of a watermark backend in soft bindings, with the version of what it writes."""
    return f"org.prov.{backend.lower()}.{VERSIONS.get(backend, 1)}"


class CredentialSigner(Protocol):
    """Whoever signs credentials: an ES256 key and its certificates, leaf first."""

    @property
    def certificates_pem(self) -> bytes:
        """Leaf and root as PEM."""

    def sign(self, data: bytes) -> bytes:
        """An ECDSA P-256 signature over SHA-256 of the data, in DER."""


@dataclass(frozen=True)
class ProvAssertion:
    """What our own assertion says; ``adapter`` is the weights digest, ``issuer`` the root certificate's digest.

    ``fingerprint`` is the picture's, so that a recovered manifest can be told from one whose watermark was copied
    without asking for the record (C2PA Soft Binding API 2.2, 1.2.2.3); so that this holds for a crop too, ``size`` is
    {"width", "height"} and ``placement`` where it lies on its watermark's plane. Earlier manifests have none of these.
    """

    payload: str
    record: str
    chain_id: int
    contract: str
    token: int
    adapter: str | None
    dataset: str | None
    pixels: str
    issuer: str
    fingerprint: str | None = None
    size: Mapping[str, int] | None = None
    placement: Mapping[str, float] | None = None

    @classmethod
    def of(
        cls,
        origin: Origin,
        serial: int,
        pixels: str,
        fingerprint: str | None = None,
        size: Mapping[str, int] | None = None,
        placement: Mapping[str, float] | None = None,
    ) -> ProvAssertion:
        """The assertion for one serial of an origin; ``pixels`` is ``pixels_digest`` of the encoded picture."""
        return cls(
            payload=f"{origin.payload(serial):016x}",
            record=origin.record_id(serial),
            chain_id=origin.chain_id,
            contract=origin.contract,
            token=origin.token,
            adapter=origin.weights,
            dataset=origin.dataset,
            pixels=pixels,
            issuer=origin.issuer,
            fingerprint=fingerprint,
            size=size,
            placement=placement,
        )

    @classmethod
    def parse(cls, value: Any) -> ProvAssertion:
        """Reads an assertion strictly; raises CredentialsError."""
        if not isinstance(value, dict) or set(value) | _LATER != {field.name for field in fields(cls)}:
            raise CredentialsError(f"the {ASSERTION_LABEL} assertion has missing or unknown fields")
        for name, check in _CHECKS.items():
            if not check(value.get(name)):
                raise CredentialsError(
                    f"the {ASSERTION_LABEL} assertion's {name} is wrong", found=repr(value.get(name))[:100]
                )
        return cls(**value)

    def to_json(self) -> Json:
        """The assertion as a JSON object; C2PA stores it as CBOR."""
        return {name: value for name, value in asdict(self).items() if name not in _LATER or value is not None}


@dataclass(frozen=True)
class SignedImage:
    """A picture with its credentials embedded, and the manifest store by itself."""

    data: bytes
    manifest: bytes


@dataclass(frozen=True)
class Credentials:
    """What was read from a picture.

    ``state``: ``absent``; ``invalid`` (``failures`` says why); ``expired``: intact, but its certificate has since
    expired, so that only an anchor can date it; ``untrusted``: intact, by an issuer not among the roots given;
    ``trusted``. ``fault`` says what is wrong with our own assertions, if that is all that is wrong. ``decisions`` are
    those of the safety filters, None in earlier manifests.
    """

    state: str
    failures: tuple[str, ...] = ()
    assertion: ProvAssertion | None = None
    soft_binding: tuple[str, str] | None = None
    latent_binding: tuple[str, str] | None = None
    source_type: str | None = None
    issuer_name: str = ""
    certificate_serial: str = ""
    generator: str = ""
    fault: str | None = None
    decisions: tuple[Decision, ...] | None = None


def sign_image(
    image: bytes,
    media_type: str,
    *,
    issuer: CredentialSigner,
    assertion: ProvAssertion,
    soft_binding: str,
    title: str,
    latent_binding: bool = False,
    decisions: Sequence[Decision] = (),
    ingredient: Ingredient | None = None,
) -> SignedImage:
    """Embeds signed credentials in a PNG, JPEG or WebP file; pixels stay as they are.

    ``soft_binding`` is the algorithm's name (``soft_binding_algorithm``); its value is the payload. The manifest's own
    name ends with it, ``urn:c2pa:UUID:prov-PAYLOAD`` (C2PA 2.2, 8.1), so that a name alone leads to the record. With
    ``latent_binding`` a second soft binding says that the initial noise carries the payload too. ``decisions`` of the
    safety filters become an assertion of their own. ``ingredient`` is the picture that this one was made from. Raises
    CredentialsError.
    """
    import c2pa

    manifest = {
        "claim_generator_info": [{"name": GENERATOR, "version": _version()}],
        "vendor": f"{GENERATOR}-{assertion.payload}",
        "title": title,
        "format": media_type,
        "assertions": [
            {"label": ACTIONS_LABEL, "data": {"actions": _actions(ingredient)}},
            *(
                {
                    "label": SOFT_BINDING_LABEL,
                    "data": {"alg": algorithm, "blocks": [{"scope": {}, "value": assertion.payload}]},
                }
                for algorithm in (soft_binding, *([LATENT_ALGORITHM] if latent_binding else []))
            ),
            {"label": ASSERTION_LABEL, "data": assertion.to_json()},
            *([{"label": SAFETY_LABEL, "data": claim_of(decisions)}] if decisions else []),
        ],
    }
    output = io.BytesIO()
    try:
        with context() as unfetched, c2pa.Builder(json.dumps(manifest), context=unfetched) as builder:
            if ingredient is not None:
                ingredient.add_to(builder)
            algorithm = c2pa.C2paSigningAlg.ES256
            with c2pa.Signer.from_callback(issuer.sign, algorithm, issuer.certificates_pem.decode()) as signer:
                store = builder.sign(signer, media_type, io.BytesIO(image), output)
    except c2pa.C2paError as error:
        raise CredentialsError(
            f"credentials cannot be written into {title}", found=str(error)[:300], fix="check `prov init` and the file"
        ) from error
    if not store:
        raise CredentialsError(f"credentials cannot be written into {title}", found="no manifest store was returned")
    return SignedImage(output.getvalue(), bytes(store))


def read_credentials(
    image: bytes, media_type: str, anchors_pem: bytes = b"", *, manifest: bytes | None = None
) -> Credentials:
    """Reads and validates the credentials of a picture against root certificates; never raises for bad ones.

    With ``manifest``, a manifest store kept elsewhere is read instead of the embedded one, and the picture may be
    another encoding of its pixels: then a different data hash is no failure.
    """
    import c2pa

    try:
        with context(anchors_pem) as unfetched:
            reader = c2pa.Reader.try_create(media_type, io.BytesIO(image), manifest, context=unfetched)
            if reader is None:
                return Credentials("absent")
            with reader:
                report = json.loads(reader.json())
    except c2pa.C2paError.RemoteManifest:
        return Credentials("absent", failures=("a remote manifest is named; it is never fetched",))
    except c2pa.C2paError as error:
        return Credentials("invalid", failures=(_printable(str(error)),))
    return _interpret(report, forgiven=frozenset() if manifest is None else frozenset({OTHER_PIXELS}))


def named_bindings(manifest: bytes) -> tuple[tuple[str, str], ...]:
    """Every (algorithm, value) that the soft bindings of a manifest store's active manifest name, without judging it.

    Raises CredentialsError for what is no manifest store.
    """
    import c2pa

    try:
        with context() as unfetched, c2pa.Reader(STORE_TYPE, io.BytesIO(manifest), context=unfetched) as reader:
            report = json.loads(reader.json())
    except c2pa.C2paError as error:
        raise CredentialsError("this is not a C2PA manifest store", found=_printable(str(error))) from error
    active = (report.get("manifests") or {}).get(report.get("active_manifest") or "") or {}
    return tuple(
        (str(assertion["data"].get("alg", ""))[:100], str(block.get("value", ""))[:100])
        for assertion in active.get("assertions", [])
        if str(assertion.get("label", "")).startswith(SOFT_BINDING_LABEL) and isinstance(assertion.get("data"), dict)
        for block in assertion["data"].get("blocks") or []
        if isinstance(block, dict)
    )


def _interpret(report: Json, forgiven: frozenset[str]) -> Credentials:
    results = report.get("validation_results") or {}
    active = results.get("activeManifest") or {}
    codes = [entry.get("code", "") for entry in active.get("failure", [])]
    for delta in results.get("ingredientDeltas") or []:
        changed = [entry.get("code", "") for entry in (delta.get("validationDeltas") or {}).get("failure", [])]
        # Who signed what this picture was made from, and until when that counts, says nothing of this one's signer.
        codes += [code for code in changed if code not in (UNTRUSTED, EXPIRED)]
    failures = sorted({_printable(code) for code in codes} - forgiven)
    signed = any(entry.get("code") == SIGNED for entry in active.get("success", []))
    intact = signed and report.get("validation_state") in ("Valid", "Trusted", *(["Invalid"] if forgiven else []))
    if intact and not failures:
        state = "trusted"
    elif intact and failures == [UNTRUSTED]:
        state = "untrusted"
    elif signed and EXPIRED in failures and set(failures) <= {EXPIRED, UNTRUSTED}:
        state = "expired"
    else:
        state = "invalid"
    if state == "trusted" and not any(e.get("code") == "signingCredential.trusted" for e in active.get("success", [])):
        state = "untrusted"
    manifest = (report.get("manifests") or {}).get(report.get("active_manifest") or "") or {}
    return _describe(state, tuple(failures), manifest)


def _describe(state: str, failures: tuple[str, ...], manifest: Json) -> Credentials:
    assertions = [a for a in manifest.get("assertions", []) if isinstance(a, dict)]
    bindings = [a.get("data") for a in assertions if str(a.get("label", "")).startswith(SOFT_BINDING_LABEL)]
    assertion, fault = _our_own(assertions, ASSERTION_LABEL, ProvAssertion.parse)
    decisions, unreadable = _our_own(assertions, SAFETY_LABEL, read_claim)
    signature = manifest.get("signature_info") or {}
    generators = manifest.get("claim_generator_info") or [{}]
    return Credentials(
        state=state,
        failures=failures,
        assertion=assertion,
        soft_binding=_binding([b for b in bindings if not _is_latent(b)]),
        latent_binding=_binding([b for b in bindings if _is_latent(b)]),
        source_type=_source_type(assertions),
        issuer_name=_printable(str(signature.get("issuer", ""))),
        certificate_serial=str(signature.get("cert_serial_number", "")),
        generator=_printable(f"{generators[0].get('name', '')} {generators[0].get('version', '')}".strip()),
        fault=fault or unreadable,
        decisions=decisions,
    )


def _our_own(assertions: list[Json], label: str, parse: Callable[[Any], T]) -> tuple[T | None, str | None]:
    """An assertion of ours, None where there is none, and what is wrong with it."""
    found = [a.get("data") for a in assertions if str(a.get("label", "")).startswith(label)]
    if len(found) > 1:
        return None, f"there are {len(found)} {label} assertions"
    try:
        return (parse(found[0]) if found else None), None
    except CredentialsError as error:
        return None, error.what


def _is_latent(binding: Any) -> bool:
    return isinstance(binding, dict) and binding.get("alg") == LATENT_ALGORITHM


def _binding(bindings: list[Any]) -> tuple[str, str] | None:
    if len(bindings) != 1 or not isinstance(bindings[0], dict):
        return None
    blocks = bindings[0].get("blocks")
    if not isinstance(blocks, list) or len(blocks) != 1 or not isinstance(blocks[0], dict):
        return None
    return str(bindings[0].get("alg", ""))[:100], str(blocks[0].get("value", ""))[:100]


def _source_type(assertions: list[Json]) -> str | None:
    for assertion in assertions:
        if str(assertion.get("label", "")).startswith("c2pa.actions") and isinstance(assertion.get("data"), dict):
            for action in assertion["data"].get("actions", []):
                if isinstance(action, dict) and action.get("action") in ("c2pa.created", "c2pa.edited"):
                    return str(action.get("digitalSourceType"))
    return None


def _actions(ingredient: Ingredient | None) -> list[Json]:
    """What was done (C2PA 2.2, 18.15): a picture is either created, or opened and then edited."""
    agent = {"name": GENERATOR, "version": _version()}
    made: list[Json] = [{"action": "c2pa.created", "digitalSourceType": SOURCE_TYPE, "softwareAgent": agent}]
    if ingredient is not None:
        source_type = COMPOSITE_TYPE if ingredient.kept else SOURCE_TYPE
        edited: Json = {"action": "c2pa.edited", "digitalSourceType": source_type, "softwareAgent": agent}
        made = [{**ingredient.opened(), "softwareAgent": agent}, edited]
    return [*made, {"action": "c2pa.watermarked.bound", "softwareAgent": agent}]


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("prov")
    except PackageNotFoundError:
        return "0"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)[:300]


def _hex(pattern: re.Pattern[str], *, optional: bool = False) -> Callable[[Any], bool]:
    return lambda value: (optional and value is None) or (isinstance(value, str) and bool(pattern.fullmatch(value)))


def _is_size(value: Any) -> bool:
    known = isinstance(value, dict) and set(value) == {"width", "height"}
    return known and all(_whole(side) and side > 0 for side in value.values())


def _whole(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "payload": _hex(_PAYLOAD),
    "record": lambda value: isinstance(value, str) and value.startswith("urn:prov:image:") and len(value) < 200,
    "chain_id": _whole,
    "contract": _hex(re.compile(r"0x[0-9a-f]{40}")),
    "token": _whole,
    "adapter": _hex(_HEX64, optional=True),
    "dataset": _hex(_HEX64, optional=True),
    "pixels": _hex(_HEX64),
    "issuer": _hex(_HEX64),
    "fingerprint": _hex(re.compile(r"[0-9a-f]{16,2048}"), optional=True),
    "size": lambda value: value is None or _is_size(value),
    "placement": lambda value: value is None or is_placement(value),
}
