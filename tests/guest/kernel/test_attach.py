# SPDX-License-Identifier: GPL-2.0-or-later
"""Attaching and detaching: what is done in which order, and one sentence for what is wrong."""

import errno
import os
from pathlib import Path

import pytest

from tests.guest.kernel.conftest import System
from tmem_guest.cli.errors import CommandError
from tmem_guest.kernel import modules
from tmem_guest.kernel.attach import attach, detach
from tmem_guest.kernel.devices import PORT_NAME


def test_attach(system: System) -> None:
    assert attach(system.root) == "virtio2"
    assert system.loaded == ["tmem_hooks", "tmem_transport device=virtio2"]
    assert system.driver("virtio2") == "tmem_transport"
    # that of the agent stays
    assert system.driver("virtio1") == "virtio_console"


def test_attached_already(system: System) -> None:
    attach(system.root)
    assert attach(system.root) == "virtio2"
    assert len(system.loaded) == 2


def test_attached_again(system: System) -> None:
    attach(system.root)
    attached = system.root / "sys/module/tmem_transport/parameters/attached"
    attached.write_text("N\n")
    assert attach(system.root) == "virtio2"
    assert attached.read_text() == "Y"
    assert len(system.loaded) == 2


def _parameter(system: System, module: str, name: str, value: str, mode: int) -> Path:
    path = system.root / "sys/module" / module / "parameters" / name
    path.write_text(f"{value}\n")
    path.chmod(mode)
    return path


def test_parameters_go_to_the_module_that_has_them(system: System) -> None:
    attach(system.root, {"poll_us": "0", "swap_area_mib": "64", "staged_pages": "1024"})
    assert system.loaded == [
        "tmem_hooks swap_area_mib=64",
        "tmem_transport device=virtio2 poll_us=0 staged_pages=1024",
    ]


@pytest.mark.parametrize("name", ["device", "attached", "polls"])
def test_a_parameter_that_is_not_to_be_given(system: System, name: str) -> None:
    with pytest.raises(CommandError) as caught:
        attach(system.root, {"poll_us": "0", name: "1"})
    assert str(caught.value) == (
        f"there is no parameter {name} to be given: tmem_hooks has swap_area_mib;"
        " tmem_transport has poll_us, staged_pages"
    )
    assert (system.loaded, system.driver("virtio2")) == ([], "virtio_console")


def test_parameters_of_loaded_modules(system: System) -> None:
    """Those that can be changed are; one that has its value already is no mistake."""
    attach(system.root)
    poll_us = _parameter(system, "tmem_transport", "poll_us", "1000", 0o644)
    _parameter(system, "tmem_transport", "staged_pages", "512", 0o444)
    assert attach(system.root, {"poll_us": "0", "staged_pages": "512"}) == "virtio2"
    assert poll_us.read_text() == "0"
    with pytest.raises(CommandError) as caught:
        attach(system.root, {"poll_us": "7", "staged_pages": "1024"})
    assert str(caught.value) == (
        "the parameter staged_pages is taken only when the module tmem_transport is loaded, and it"
        " is already, with staged_pages=512; tmem-guest kernel detach unloads it"
    )
    assert poll_us.read_text() == "0"


def test_parameters_of_hooks_which_stay(system: System) -> None:
    attach(system.root)
    detach(system.root)
    area = _parameter(system, "tmem_hooks", "swap_area_mib", "0", 0o444)
    with pytest.raises(CommandError, match=r"; it stays until the next boot$"):
        attach(system.root, {"swap_area_mib": "64"})
    area.chmod(0o644)
    attach(system.root, {"swap_area_mib": "64"})
    assert area.read_text() == "64"


