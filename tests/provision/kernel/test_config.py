# SPDX-License-Identifier: GPL-2.0-or-later
"""Every option that is asked for is there, or the build says which is not."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmem_host.provision import ProvisionError
from tmem_host.provision.kernel import Kernel, config
from tmem_host.provision.kernel.build import wanted

_NAMES = st.from_regex(r"CONFIG_[A-Z0-9_]{1,12}", fullmatch=True)
_VALUES = st.sampled_from(["y", "m", "n", "250", "0x100", '"-tmem"'])
OPTIONS = st.dictionaries(_NAMES, _VALUES, max_size=8)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config") / "fragment"


@given(OPTIONS)
def test_what_is_written_is_read(path: Path, options: dict[str, str]) -> None:
    config.write(options, path)
    assert config.read_fragment(path) == options
    config.verify(options, path)


@given(OPTIONS, OPTIONS)
def test_exactly_what_is_lost_is_named(
    path: Path, options: dict[str, str], got: dict[str, str]
) -> None:
    config.write(got, path)
    lost = {name for name, value in options.items() if got.get(name, "n") != value}
    if not lost:
        config.verify(options, path)
        return
    with pytest.raises(ProvisionError) as caught:
        config.verify(options, path)
    assert {word for word in str(caught.value).split() if word.startswith("CONFIG_")} == lost


def test_a_later_fragment_overrules(tmp_path: Path) -> None:
    merged = config.merged([{"CONFIG_A": "y", "CONFIG_B": "y"}, {"CONFIG_A": "n"}])
    assert merged == {"CONFIG_A": "n", "CONFIG_B": "y"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("CONFIG_A=y\nCONFIG_A=n\n", r"fragment:2: CONFIG_A stands there twice"),
        ("# heading\n\nCONFIG_A = y\n", r"fragment:3: 'CONFIG_A = y' is no kernel option"),
        ("# CONFIG_A is not\n", r"fragment:1: '# CONFIG_A is not' is no kernel option"),
        ("EXT4=y\n", r"fragment:1: 'EXT4=y' is no kernel option"),
    ],
)
def test_a_fragment_with_a_slip(path: Path, text: str, complaint: str) -> None:
    path.write_text(text)
    with pytest.raises(ProvisionError, match=complaint):
        config.read_fragment(path)


@pytest.mark.parametrize("debug", [False, True])
def test_our_own_fragments(debug: bool) -> None:
    options = wanted(debug=debug)
    for name in ("CLEANCACHE", "FRONTSWAP", "OCFS2_FS", "VIRTIO_CONSOLE", "MODULES"):
        assert options[f"CONFIG_{name}"] in ("y", "m")
    assert ("CONFIG_KASAN" in options) == debug


def test_the_kernel_has_what_the_fragment_names(guest_kernel: Kernel) -> None:
    config.verify(wanted(debug=False), guest_kernel.config)
