"""Prompt files are read strictly: every fault with its line, all together, and nothing guessed."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from generation import prompt_file
from generation.prompt_file import read_wanted
from generation.wanted import Wanted
from provenance.errors import FileRefused, UsageError

FISH, TREE = "a red fish, in the desert", "a blue tree"


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(path: Path) -> str:
    with pytest.raises(UsageError) as refused:
        read_wanted(path)
    return str(refused.value)


def test_text_has_a_prompt_on_each_line(tmp_path: Path) -> None:
    path = written(tmp_path, "p.txt", f"\ufeff{FISH}\r\n\n  {TREE}  \n")
    assert read_wanted(path, 2) == (Wanted(FISH), Wanted(FISH), Wanted(TREE), Wanted(TREE))


ALL = (Wanted(FISH, "a house", 7, 9, 2.5), Wanted(FISH, "a house", 8, 9, 2.5), Wanted(TREE))


def test_csv_and_jsonl_say_the_same(tmp_path: Path) -> None:
    table = f'prompt,negative,seed,steps,guidance,n\n"{FISH}",a house,7,9,2.5,2\n{TREE},,,,,1\n'
    rows = [
        {"prompt": FISH, "negative": "a house", "seed": 7, "steps": 9, "guidance": 2.5, "n": 2},
        {"prompt": TREE, "seed": None, "n": 1},
    ]
    assert read_wanted(written(tmp_path, "p.csv", table), 5) == ALL
    assert read_wanted(written(tmp_path, "bom.csv", "\ufeff" + table.replace("\n", "\r\n")), 5) == ALL
    assert read_wanted(written(tmp_path, "p.jsonl", "\n\n".join(map(json.dumps, rows))), 5) == ALL


def test_columns_may_come_in_any_order_and_cells_on_several_lines(tmp_path: Path) -> None:
    path = written(tmp_path, "p.csv", 'n,prompt\n2,"a red\nfish"\n,a tree\n')
    assert [wanted.prompt for wanted in read_wanted(path, 1)] == ["a red\nfish", "a red\nfish", "a tree"]


def test_all_faults_of_a_csv_are_told_with_their_lines(tmp_path: Path) -> None:
    lines = [
        "prompt,negative,seed,steps,guidance,n",
        ",,,,,",
        "a,,1E+10,,,",
        "b,,,0,,",
        'c,,,,"7,5",',
        "d,,,,,0",
        "e,,007.0,,nan,",
        "f,x",
        '"=A1&"" at night""",,,,,',
        "#NAME?,,,,,",
        "g,,-1,,,",
        "h,,,,,10001",
        "fine,,,,,",
    ]
    told = refusal(written(tmp_path, "p.csv", "\n".join(lines)))
    for fault in (
        "line 2: the prompt is empty",
        "line 3: seed is '1E+10', not a whole number",
        "line 4: the prompt: 0 steps",
        "line 5: guidance is '7,5', not a number",
        "line 6: n is 0",
        "line 7: seed is '007.0'",
        "line 7: guidance is 'nan'",
        "line 8: 2 cells under 6 columns",
        "line 9: prompt is a spreadsheet's formula",
        "line 10: prompt is a spreadsheet's formula or error",
        "line 11: seed is '-1'",
        "line 12: n is 10001",
    ):
        assert fault in told
    assert "line 13" not in told


def test_all_faults_of_json_lines_are_told_with_their_lines(tmp_path: Path) -> None:
    lines = [
        b'{"prompt": 7}',
        b'{"prompt": "a", "prompt": "b"}',
        b'{"prompt": "a", "sed": 1}',
        b'{"prompt": "a", "seed": true}',
        b'{"prompt": "a", "seed": 7.0}',
        b'{"prompt": "a", "guidance": NaN}',
        b'{"prompt": "a", "guidance": 1e400}',
        b'["a"]',
        b'{"prompt": "a"',
        b'{"prompt": "\xff"}',
        b'{"prompt": "\\ud800"}',
        b'{"prompt": "a\\u0000b"}',
        b'{"negative": "a"}',
        b"[" * 5000,
    ]
    told = refusal(written(tmp_path, "p.jsonl", b"\n".join(lines)))
    for number in range(1, len(lines) + 1):
        assert f"line {number}: " in told
    assert "unknown columns 'sed'; known are prompt, negative, seed, steps, guidance, n" in told
    assert "not UTF-8" in told


