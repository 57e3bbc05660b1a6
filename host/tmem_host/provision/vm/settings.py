# SPDX-License-Identifier: GPL-2.0-or-later
"""A domain's tmem settings, as they stand in its libvirt metadata.

    <tmem:client xmlns:tmem="https://kvmtmem.org/xmlns/libvirt/tmem/1.0"
                 weight="100" cap="64MiB" quota="16MiB" compression="lz4">
      <tmem:shared uuid="6d1e7b0a-4f0c-4d0e-9d57-3c2b1a0f9e8d"/>
    </tmem:client>

Every attribute may be missing. What is not known is an error: a limit that is silently ignored is
worse than a domain that is not served.
"""

import enum
from dataclasses import dataclass
from uuid import UUID
from xml.etree import ElementTree

from tmem_host.provision.vm.errors import BadSetting
from tmem_host.units import exact_size, parse_size

NAMESPACE = "https://kvmtmem.org/xmlns/libvirt/tmem/1.0"
PREFIX = "tmem"

_WEIGHT_MAX = (1 << 32) - 1
_BYTES_MAX = (1 << 64) - 1


class Compression(enum.Enum):
    """How a client's pages are stored."""

    NONE = "none"
    LZ4 = "lz4"
    ZSTD = "zstd"


@dataclass(frozen=True, kw_only=True)
class TmemSettings:
    """What an operator sets for a domain; each of its clients gets it.

    `weight` is the share of ephemeral memory relative to other clients, 0 for no limit and no
    share. `cap_bytes` bounds all that is charged to a client, `quota_bytes` its persistent pages;
    0 for none. `shared` are the uuids of the shared pools it may join (guarantee I). BadSetting if
    a number is out of range.
    """

    weight: int = 0
    cap_bytes: int = 0
    quota_bytes: int = 0
    compression: Compression = Compression.LZ4
    shared: frozenset[UUID] = frozenset()

    def __post_init__(self) -> None:
        for name, value, most in (
            ("weight", self.weight, _WEIGHT_MAX),
            ("cap", self.cap_bytes, _BYTES_MAX),
            ("quota", self.quota_bytes, _BYTES_MAX),
        ):
            if not 0 <= value <= most:
                raise BadSetting(f"the {name} {value} is not between 0 and {most}")

    def to_xml(self, namespace: str = NAMESPACE) -> str:
        """The metadata element in `namespace`, or in none: libvirt's own call adds it."""
        ElementTree.register_namespace(PREFIX, NAMESPACE)
        qualify = f"{{{namespace}}}" if namespace else ""
        attributes = {"weight": str(self.weight), "compression": self.compression.value}
        if self.cap_bytes:
            attributes["cap"] = exact_size(self.cap_bytes)
        if self.quota_bytes:
            attributes["quota"] = exact_size(self.quota_bytes)
        client = ElementTree.Element(qualify + "client", attributes)
        for uuid in sorted(self.shared):
            ElementTree.SubElement(client, qualify + "shared", {"uuid": str(uuid)})
        return ElementTree.tostring(client, encoding="unicode")

    @classmethod
    def from_xml(cls, text: str) -> "TmemSettings":
        """The settings of a metadata element; BadSetting says what is wrong with it.

        libvirt hands the element out with or without its prefix; both are read.
        """
        try:
            client = ElementTree.fromstring(text)
        except ElementTree.ParseError as error:
            raise BadSetting(f"the tmem metadata is not XML: {error}") from error
        if _local(client) != "client":
            raise BadSetting(f"the tmem metadata is <{_local(client)}>, not <client>")
        unknown = set(client.attrib) - {"weight", "cap", "quota", "compression"}
        if unknown:
            raise BadSetting(f"the tmem metadata has an unknown attribute {min(unknown)!r}")
        return cls(
            weight=_number(client.get("weight", "0")),
            cap_bytes=_size("cap", client),
            quota_bytes=_size("quota", client),
            compression=parse_compression(client.get("compression", Compression.LZ4.value)),
            shared=frozenset(_shared(child) for child in client),
        )


def parse_compression(text: str) -> Compression:
    """The compression of that name; BadSetting for any other."""
    try:
        return Compression(text)
    except ValueError:
        known = ", ".join(each.value for each in Compression)
        raise BadSetting(f"the compression {text!r} is none of {known}") from None


def parse_uuid(text: str) -> UUID:
    """A uuid as `blkid` prints it; BadSetting for anything else."""
    try:
        uuid = UUID(text)
    except ValueError:
        uuid = None
    # UUID() also takes braces, urns and misplaced hyphens
    if uuid is None or str(uuid) != text.lower():
        raise BadSetting(f"{text!r} is not a uuid as blkid prints it")
    return uuid


def _local(element: ElementTree.Element) -> str:
    namespace, _, name = element.tag.rpartition("}")
    return name if namespace in ("", "{" + NAMESPACE) else element.tag


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise BadSetting(f"the weight {text!r} is not a number")
    return int(text)


def _size(name: str, client: ElementTree.Element) -> int:
    try:
        return parse_size(client.get(name, "0"))
    except ValueError as error:
        raise BadSetting(f"the {name} {error}") from None


def _shared(child: ElementTree.Element) -> UUID:
    if _local(child) != "shared" or set(child.attrib) != {"uuid"} or len(child):
        raise BadSetting(f"the tmem metadata has a <{_local(child)}> that is no <shared uuid=.../>")
    return parse_uuid(child.attrib["uuid"])
