# SPDX-License-Identifier: GPL-2.0-or-later
"""tmem report as somebody runs it: what it prints, writes and refuses."""

import csv
import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.report.synthetic import Plan, write
from tmem_host.cli import main
from tmem_host.experiment.records import FILE_NAME, FORMAT, read
from tmem_host.report.files import CSV_NAME, PAGE_NAME

Capture = pytest.CaptureFixture[str]


def fails(capsys: Capture, *arguments: object, words: tuple[str, ...]) -> None:
    assert main(["report", *map(str, arguments)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    (sentence,) = said.err.splitlines()
    assert sentence.startswith("tmem: ")
    for word in words:
        assert word in sentence


def test_plain_text(small: Path, tmp_path: Path, capsys: Capture) -> None:
    assert main(["report", str(small), "--output", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    lines = said.out.splitlines()
    begins = [
        "Host memory at equal work. ",
        "The same guest RAM. ",
        "Measured with TCG on ",
        "2 guests, 96 MiB of data: ",
        f"Report: {tmp_path / PAGE_NAME}",
    ]
    found = [next(n for n, line in enumerate(lines) if line.startswith(each)) for each in begins]
    assert found[0] == 0
    assert found == sorted(found)
    assert found[-1] == len(lines) - 1
    assert "\x1b" not in said.out
    (row,) = [line for line in lines if line.startswith("shared ") and " read " in line]
    assert "279 MiB" in row
    assert sorted(path.name for path in tmp_path.iterdir()) == [PAGE_NAME, FILE_NAME, CSV_NAME]


def test_by_default_it_is_written_beside_the_result(small: Path, tmp_path: Path) -> None:
    there = shutil.copytree(small, tmp_path / "elsewhere")
    for name in (PAGE_NAME, CSV_NAME):
        (there / name).unlink(missing_ok=True)
    assert main(["report", str(there / FILE_NAME)]) == 0
    assert sorted(path.name for path in there.iterdir()) == [PAGE_NAME, FILE_NAME, CSV_NAME]


def test_on_a_terminal(small: Path, tmp_path: Path) -> None:
    parent, child = pty.openpty()
    command = Path(sys.executable).with_name("tmem")
    with subprocess.Popen(
        [command, "report", small, "--output", tmp_path],
        stdout=child,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "80"},
    ) as process:
        os.close(child)
        said = bytearray()
        # the end of a terminal is an error
        while chunk := _read(parent):
            said += chunk
    os.close(parent)
    assert process.returncode == 0
    assert b"\x1b[1m2 guests, 96 MiB of data" in said
    assert b"279 MiB" in said


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""


def test_json(full: Path, tmp_path: Path, capsys: Capture) -> None:
    there = shutil.copytree(full, tmp_path / "result", ignore=shutil.ignore_patterns("r*.[hc]*"))
    assert main(["report", "--json", str(there)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["format"] == 1
    assert document["answers"][0]["sentence"].startswith("2 guests, 96 MiB of data")
    headline = document["headlines"][0]
    assert headline["saving"]["saved_bytes"]["median"] > 40 << 20
    assert {point["arm"] for point in document["points"]} == set(Plan().arms)
    assert document["headers"][0]["host"]["accelerator"] == "TCG"
    # and nothing is written
    assert [path.name for path in there.iterdir()] == [FILE_NAME]


def test_csv_has_every_guest_of_every_run(small: Path, tmp_path: Path) -> None:
    assert main(["report", str(small), "--output", str(tmp_path)]) == 0
    with (tmp_path / CSV_NAME).open(newline="") as file:
        rows = list(csv.DictReader(file))
    runs = read(small).runs
    assert len(rows) == 2 * len(runs)
    row, run = rows[1], runs[0]
    assert (row["arm"], row["guest_name"]) == (run.arm, "node2")
    assert float(row["seconds"]) == run.seconds
    assert int(row["guest_disk_read_bytes"]) == run.guest[1].disk_read_bytes
    assert float(row["work_read_bytes"]) == run.work["read_bytes"]
    assert {"blocked_by_node1_seconds", "guests", "arena_shared_pages"} <= set(row)


def test_several_results(small: Path, tmp_path: Path, capsys: Capture) -> None:
    plan = Plan(arms=("none", "shared"), profiles=("native",), guests=4, rounds=1)
    other = write(tmp_path / "four", plan)
    fails(capsys, small, other, words=("--output",))
    assert main(["report", str(small), str(other), "--output", str(tmp_path / "both")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:8] for line in lines if "MiB of data" in line] == ["2 guests", "4 guests"]
    names = sorted(path.name for path in (tmp_path / "both").iterdir())
    assert names == [PAGE_NAME, "result-1.jsonl", "result-2.jsonl", CSV_NAME]


@pytest.mark.parametrize("name", ["saved", "reads", "memory", "sweep"])
def test_one_plot(small: Path, tmp_path: Path, capsys: Capture, name: str) -> None:
    file = tmp_path / "plot.svg"
    assert main(["report", str(small), "--plot", name, "--output", str(file)]) == 0
    assert file.read_text().startswith("<?xml")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")
    assert list(tmp_path.iterdir()) == [file]


# ---- what is wrong -------------------------------------------------------------------------------


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _nonsense(path: Path) -> None:
    path.write_text("nonsense\n")


def _unknown_format(path: Path) -> None:
    path.write_text(path.read_text().replace(f'"format": {FORMAT}', '"format": 7', 1))


def _a_wrong_line(path: Path) -> None:
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:3], '{"kind": "run", "arm": 1}\n', *lines[3:]]))


def _gone(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_empty, ("does not begin with a header",)),
        (_nonsense, (":1: ", "is not a record")),
        (_unknown_format, ("has the format 7",)),
        (_a_wrong_line, (":4: ",)),
        (_gone, ("No such file",)),
    ],
)
def test_what_cannot_be_read(
    small: Path,
    tmp_path: Path,
    capsys: Capture,
    spoil: Callable[[Path], None],
    words: tuple[str, ...],
) -> None:
    shutil.copyfile(small / FILE_NAME, tmp_path / FILE_NAME)
    spoil(tmp_path / FILE_NAME)
    fails(capsys, tmp_path, words=(str(tmp_path), *words))


