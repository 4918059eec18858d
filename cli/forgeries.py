"""What happens to pictures in the wild, done here so that the demo can show what a verifier says."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from provenance.files import read_file, write_file

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def stripped_and_recompressed(source: Path, target: Path, quality: int = 80) -> None:
    """What a platform does on upload: all metadata gone, saved again as JPEG."""
    buffer = io.BytesIO()
    _pixels(source).save(buffer, "JPEG", quality=quality)
    write_file(target, buffer.getvalue())


def turned_and_cropped(source: Path, target: Path, angle: float = 7, share: float = 0.6, quality: int = 70) -> None:
    """What someone does who wants the picture to themselves: metadata gone, turned, the edges cut off, saved as JPEG.

    ``angle`` degrees counter-clockwise; ``share`` of the area is left, seen through a window that the turn fills.
    """
    picture = _pixels(source)
    width, height = picture.size
    left, top = (side * (1 - share**0.5) / 2 for side in picture.size)
    turned = picture.rotate(angle, Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    cropped = turned.crop((round(left), round(top), round(width - left), round(height - top)))
    cropped.save(buffer, "JPEG", quality=quality)
    write_file(target, buffer.getvalue())


def edited_manifest(source: Path, target: Path) -> None:
    """A forger rewrites the signed manifest: the generator's name becomes another's, the chunk's checksum is mended."""
    data = read_file(source)
    out, position = [PNG_SIGNATURE], len(PNG_SIGNATURE)
    while position < len(data):
        (length,) = struct.unpack_from(">I", data, position)
        kind, body = data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        if kind == b"caBX":
            body = body.replace(b"trainedAlgorithmicMedia", b"trainedAlgorithmicFilms")
        out.append(struct.pack(">I", length) + kind + body + struct.pack(">I", zlib.crc32(kind + body)))
        position += 12 + length
    write_file(target, b"".join(out))


def copied_watermark(source: Path, target: Path) -> None:
    """A forger reads the watermark of a real picture and embeds it into a picture of his own."""
    from safety.watermark import detect, embed

    found = detect(np.asarray(_pixels(source)))
    if found.payload is None:
        raise ValueError(f"{source} carries no watermark to copy")
    buffer = io.BytesIO()
    Image.fromarray(embed(_foreign_picture(), found.payload)).save(buffer, "PNG")
    write_file(target, buffer.getvalue())


def _foreign_picture() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    rows, _ = np.mgrid[0:256, 0:256]
    sky = np.stack([90 + rows // 3, 120 + rows // 4, 190 - rows // 8], axis=-1).astype(np.uint8)
    picture = Image.fromarray(sky)
    draw = ImageDraw.Draw(picture)
    draw.ellipse((160, 36, 214, 90), (250, 226, 150))
    draw.polygon([(0, 256), (84, 118), (150, 214), (196, 150), (256, 256)], (74, 84, 96))
    return np.asarray(picture)


def _pixels(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return picture.convert("RGB")
