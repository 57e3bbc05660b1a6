# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands in a guest: how they end, and what passes through their streams."""

import io
import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.guest.agent.conftest import GuestPort
from tests.guest.agent.processes import ends, pid_in
from tmem_host.provision.agent import Agent, ExecResult, GuestRefused, OutputTooLong


def test_status_and_streams(agent: Agent) -> None:
    script = "echo out; echo err >&2; exit 3"
    assert agent.exec(["sh", "-c", script]) == ExecResult(3, None, False, b"out\n", b"err\n")
    assert agent.exec(["true"]).ok
    assert not agent.exec(["false"]).ok


def test_a_signal(agent: Agent) -> None:
    result = agent.exec(["sh", "-c", "kill -USR1 $$"])
    assert (result.status, result.signal, result.timed_out) == (None, signal.SIGUSR1, False)


def test_environment_and_directory(agent: Agent, tmp_path: Path) -> None:
    script = 'echo "$TMEM_TEST"; pwd; test -n "$PATH"'
    result = agent.exec(["sh", "-c", script], env={"TMEM_TEST": "a b"}, cwd=str(tmp_path))
    assert result == ExecResult(0, None, False, f"a b\n{tmp_path}\n".encode(), b"")


def test_arguments_that_are_no_text(agent: Agent) -> None:
    argument = os.fsdecode(b"\xe9 \xff\n'\"")
    assert agent.exec(["printf", "%s", argument]).stdout == b"\xe9 \xff\n'\""


@pytest.mark.parametrize(
    ("argv", "cwd", "errno_name", "text"),
    [
        (["there-is-no-such-program"], None, "ENOENT", "cannot run 'there-is-no-such-program': No"),
        (["/etc/passwd"], None, "EACCES", "cannot run '/etc/passwd': Permission denied"),
        (["true"], "/none/such", "ENOENT", "cannot change to the directory '/none/such': No such"),
        (["true", "x" * 140_000], None, "E2BIG", "too long"),
        (["sh", *["x" * 100] * 400, "\udcff"], "/none", "ENOENT", "/none"),
    ],
)
def test_what_cannot_be_run(
    agent: Agent, argv: list[str], cwd: str | None, errno_name: str, text: str
) -> None:
    with pytest.raises(GuestRefused, match=text) as refused:
        agent.exec(argv, cwd=cwd)
    assert refused.value.errno_name == errno_name
    # The session goes on.
    assert agent.exec(["true"]).ok


@pytest.mark.parametrize("argv", [[], [""], ["a\0b"]])
def test_what_is_no_command(agent: Agent, argv: list[str]) -> None:
    with pytest.raises(GuestRefused, match="argv must") as refused:
        agent.exec(argv)
    assert refused.value.kind == "bad-request"


def test_much_goes_both_ways_at_once(agent: Agent) -> None:
    data = random.Random(1).randbytes(3_000_000) + bytes(1_000_000)
    assert agent.exec(["cat"], stdin=data).stdout == data


def test_without_stdin_there_is_nothing_to_read(agent: Agent) -> None:
    assert agent.exec(["cat"]) == ExecResult(0, None, False, b"", b"")
    assert agent.exec(["cat"], stdin=b"") == ExecResult(0, None, False, b"", b"")


@pytest.mark.parametrize("script", ["exit 5", "exec 0<&-; sleep 0.1; exit 5", "head -c1; exit 5"])
def test_a_command_need_not_read(agent: Agent, script: str) -> None:
    assert agent.exec(["sh", "-c", script], stdin=bytes(4_000_000)).status == 5


def test_stdin_comes_when_it_comes(agent: Agent) -> None:
    out, in_ = os.pipe()

    def type_() -> None:
        for word in (b"one\n", b"two\n"):
            time.sleep(0.05)
            os.write(in_, word)
        os.close(in_)

    typist = threading.Thread(target=type_)
    typist.start()
    with os.fdopen(out, "rb", buffering=0) as stdin:
        assert agent.exec(["cat"], stdin=stdin).stdout == b"one\ntwo\n"
    typist.join()


def test_output_goes_where_it_is_wanted(agent: Agent) -> None:
    kept = io.BytesIO()
    result = agent.exec(["sh", "-c", "echo out; echo err >&2"], stdout=kept)
    assert (kept.getvalue(), result.stdout, result.stderr) == (b"out\n", b"", b"err\n")


def test_too_much_output(agent: Agent) -> None:
    with pytest.raises(OutputTooLong, match=r"'yes' of the guest has more than 100000 bytes"):
        agent.exec(["yes"], max_output_bytes=100_000)
    assert agent.exec(["true"]).ok


def test_the_time_limit(agent: Agent) -> None:
    result = agent.exec(["sh", "-c", "echo first; exec sleep 1000"], limit_s=0.3)
    assert result == ExecResult(None, signal.SIGTERM, True, b"first\n", b"")
    assert agent.exec(["true"], limit_s=60).ok


def test_who_ignores_sigterm_is_killed_with_its_group(agent: Agent, tmp_path: Path) -> None:
    script = "trap '' TERM; sh -c 'echo $$ > child; while :; do sleep 0.1; done' & wait; wait"
    result = agent.exec(["sh", "-c", script], limit_s=0.5, cwd=str(tmp_path))
    assert (result.signal, result.timed_out) == (signal.SIGKILL, True)
    assert ends(pid_in(tmp_path / "child"))


def test_who_obeys_takes_its_children_along(agent: Agent, tmp_path: Path) -> None:
    child = 'trap "" TERM; echo $$ > child; while :; do sleep 0.1; done'
    script = f"sh -c '{child}' & trap 'exit 4' TERM; wait"
    result = agent.exec(["sh", "-c", script], limit_s=0.5, cwd=str(tmp_path))
    assert (result.status, result.timed_out, result.ok) == (4, True, False)
    assert ends(pid_in(tmp_path / "child"))


def test_the_background_is_not_waited_for(agent: Agent, tmp_path: Path) -> None:
    script = "sleep 1000 & echo $! > child; echo done"
    result = agent.exec(["sh", "-c", script], cwd=str(tmp_path))
    assert result == ExecResult(0, None, False, b"done\n", b"")
    child = pid_in(tmp_path / "child")
    os.kill(child, 0)
    os.kill(child, signal.SIGKILL)


def test_all_that_was_said_before_the_end_arrives(agent: Agent) -> None:
    # More than waits to be sent at once, and a pipe full of it when the command ends.
    script = "head -c 1000000 /dev/zero; yes | head -c 60000 >&2"
    result = agent.exec(["sh", "-c", script])
    assert (len(result.stdout), len(result.stderr)) == (1_000_000, 60_000)


def test_a_caller_that_leaves_ends_its_command(
    agent: Agent, port: GuestPort, tmp_path: Path
) -> None:
    class Leave(Exception):
        pass

    class Leaving(io.BytesIO):
        def write(self, data: object, /) -> int:
            raise Leave

    script = "trap '' TERM; echo $$ > child; echo; while :; do sleep 0.1; done"
    with pytest.raises(Leave):
        agent.exec(["sh", "-c", script], cwd=str(tmp_path), stdout=Leaving())
    assert agent.exec(["true"]).ok
    assert ends(pid_in(tmp_path / "child"))


def test_many_threads_take_turns(agent: Agent) -> None:
    results: dict[int, bytes] = {}

    def run(number: int) -> None:
        results[number] = agent.exec(["echo", str(number)]).stdout

    threads = [threading.Thread(target=run, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: f"{number}\n".encode() for number in range(8)}
