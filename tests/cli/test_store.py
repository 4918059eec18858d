"""`prov store`, as a person and as a program would use it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.store import app
from provenance.home import Home
from provenance.stores import add_tree, open_store

FILES = {"a/b.txt": b"b\xff", "release.json": b"{}"}
ROOT = Path(__file__).parents[2]


@pytest.fixture
def home() -> Home:
    return Home.create(Home.default_path())


def prov_store(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def done(*arguments: object) -> str:
    result = prov_store(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_cid_needs_no_home(tmp_path: Path) -> None:
    path = tmp_path / "hello"
    path.write_bytes(b"hello world")
    assert done("cid", path).strip() == "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
    told = json.loads(done("cid", path, "--profile", "unixfs-v0-2015", "--json"))
    assert told == {
        "cid": "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD",
        "profile": "unixfs-v0-2015",
        "file": str(path),
    }


def test_export_import_and_get(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = add_tree(open_store(home), FILES)
    car = tmp_path / "release.car"
    told = json.loads(done("export", root, "--car", car, "--json"))
    assert told == {"cid": str(root), "car": str(car), "blocks": 4, "bytes": car.stat().st_size}
    assert "4 blocks" in done("export", root, "--car", car)

    monkeypatch.setenv("PROV_HOME", str(tmp_path / "other"))
    Home.create(tmp_path / "other")
    assert done("import", car).strip() == str(root)
    assert json.loads(done("import", car, "--json")) == {"roots": [str(root)], "blocks": 4}

    assert prov_store("get", root, "a/b.txt").stdout_bytes == b"b\xff"
    assert [line.split()[1:] for line in done("get", root).splitlines()] == [["2", "a/b.txt"], ["2", "release.json"]]
    listed = json.loads(done("get", root, "a", "--json"))
    assert [(file["path"], file["bytes"]) for file in listed["files"]] == [("b.txt", 2)]
    assert listed["directory"]
    done("get", root, "--out", tmp_path / "out")
    assert (tmp_path / "out" / "a" / "b.txt").read_bytes() == b"b\xff"
    told = json.loads(done("get", root, "release.json", "--out", tmp_path / "r.json", "--json"))
    assert told["files"] == ["r.json"]


def test_an_empty_folder_is_listed(home: Home) -> None:
    assert done("get", add_tree(open_store(home), {})).strip() == "an empty folder"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["get", "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"], 3, "is not here"),
        (["get", "hello"], 1, "not a CID"),
        (["cid", "/nonexistent"], 1, "does not exist"),
        (["import", "/nonexistent.car"], 1, "does not exist"),
        (["export", "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", "--car", "x.car"], 3, "is not here"),
        (["use", "folder", "http://127.0.0.1:5001"], 2, "no address"),
        (["use", "kubo", "http://192.0.2.1:5001"], 2, "another machine"),
        (["use", "kubo", "ftp://127.0.0.1"], 2, "not the address"),
        (["use", "s3"], 2, "folder"),
        (["cid", "x", "--profile", "other"], 2, "unixfs-v1-2025"),
    ],
)
def test_refusals(
    home: Home, arguments: list[str], code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = prov_store(*arguments)
    assert result.exit_code == code
    assert said in result.stderr
    assert result.stdout == ""
    assert not (tmp_path / "x.car").exists()


def test_without_a_home_it_says_how_to_make_one() -> None:
    result = prov_store("use", "folder")
    assert result.exit_code == 3
    assert "prov init" in result.stderr


def test_use_folder_is_written_down(home: Home) -> None:
    assert json.loads(done("use", "folder", "--json")) == {"kind": "folder", "url": None, "version": None}
    assert Home.open().store.kind == "folder"


def test_a_daemon_that_does_not_answer_is_not_chosen(home: Home) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    result = prov_store("use", "kubo", f"http://127.0.0.1:{port}")
    assert result.exit_code == 3
    assert "ipfs daemon" in result.stderr
    assert Home.open().store.kind == "folder"


@pytest.mark.parametrize("command", ["use", "cid", "export", "import", "get"])
def test_help_has_one_sentence_and_an_example(command: str) -> None:
    text = done(command, "--help")
    assert f"Example: prov store {command} " in text
    assert "--json" in text


def test_importing_stores_loads_nothing_heavy() -> None:
    code = """
import sys
import provenance.cid, provenance.car, provenance.merkle, provenance.unixfs
import provenance.stores, provenance.stores.kubo, provenance.stores.archive, cli.store
heavy = {"ipfshttpclient", "requests", "urllib3", "multiaddr", "numpy", "torch", "cryptography", "PIL", "web3", "eth"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
