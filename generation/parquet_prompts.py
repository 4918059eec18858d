"""Prompts from a Parquet file, where pyarrow is installed: it is no dependency of ours."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from provenance.errors import UsageError
from provenance.files import open_file

MAX_FILE_BYTES = 256 << 20
MAX_BATCH_BYTES = 64 << 20
ROWS = 1024


def parquet_rows(
    path: Path, columns: Sequence[str], tell_unknown: Callable[[set[Any]], str]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows with their numbers from 1, some in memory at a time; raises UsageError or FileRefused."""
    try:
        parquet, arrow = importlib.import_module("pyarrow.parquet"), importlib.import_module("pyarrow")
    except ImportError as error:
        raise UsageError(
            f"{path} is Parquet, which needs pyarrow to be read",
            fix="pip install pyarrow, or save the prompts as .csv or .jsonl",
        ) from error
    number = 0
    with open_file(path) as file:
        if file.seek(0, 2) > MAX_FILE_BYTES:
            raise UsageError(f"{path} is too large", expected=f"at most {MAX_FILE_BYTES} bytes")
        file.seek(0)
        try:
            table = parquet.ParquetFile(file)
            names = table.schema_arrow.names
            if "prompt" not in names or set(names) - set(columns) or len(set(names)) != len(names):
                raise UsageError(f"{path}: {tell_unknown(set(names) - set(columns))}", expected="a column prompt")
            for batch in table.iter_batches(batch_size=ROWS):
                if batch.nbytes > MAX_BATCH_BYTES:
                    raise UsageError(f"{path} is too large once it is unpacked", expected=f"{MAX_BATCH_BYTES} bytes")
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
        except (arrow.ArrowException, OSError, ValueError) as error:
            raise UsageError(f"{path} is not readable Parquet", found=str(error)[:200]) from error
