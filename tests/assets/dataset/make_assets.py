"""Makes the bad files beside it, one for each refusal: ``python tests/assets/dataset/make_assets.py``."""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path

from PIL import Image, PngImagePlugin

HERE = Path(__file__).parent
DIGEST = "0" * 64


def png(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def pictures() -> None:
    square = Image.new("RGB", (32, 32), (200, 40, 40))
    noise = Image.frombytes("RGB", (32, 32), bytes((i * 7919) % 251 for i in range(32 * 32 * 3)))
    whole = png(noise)
    (HERE / "truncated.png").write_bytes(whole[: len(whole) // 2])
    buffer = io.BytesIO()
    noise.save(buffer, "JPEG", quality=90)
    (HERE / "truncated.jpg").write_bytes(buffer.getvalue()[:-200])
    (HERE / "jpeg-named.png").write_bytes(buffer.getvalue())
    buffer = io.BytesIO()
    noise.save(buffer, "WEBP", quality=90)
    (HERE / "truncated.webp").write_bytes(buffer.getvalue()[:-100])
    broken = bytearray(whole)
    broken[whole.index(b"IDAT") + 20] ^= 0xFF
    (HERE / "flipped-bit.png").write_bytes(bytes(broken))
    (HERE / "bomb.png").write_bytes(png(Image.new("1", (5001, 5000)), compress_level=9))
    (HERE / "huge-bomb.png").write_bytes(png_header_only(60_000, 60_000))
    text = PngImagePlugin.PngInfo()
    text.add_text("note", "0" * 8_000_000, zip=True)
    (HERE / "text-bomb.png").write_bytes(png(square, pnginfo=text))
    frames = [square, Image.new("RGB", (32, 32), (40, 40, 200))]
    frames[0].save(HERE / "animated.webp", save_all=True, append_images=frames[1:])
    frames[0].save(HERE / "animated.png", save_all=True, append_images=frames[1:])
    square.save(HERE / "gif-named.png", "GIF")
    (HERE / "empty.png").write_bytes(b"")
    (HERE / "script-named.png").write_bytes(b"<script>alert(1)</script>")
    (HERE / "corrupt-exif.jpg").write_bytes(with_exif(b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x40\x00\x12\x01"))


def png_header_only(width: int, height: int) -> bytes:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    ihdr = struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    data = b"IDAT" + zlib.compress(b"\0" * 100)
    idat = struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    return b"\x89PNG\r\n\x1a\n" + ihdr + idat


def with_exif(exif: bytes) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), (200, 40, 40)).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def captions() -> None:
    (HERE / "bidi-caption.txt").write_text("a red \u202eelppa\u202c", encoding="utf-8")
    (HERE / "latin1-caption.txt").write_bytes("un café".encode("latin-1"))
    (HERE / "blank-caption.txt").write_text(" \n", encoding="utf-8")
    lines = {
        "unknown-key": {"file_name": "a.png", "text": "a fish", "copyright": "Ada"},
        "unknown-licence": {"file_name": "a.png", "text": "a fish", "licence": "Free-For-All"},
        "missing-file": {"file_name": "b.png", "text": "a fish"},
        "escaping-file": {"file_name": "../b.png", "text": "a fish"},
        "no-name": {"text": "a fish"},
        "unknown-consent": {"file_name": "a.png", "text": "a fish", "consent": {"basis": "vibes"}},
        "unknown-training": {"file_name": "a.png", "text": "a fish", "training_mining": "maybe"},
    }
    for name, value in lines.items():
        (HERE / f"{name}.metadata.jsonl").write_text(json.dumps(value) + "\n")
    (HERE / "repeated-file.metadata.jsonl").write_text('{"file_name": "a.png", "text": "a fish"}\n' * 2)
    (HERE / "repeated-key.metadata.jsonl").write_text('{"file_name": "a.png", "text": "a", "text": "b"}\n')


def statement(*names: str, digest: str = DIGEST) -> bytes:
    subjects = [{"name": name, "digest": {"sha256": digest}} for name in names]
    value = {"_type": "https://in-toto.io/Statement/v1", "subject": subjects, "predicateType": "t", "predicate": {}}
    return json.dumps(value).encode()


def statements() -> None:
    names = {
        "escaping": ("../b.png",),
        "absolute": ("/etc/passwd",),
        "drive": ("C:b.png",),
        "backslash": ("data\\b.png",),
        "dotted": ("data/./b.png",),
        "hidden": ("data/.b.png",),
        "bidi": ("data/gnp.\u202eb",),
        "control": ("data/b\u0007.png",),
        "decomposed": ("data/cafe\u0301.png",),
        "repeated": ("data/b.png", "data/b.png"),
        "case-fold": ("data/B.png", "data/b.png"),
        "sharp-s": ("data/strasse.png", "data/straße.png"),
        "file-and-folder": ("data/b", "data/b/c.png"),
        "empty": (),
    }
    for name, subjects in names.items():
        (HERE / f"{name}.statement.json").write_bytes(statement(*subjects))
    (HERE / "upper-case-digest.statement.json").write_bytes(statement("data/b.png", digest="A" * 64))
    (HERE / "not-a-statement.statement.json").write_bytes(b'{"_type": "https://in-toto.io/Statement/v0.1"}')


def envelopes() -> None:
    good = {"payload": "e30=", "payloadType": "t", "signatures": [{"keyid": "", "sig": "AA=="}]}
    bad = {
        "unsigned": {**good, "signatures": []},
        "no-signature-field": {"payload": "e30=", "payloadType": "t"},
        "not-base64": {**good, "payload": "e3§0="},
        "second-spelling": {**good, "payload": "e31="},
        "number-payload": {**good, "payload": 1},
    }
    for name, value in bad.items():
        (HERE / f"{name}.dsse.json").write_text(json.dumps(value))
    (HERE / "repeated-key.dsse.json").write_text('{"payload": "e30=", "payload": "e30="}')
    (HERE / "cut-off.dsse.json").write_text('{"payload": "e30=')


def tensors() -> None:
    def file(header: object, data: bytes) -> bytes:
        text = json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + data

    one = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    bad = {
        "short": file({"a": one}, bytes(4)),
        "trailing": file({"a": one}, bytes(12)),
        "overlapping": file({"a": one, "b": {**one, "data_offsets": [4, 12]}}, bytes(12)),
        "gap": file({"a": one, "b": {**one, "data_offsets": [12, 20]}}, bytes(20)),
        "wrong-size": file({"a": {**one, "shape": [3]}}, bytes(8)),
        "unknown-type": file({"a": {**one, "dtype": "F33"}}, bytes(8)),
        "negative": file({"a": {**one, "shape": [-2], "data_offsets": [0, -8]}}, bytes(8)),
        "number-metadata": file({"__metadata__": {"a": 1}, "a": one}, bytes(8)),
        "no-tensors": file({}, b""),
        "huge-header": struct.pack("<Q", 1 << 60) + b"{}",
        "pickle": b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x07payload\x94.",
    }
    for name, data in bad.items():
        (HERE / f"{name}.safetensors").write_bytes(data)


def records() -> None:
    good = {
        "caption": "a fish",
        "cid": "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
        "cid_profile": "unixfs-v1-2025",
        "consent": None,
        "licence": "CC0-1.0",
        "media_type": "image/png",
        "path": "data/a.png",
        "preprocessing": [],
        "rights_holder": "Ada",
        "sha256": DIGEST,
        "size": 1,
        "source": None,
        "training_mining": "allowed",
    }

    def line(**changes: object) -> str:
        return json.dumps({**good, **changes}, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"

    bad = {
        "outside-data": line(path="b.png"),
        "escaping": line(path="data/../../b.png"),
        "no-size": line(size=0),
        "true-size": line(size=True),
        "unknown-profile": line(cid_profile="mine"),
        "unknown-media": line(media_type="image/svg+xml"),
        "second-spelling": line(licence="cc0-1.0"),
        "extra-key": line(note="x"),
        "not-canonical": json.dumps(good) + "\n",
        "no-line-end": line().rstrip("\n"),
        "repeated": line() * 2,
        "out-of-order": line(path="data/b.png") + line(),
        "case-fold": line(path="data/A.png") + line(),
        "lone-surrogate": line().replace('"Ada"', '"\\ud800"'),
    }
    for name, text in bad.items():
        (HERE / f"{name}.records.jsonl").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for make in (pictures, captions, statements, envelopes, tensors, records):
        make()