def test_more_faults_than_anybody_reads_are_counted(tmp_path: Path) -> None:
    assert "and 80 more" in refusal(written(tmp_path, "p.jsonl", '{"prompt": ""}\n' * 100))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("p.csv", "prompt;seed\na;1\n", "commas"),
        ("p.csv", "prompt,Seed\na,1\n", "unknown columns 'Seed'"),
        ("p.csv", "prompt,seed,seed\na,1,2\n", "at most once"),
        ("p.csv", "seed\n1\n", "does not name the columns"),
        ("p.csv", "", "does not name the columns"),
        ("p.csv", "prompt\n", "holds no prompt"),
        ("p.csv", 'prompt\n"a" b\n', "not CSV"),
        ("p.csv", 'prompt\n"never ended\n', "not CSV"),
        ("p.txt", "", "holds no prompt"),
        ("p.txt", "a red fish".encode("utf-16"), "UTF-16"),
        ("p.txt", b"caf\xe9\n", "line 1: not UTF-8"),
        ("p.txt", "a fish\ra tree", "U+000D"),
        ("p.txt", "x" * 5000, "5000 characters"),
        ("p.txt", "x" * 70_000, "too large at line 1"),
        ("p.yaml", "prompt: a", ".txt, .jsonl, .csv, .parquet"),
        ("p", "a", ".txt, .jsonl, .csv, .parquet"),
    ],
)
def test_what_is_no_prompt_file_is_refused(tmp_path: Path, name: str, content: str | bytes, says: str) -> None:
    assert says in refusal(written(tmp_path, name, content))


def test_a_few_lines_cannot_ask_for_more_than_a_million(tmp_path: Path) -> None:
    assert "too many pictures" in refusal(written(tmp_path, "p.csv", "prompt,n\n" + "a,10000\n" * 101))


def test_a_file_is_read_no_further_than_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_file, "MAX_FILE_BYTES", 100)
    assert "too large at line 10" in refusal(written(tmp_path, "p.txt", "a red fish\n" * 10_000))


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    written(tmp_path, "target.csv", "prompt\na\n")
    (tmp_path / "p.csv").symlink_to(tmp_path / "target.csv")
    with pytest.raises(FileRefused):
        read_wanted(tmp_path / "p.csv")


def test_without_pyarrow_a_parquet_file_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def absent(name: str, *given: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *given)

    monkeypatch.setattr(importlib, "import_module", absent)
    assert "pip install pyarrow" in refusal(written(tmp_path, "p.parquet", b"PAR1"))


def test_parquet_says_the_same_as_csv(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {
        "prompt": [FISH, TREE],
        "negative": ["a house", None],
        "seed": [7, None],
        "steps": [9, None],
        "guidance": [2.5, None],
        "n": [2, 1],
    }
    parquet.write_table(arrow.table(columns), tmp_path / "p.parquet")
    assert read_wanted(tmp_path / "p.parquet") == ALL
    parquet.write_table(arrow.table({**columns, "sed": [1, 2]}), tmp_path / "p.parquet")
    assert "unknown columns 'sed'" in refusal(tmp_path / "p.parquet")
    parquet.write_table(arrow.table({"prompt": ["a", None], "seed": [1.5, 2.0]}), tmp_path / "p.parquet")
    told = refusal(tmp_path / "p.parquet")
    assert "line 1: seed is 1.5" in told
    assert "line 2: " in told
    for content in (b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1"):
        assert "not readable Parquet" in refusal(written(tmp_path, "p.parquet", content))