def test_a_value_that_is_refused(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    attach(system.root)
    _parameter(system, "tmem_transport", "poll_us", "1000", 0o644)

    def refuse(*_: object) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(modules, "set_parameter", refuse)
    with pytest.raises(CommandError) as caught:
        attach(system.root, {"poll_us": "many"})
    assert str(caught.value) == "the module tmem_transport refuses poll_us=many: Invalid argument"


def test_a_device_that_no_driver_has(system: System) -> None:
    system.change("unbind", "virtio2")
    assert attach(system.root) == "virtio2"


def test_detach(system: System) -> None:
    attach(system.root)
    assert detach(system.root)
    assert system.driver("virtio2") == "virtio_console"
    assert not (system.root / "sys/module/tmem_transport").exists()
    assert (system.root / "sys/module/tmem_hooks").exists()
    assert attach(system.root) == "virtio2"


def test_detached_already(system: System) -> None:
    assert not detach(system.root)


def test_detach_with_pages(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    attach(system.root)
    system.debug("hooks", frontswap_pages="1234\n")
    swaps = "Filename\tType\n/dev/vdb partition 1 1 -2\n/swap\\040file file 1 1 -3\n"
    (system.root / "proc/swaps").write_text(swaps)

    def refuse(*_: object) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    monkeypatch.setattr(modules, "set_parameter", refuse)
    with pytest.raises(CommandError) as caught:
        detach(system.root)
    assert str(caught.value) == (
        "1234 pages of swap are with the host and nowhere else; bring them home first:"
        " swapoff /dev/vdb '/swap file'"
    )
    assert (system.root / "sys/module/tmem_transport").exists()


@pytest.mark.parametrize(
    ("number", "complaint"),
    [
        (errno.EBUSY, "the module tmem_transport does not attach: Device or resource busy; "),
        (errno.ENOMEM, "the module tmem_transport does not attach: Cannot allocate memory; "),
    ],
)
def test_attach_again_refused(
    system: System, monkeypatch: pytest.MonkeyPatch, number: int, complaint: str
) -> None:
    attach(system.root)
    (system.root / "sys/module/tmem_transport/parameters/attached").write_text("N\n")

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(modules, "set_parameter", refuse)
    with pytest.raises(CommandError, match=complaint):
        attach(system.root)


def test_no_port(tmp_path: Path, system: System) -> None:
    system.change("unbind", "virtio2")
    (system.root / "sys/bus/virtio/devices/virtio2/device").write_text("0x0005\n")
    with pytest.raises(CommandError, match=f"^there is no virtio port {PORT_NAME}: "):
        attach(system.root)
    assert system.loaded == []


@pytest.mark.parametrize("missing", ["tmem_hooks", "tmem_transport"])
def test_no_module(system: System, missing: str) -> None:
    system.programs(missing=missing)
    complaint = f"^there is no module {missing} for the kernel {os.uname().release}; "
    for parameters in ({}, {"poll_us": "0"}):
        with pytest.raises(CommandError, match=complaint):
            attach(system.root, parameters)
    # as it was
    assert system.driver("virtio2") == "virtio_console"


def test_a_module_that_refuses(system: System) -> None:
    system.programs(refusal="Cannot allocate memory")
    with pytest.raises(CommandError) as caught:
        attach(system.root)
    assert str(caught.value) == (
        "cannot load the module tmem_transport: Cannot allocate memory;"
        " the kernel's log may say more (dmesg)"
    )
    assert system.driver("virtio2") == "virtio_console"


def test_a_transport_that_stays(system: System) -> None:
    attach(system.root)
    system.programs(refusal="busy")
    with pytest.raises(CommandError, match=r"^cannot unload the module tmem_transport: .*in use$"):
        detach(system.root)


def test_another_driver_has_the_device(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = system.root / "sys/bus/virtio/devices/virtio2/driver"
    driver.unlink()
    driver.symlink_to("../../drivers/another")
    with pytest.raises(CommandError, match=r"^the device virtio2 is busy: the driver another has"):
        attach(system.root)


def test_a_port_in_use(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: object) -> int:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    monkeypatch.setattr("os.open", busy)
    with pytest.raises(CommandError, match=f"^the port {PORT_NAME} is in use: a process has "):
        attach(system.root)
    assert (system.loaded, system.driver("virtio2")) == ([], "virtio_console")


def test_no_programs(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(
        CommandError, match=r"^modprobe is missing; it is in Debian.s package kmod$"
    ):
        attach(system.root)


def test_not_root(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    for change in (attach, detach):
        with pytest.raises(CommandError, match=f"^only root may {change.__name__} the kernel$"):
            change(system.root)
