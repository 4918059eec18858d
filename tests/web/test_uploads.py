"""Pictures sent to `/matches/byContent`: marked ones lead to their manifest, hostile ones to a problem."""

from __future__ import annotations

import io
import socket
import time

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from provenance.resolution.repository import open_repository
from safety.watermark import embed
from tests.web.asking import ALGORITHM, PROBLEM, ask, by_content, name_of, problem
from tests.web.resolution_world import ResolutionWorld, encoded, picture, serving, unlimited
from web.resolution.desk import ResolutionDesk
from web.resolution.service import MAX_UPLOAD, UPLOADS, create_app

UPLOAD_HEAD = b"POST /matches/byContent HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"


def test_a_recompressed_picture_leads_to_its_manifest(url: str, world: ResolutionWorld) -> None:
    for image in ("fish.png", "boat.jpg", "late.png"):
        (match,) = by_content(url, world.stripped(image, "JPEG", quality=80))
        assert match["manifestId"] == name_of(url, world, image)
        assert 90 <= match["similarityScore"] <= 100
    one = world.stripped("fish.png", "PNG")
    assert len(by_content(url, one, "image/png", f"?alg={ALGORITHM}&hintAlg=x.y&hintValue=aaaa")) == 1
    assert by_content(url, one, "image/png", "?alg=com.adobe.trustmark.P") == []


def test_a_cropped_and_turned_picture_leads_to_its_manifest_and_counts_as_its_own(
    url: str, world: ResolutionWorld
) -> None:
    (match,) = by_content(url, world.cropped_and_turned("fish.png"))
    assert match["manifestId"] == name_of(url, world, "fish.png")
    assert 60 <= match["similarityScore"] <= 100
    # Of a picture recorded without its place, only the whole can be compared.
    (match,) = by_content(url, world.cropped_and_turned("old.png"))
    assert match["similarityScore"] < 50


def test_a_copied_watermark_is_told_by_its_similarity(url: str, world: ResolutionWorld) -> None:
    copied = embed(picture(90), int(world.payload("fish.png"), 16))
    (match,) = by_content(url, encoded(copied, "PNG"), "image/png")
    assert match["manifestId"] == name_of(url, world, "fish.png")
    assert match["similarityScore"] < 50


def test_an_unmarked_picture_leads_nowhere(url: str) -> None:
    assert by_content(url, encoded(picture(91), "PNG"), "image/png") == []


def bomb() -> bytes:
    """A PNG of 25,001 × 25,001 black pixels in a few hundred kilobytes."""
    output = io.BytesIO()
    Image.new("1", (25_001, 25_001)).save(output, "PNG")
    return output.getvalue()


def animated() -> bytes:
    output = io.BytesIO()
    frames = [Image.fromarray(picture(number)) for number in (1, 2)]
    frames[0].save(output, "WEBP", save_all=True, append_images=frames[1:])
    return output.getvalue()


HOSTILE = {
    "bomb": bomb,
    "truncated": lambda: encoded(picture(3), "PNG")[:-400],
    "header only": lambda: encoded(picture(3), "PNG")[:40],
    "one row": lambda: encoded(np.zeros((1, 5000, 3), np.uint8), "PNG"),
    "one column": lambda: encoded(np.zeros((5000, 1, 3), np.uint8), "PNG"),
    "animated": animated,
    "text": lambda: b"GET /etc/passwd\n" * 100,
    "gif": lambda: encoded(picture(3), "GIF"),
    "svg": lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><script>1</script></svg>',
    "empty": lambda: b"",
    "zeros": lambda: bytes(100_000),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_upload_is_refused_with_a_problem(url: str, kind: str) -> None:
    answer = ask(url, "POST", "/matches/byContent", HOSTILE[kind](), Content_Type="image/png")
    assert problem(answer) == (400, "image-refused")
    assert ask(url, "GET", "/services/supportedAlgorithms")[0] == 200


def test_odd_but_honest_pictures_are_read_and_lead_nowhere(url: str) -> None:
    drawn = Image.fromarray(picture(3))
    for image in (drawn.convert("CMYK"), drawn.convert("L"), drawn.convert("RGBA"), drawn.convert("P")):
        output = io.BytesIO()
        media = "JPEG" if image.mode == "CMYK" else "PNG"
        image.save(output, media)
        assert by_content(url, output.getvalue(), f"image/{media.lower()}") == []


@pytest.mark.parametrize(
    "media_type", ["text/plain", "image/gif", "application/pdf", "multipart/form-data; boundary=x", ""]
)
def test_an_upload_of_another_type_is_unsupported(url: str, media_type: str) -> None:
    answer = ask(url, "POST", "/matches/byContent", b"x", Content_Type=media_type)
    assert problem(answer) == (415, "media-type-unsupported")


def test_an_upload_that_says_it_is_too_large_is_refused_before_it_is_sent(url: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(UPLOAD_HEAD + b"Content-Length: %d\r\n\r\n" % (MAX_UPLOAD + 1))
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_an_upload_that_grows_too_large_is_refused(world: ResolutionWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.resolution.service.MAX_UPLOAD", 1000)
    with TestClient(create_app(ResolutionDesk(open_repository(world.maker)))) as client:
        answer = client.post(
            "/matches/byContent", content=iter([b"x" * 600, b"x" * 600]), headers={"Content-Type": "image/png"}
        )
    assert answer.status_code == 413
    assert answer.headers["content-type"] == PROBLEM


def test_only_so_many_pictures_are_received_at_once(world: ResolutionWorld) -> None:
    with serving(world.maker) as url:
        host, port = url.removeprefix("http://").split(":")
        slow = [socket.create_connection((host, int(port)), timeout=60) for _ in range(UPLOADS)]
        try:
            for connection in slow:
                connection.sendall(UPLOAD_HEAD + b"Content-Length: 1000\r\n\r\n")
            deadline = time.monotonic() + 20
            answer = ask(url, "POST", "/matches/byContent", b"x", Content_Type="image/png")
            while answer[0] != 503 and time.monotonic() < deadline:
                answer = ask(url, "POST", "/matches/byContent", b"x", Content_Type="image/png")
            assert problem(answer) == (503, "busy")
            assert ask(url, "GET", "/services/supportedAlgorithms")[0] == 200
        finally:
            for connection in slow:
                connection.close()


def test_uploads_have_a_limit_of_their_own(world: ResolutionWorld) -> None:
    desk = ResolutionDesk(open_repository(world.maker), peers=unlimited(), uploads=unlimited(1))
    with TestClient(create_app(desk)) as client:
        headers = {"Content-Type": "image/png"}
        assert client.post("/matches/byContent", content=b"x", headers=headers).status_code == 400
        assert client.post("/matches/byContent", content=b"x", headers=headers).status_code == 429
        assert client.get("/services/supportedAlgorithms").status_code == 200
