# SPDX-License-Identifier: GPL-2.0-or-later
"""Results are read back as they were written, also when they were cut off."""

import errno
import os
from pathlib import Path

import pytest

from tests.experiment.made_up import END, HEADER, RUN, SAMPLE
from tmem_host.experiment.errors import BadResult, ExperimentError
from tmem_host.experiment.records import FILE_NAME, Writer, read


def write(folder: Path, *records: object) -> Path:
    with Writer(folder) as writer:
        for record in records:
            writer.write(record)  # type: ignore[arg-type]
    return folder / FILE_NAME


def test_all_kinds_come_back(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER, SAMPLE, RUN, SAMPLE, END)
    for named in (tmp_path, path):
        result = read(named)
        assert result.header == HEADER
        assert result.runs == [RUN]
        assert result.samples == [SAMPLE, SAMPLE]
        assert result.end == END


def test_a_result_that_was_cut_off_anywhere(tmp_path: Path) -> None:
    """After every byte of the last record: the records before it, and no end."""
    path = write(tmp_path, HEADER, RUN, END)
    whole = path.read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    for length in range(last, len(whole)):
        os.truncate(path, length)
        result = read(path)
        assert (result.runs, result.end) == ([RUN], None)
        path.write_bytes(whole)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "does not begin with a header"),
        ('{"kind": "sample"}\n', ":1: "),
        ("nonsense\n", ":1: is not a record"),
        ('{"kind": "header", "format": 99}\n', "has the format 99"),
    ],
)
def test_what_is_no_result(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / FILE_NAME
    path.write_text(text)
    with pytest.raises(BadResult, match=complaint) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_a_line_that_is_wrong_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER, RUN)
    path.write_text(path.read_text().replace('"seconds": 12.5', '"seconds": "long"'))
    with pytest.raises(BadResult, match=rf"{path}:2: 'long' is not a float"):
        read(path)


def test_fields_of_a_later_version_are_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER, RUN, END)
    text = path.read_text()
    for known in (
        '"experiment":',
        '"cpu":',
        '"arm":',
        '"disk_read_bytes":',
        '"iops":',
        '"status":',
    ):
        text = text.replace(known, f'"later": {{"x": [1]}}, {known}', 1)
    path.write_text(text)
    result = read(tmp_path)
    assert (result.header, result.runs, result.end) == (HEADER, [RUN], END)


def test_a_field_that_is_missing_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER, RUN)
    path.write_text(path.read_text().replace('"puts": 50', '"put": 50'))
    with pytest.raises(BadResult, match=rf"^{path}:2: GuestRun lacks puts$"):
        read(path)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(BadResult, match="No such file"):
        read(tmp_path / "none")


def test_a_second_result_in_one_folder(tmp_path: Path) -> None:
    write(tmp_path, HEADER)
    with pytest.raises(ExperimentError, match="already; name another --output"):
        Writer(tmp_path)


def test_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).symlink_to("/dev/full")
    with pytest.raises(ExperimentError, match="already"):
        Writer(tmp_path)
    with Writer.__new__(Writer) as writer:
        writer.path = Path("/dev/full")
        writer._file = writer.path.open("wb", buffering=0)
        with pytest.raises(ExperimentError, match=os.strerror(errno.ENOSPC)):
            writer.write(HEADER)
