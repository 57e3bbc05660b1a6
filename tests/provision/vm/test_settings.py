# SPDX-License-Identifier: GPL-2.0-or-later
"""The tmem settings of a domain: as XML, and in libvirt's metadata."""

from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmem_host.provision.vm.bindings import libvirt
from tmem_host.provision.vm.channels import read_settings, write_settings
from tmem_host.provision.vm.connection import connected
from tmem_host.provision.vm.errors import BadSetting
from tmem_host.provision.vm.places import places_at
from tmem_host.provision.vm.settings import NAMESPACE, Compression, TmemSettings, parse_uuid
from tmem_host.units import exact_size, parse_size

ANY = st.builds(
    TmemSettings,
    weight=st.integers(0, (1 << 32) - 1),
    cap_bytes=st.integers(0, (1 << 64) - 1),
    quota_bytes=st.integers(0, (1 << 64) - 1),
    compression=st.sampled_from(Compression),
    shared=st.frozensets(st.uuids(), max_size=4),
)


@given(ANY)
def test_settings_survive_xml(settings: TmemSettings) -> None:
    assert TmemSettings.from_xml(settings.to_xml()) == settings


@given(st.integers(0, 1 << 70))
def test_sizes_survive_text(bytes_: int) -> None:
    assert parse_size(exact_size(bytes_)) == bytes_


def test_libvirt_keeps_settings(state: Path) -> None:
    settings = TmemSettings(
        weight=3,
        cap_bytes=64 << 20,
        compression=Compression.ZSTD,
        shared=frozenset({UUID("6d1e7b0a-4f0c-4d0e-9d57-3c2b1a0f9e8d")}),
    )
    with connected("test:///default", places_at(state)) as connection:
        domain = connection.lookupByName("test")
        assert read_settings(domain) == TmemSettings()
        write_settings(domain, settings)
        assert read_settings(domain) == settings
        assert NAMESPACE in domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("<client", "not XML"),
        ("<guest/>", "<guest>, not <client>"),
        ('<x:client xmlns:x="urn:else"/>', "not <client>"),
        ('<client mass="1"/>', "'mass'"),
        ('<client weight="-1"/>', "'-1' is not a number"),
        ('<client weight="4294967296"/>', "not between 0 and 4294967295"),
        ('<client cap="64Mib"/>', "'64Mib' is not a size"),
        ('<client quota="1e9"/>', "'1e9' is not a size"),
        ('<client compression="lzo"/>', "none of none, lz4, zstd"),
        ('<client><shared uuid="nonsense"/></client>', "'nonsense' is not a uuid"),
        ('<client><shared uuid="{6d1e7b0a4f0c4d0e9d573c2b1a0f9e8d}"/></client>', "not a uuid"),
        ("<client><shared/></client>", "no <shared uuid=.../>"),
        ('<client><pool uuid="6d1e7b0a-4f0c-4d0e-9d57-3c2b1a0f9e8d"/></client>', "<pool>"),
    ],
)
def test_settings_that_cannot_be_read_say_why(text: str, complaint: str) -> None:
    with pytest.raises(BadSetting, match=complaint.replace("(", r"\(")):
        TmemSettings.from_xml(text)


def test_uuids_are_read_in_either_case() -> None:
    text = "6D1E7B0A-4F0C-4D0E-9D57-3C2B1A0F9E8D"
    assert parse_uuid(text) == parse_uuid(text.lower())
