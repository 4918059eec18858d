"""croissant.json: the dataset described in Croissant 1.1 (JSON-LD), which `mlcroissant` validates and loads."""

from __future__ import annotations

from collections.abc import Sequence

from provenance.canonical import Json, canonical_json, sha256_hex
from provenance.records import Record
from provenance.spdx import licence_uri

CONFORMS_TO = "http://mlcommons.org/croissant/1.1"
TEXT, INTEGER = "sc:Text", "sc:Integer"
FIELDS = {
    "path": TEXT,
    "caption": TEXT,
    "media_type": TEXT,
    "size": INTEGER,
    "sha256": TEXT,
    "cid": TEXT,
    "licence": TEXT,
    "rights_holder": TEXT,
    "training_mining": TEXT,
}
CONTEXT: Json = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def describe(name: str, records: Sequence[Record], records_jsonl: bytes, created: str) -> bytes:
    """The description of a dataset: records.jsonl with its SHA-256, the pictures, and how to read one from the other.

    Every picture's own SHA-256 is in records.jsonl, which this file binds; ``created`` is an RFC 3339 moment.
    """
    holders = sorted({record.rights_holder for record in records})
    licences = sorted({record.licence for record in records})
    return canonical_json(
        {
            **_annotation(records),
            "@context": CONTEXT,
            "@type": "sc:Dataset",
            "conformsTo": CONFORMS_TO,
            "name": name,
            "description": f"{len(records)} captioned pictures; the rights of each are in records.jsonl.",
            "license": [licence_uri(licence) for licence in licences],
            "creator": [{"@type": "sc:Organization", "name": holder} for holder in holders[:100]],
            "datePublished": created,
            "version": "1.0.0",
            "citeAs": f"{name}. {', '.join(holders[:5])}.",
            "distribution": [
                {
                    "@type": "cr:FileObject",
                    "@id": "records.jsonl",
                    "name": "records.jsonl",
                    "contentUrl": "records.jsonl",
                    "contentSize": f"{len(records_jsonl)} B",
                    "encodingFormat": "application/jsonlines",
                    "sha256": sha256_hex(records_jsonl),
                },
                {
                    "@type": "cr:FileSet",
                    "@id": "pictures",
                    "name": "pictures",
                    "encodingFormat": sorted({record.media_type for record in records}),
                    "includes": "data/**",
                },
            ],
            "recordSet": [
                {
                    "@type": "cr:RecordSet",
                    "@id": "records",
                    "name": "records",
                    "key": {"@id": "records/path"},
                    "field": [_field(column, kind) for column, kind in FIELDS.items()],
                }
            ],
        }
    )


def _annotation(records: Sequence[Record]) -> Json:
    """Croissant's responsible-AI vocabulary, section on labelling: the tools that captions were written with."""
    written = [record.caption_by for record in records if record.caption_by is not None]
    if not written:
        return {}
    tools = sorted({f"{each.model} (sha256 {each.sha256})" for each in written})
    return {
        "rai:dataAnnotationProtocol": f"{len(written)} of {len(records)} captions were written by a model.",
        "rai:machineAnnotationTools": tools,
    }


def _field(column: str, kind: str) -> Json:
    return {
        "@type": "cr:Field",
        "@id": f"records/{column}",
        "name": f"records/{column}",
        "dataType": kind,
        "source": {"fileObject": {"@id": "records.jsonl"}, "extract": {"column": column}},
    }
