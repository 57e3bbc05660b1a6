# SPDX-License-Identifier: GPL-2.0-or-later
"""From the words on the command line to what a VM is to be."""

import argparse
import dataclasses
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from tmem_host.provision import image as images
from tmem_host.provision import kernel as kernels
from tmem_host.provision.progress import Progress
from tmem_host.provision.vm.errors import BadSetting
from tmem_host.provision.vm.probe import probe
from tmem_host.provision.vm.settings import TmemSettings, parse_compression, parse_uuid
from tmem_host.provision.vm.spec import (
    IO_PROFILES,
    Accelerator,
    Cache,
    Disk,
    DiskFormat,
    IoProfile,
    VmSpec,
)
from tmem_host.units import parse_size

Choice = TypeVar("Choice", bound=Enum)


def specs(options: argparse.Namespace, disks: Sequence[Disk], progress: Progress) -> list[VmSpec]:
    """The VMs that `tmem vm create` is to make; builds kernel and image if none is named."""
    kernel, image = _guest(options, progress)
    spec = VmSpec(
        name="any",
        kernel=kernel,
        base=image,
        initrd=None if options.initrd is None else options.initrd.absolute(),
        memory_mib=_mib(options.memory),
        vcpus=options.vcpus,
        overlay_bytes=options.overlay,
        disks=tuple(disks),
        networks=tuple(options.network),
        modules=tuple(options.module),
        tmem=image is not None and not options.no_tmem,
        kernel_arguments=options.append,
        settings=settings(options, TmemSettings()),
    )
    wanted = [dataclasses.replace(spec, name=name) for name in options.names]
    if len(set(options.names)) < len(options.names):
        raise BadSetting("the same name twice")
    # last: it may take its time
    accelerator = _accelerator(options, kernel, progress)
    return [dataclasses.replace(spec, accelerator=accelerator) for spec in wanted]


def settings(options: argparse.Namespace, present: TmemSettings) -> TmemSettings:
    """`present` with what was given on the command line."""
    changes: dict[str, Any] = {
        "weight": options.weight,
        "cap_bytes": options.cap,
        "quota_bytes": options.quota,
    }
    if options.compression is not None:
        changes["compression"] = parse_compression(options.compression)
    if options.share is not None:
        changes["shared"] = frozenset(parse_uuid(text) for text in options.share)
    given = {name: value for name, value in changes.items() if value is not None}
    return dataclasses.replace(present, **given)


def disk(text: str) -> Disk:
    """The disk of "NAME:size=1GiB,profile=contended"; BadName, BadSetting."""
    name, _, rest = text.partition(":")
    words = dict(_word(name, word) for word in rest.split(",") if word)
    shared = words.pop("shared", None) is not None
    profile = words.pop("profile", "native")
    if profile not in IO_PROFILES:
        raise BadSetting(f"the profile {profile!r} is none of {', '.join(IO_PROFILES)}")
    io = IO_PROFILES[profile]
    file = words.pop("file", None)
    wanted = Disk(
        name=name,
        size_bytes=_size(words.pop("size", "0")),
        path=None if file is None else Path(file).absolute(),
        format=_choice(DiskFormat, words.pop("format", DiskFormat.RAW.value)),
        shared=shared,
        cache=_choice(Cache, words.pop("cache", "none" if shared else "writeback")),
        io=IoProfile(
            iops=_size(words.pop("iops", str(io.iops))),
            bytes_per_second=_size(words.pop("bps", str(io.bytes_per_second))),
        ),
    )
    if words:
        raise BadSetting(f"the disk {name} has an unknown property {min(words)!r}")
    return wanted


def _word(name: str, word: str) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if bool(equals) == (key == "shared"):
        raise BadSetting(f"the disk {name} has a property {word!r} that is not KEY=VALUE")
    return key, value


def _choice(kind: type[Choice], text: str) -> Choice:
    try:
        return kind(text)
    except ValueError:
        known = ", ".join(str(each.value) for each in kind)
        raise BadSetting(f"{text!r} is none of {known}") from None


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise BadSetting(str(error)) from None


def _mib(bytes_: int) -> int:
    if bytes_ % (1 << 20):
        raise BadSetting("a guest's memory is a whole number of MiB")
    return bytes_ >> 20


def _guest(options: argparse.Namespace, progress: Progress) -> tuple[Path, Path | None]:
    if options.kernel is not None and (options.image or options.initrd) is not None:
        image = None if options.image is None else options.image.absolute()
        return options.kernel.absolute(), image
    if options.image is not None:
        raise BadSetting("an image has the modules of its kernel: name that too, with --kernel")
    if options.kernel is not None:
        raise BadSetting("the modules of another kernel are not in the image: name an --image too")
    kernel = kernels.build(patched=not options.unpatched, debug=options.debug, progress=progress)
    if options.initrd is not None:
        return kernel.image, None
    return kernel.image, images.build_for(kernel, progress=progress).path


def _accelerator(options: argparse.Namespace, kernel: Path, progress: Progress) -> Accelerator:
    if options.tcg:
        return Accelerator.TCG
    verdict = probe(kernel)
    if verdict.notice is not None:
        progress.note(verdict.notice)
    return verdict.accelerator