@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.8, 0.99])
def test_whatever_a_cut_leaves_is_reported(
    small: Path, tmp_path: Path, capsys: Capture, share: float
) -> None:
    """A machine that loses its power cuts in the middle of a line."""
    whole = (small / FILE_NAME).read_bytes()
    (tmp_path / FILE_NAME).write_bytes(whole[: int(share * len(whole))])
    assert main(["report", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "WARNING: Partial result: the experiment was cut off" in said.out
    assert (tmp_path / PAGE_NAME).exists()


def test_fields_of_a_later_version(small: Path, tmp_path: Path, capsys: Capture) -> None:
    text = (small / FILE_NAME).read_text()
    (tmp_path / FILE_NAME).write_text(text.replace('"arm":', '"later": [{}], "arm":'))
    assert main(["report", str(tmp_path), "--json"]) == 0
    later = json.loads(capsys.readouterr().out)
    assert main(["report", str(small), "--json"]) == 0
    assert later == json.loads(capsys.readouterr().out)


def test_where_it_cannot_be_written(small: Path, tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "file"
    file.touch()
    assert main(["report", str(small), "--output", str(file)]) == 1
    assert f"cannot write the report into {file}" in capsys.readouterr().err
    fails(capsys, small, "--plot", "sweep", "--output", tmp_path, words=("cannot write",))
    fails(capsys, small, "--plot", "sweep", words=("--output",))


def test_a_plot_of_nothing(small: Path, tmp_path: Path, capsys: Capture) -> None:
    header = (small / FILE_NAME).read_text().splitlines(keepends=True)[0]
    (tmp_path / FILE_NAME).write_text(header)
    fails(
        capsys,
        *(tmp_path, "--plot", "sweep", "--output", tmp_path / "x.svg"),
        words=("nothing to draw the plot sweep of",),
    )


@pytest.mark.parametrize(
    "wrong", [[], ["--plot", "nonsense", "x"], ["--json", "--plot", "saved", "x"]]
)
def test_wrong_usage(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["report", *wrong])
    assert ended.value.code == 2


def test_other_commands_do_not_load_what_plots_need() -> None:
    loaded = "import sys, tmem_host.cli; tmem_host.cli.parser(); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True
    )
    modules = set(done.stdout.split())
    assert "tmem_host.cli.report" in modules
    assert not {"matplotlib", "numpy", "tmem_host.report.analysis"} & modules
