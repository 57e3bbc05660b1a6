# SPDX-License-Identifier: GPL-2.0-or-later
"""What holds of the document of every benchmark, on any machine.

Its shape is kept in a file: a name of a type where the document has a value. After a wanted change:
TMEM_WRITE_GOLDEN=1 pytest tests/bench.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest


def _shape(value: Any) -> Any:
    match value:
        case dict():
            return {key: _shape(item) for key, item in value.items()}
        case list():
            return [_shape(item) for item in value[:1]]
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case None:
            return "null"
        case _:
            return type(value).__name__


def check_shape(document: dict[str, Any], golden: Path) -> None:
    """The document is as the file says."""
    shape = _shape(document)
    # what a source tree without git, or another kernel, does not have
    shape["revision"] = "object or null"
    for name in ("processor", "shmem_enabled"):
        shape["machine"][name] = "str or null"
    if os.environ.get("TMEM_WRITE_GOLDEN") == "1":
        golden.write_text(json.dumps(shape, indent=1) + "\n")
    assert shape == json.loads(golden.read_text())


def check_agreement(field: dict[str, Any], *, rounds: int) -> None:
    """Value, verdict and spreads of a field are of one piece."""
    assert field["value"] == pytest.approx(field["ours"]["median"] / field["baseline"]["median"])
    assert field["met"] == (
        field["value"] <= field["target"]
        if field["better"] == "lower"
        else field["value"] >= field["target"]
    )
    assert field["rounds"] == rounds
    for spread in (field["ours"], field["baseline"], field["spread"]):
        ordered = [spread[key] for key in ("min", "lower_quartile", "upper_quartile", "max")]
        assert ordered == sorted(ordered)
    if field["wall"] is not None:
        assert field["baseline"]["median"] > 0
        assert 0 <= field["wall"]["waited_share"] <= 1
