# SPDX-License-Identifier: GPL-2.0-or-later
"""The generated stub says what the C declarations say, and mypy believes it."""

import subprocess
import sys
from pathlib import Path

import pytest

from bindings import stub

DECLARATIONS = """
enum colour { RED = 1, GREEN };
struct inner { int32_t x; };
struct box { uint64_t size; char name[8]; struct inner inside; };
struct opaque;
extern const struct box boxes[];
extern const uint32_t box_count;
int box_put(struct opaque *o, uint32_t id, const uint8_t *uuid, const void *page, uint64_t *ret);
void box_drop(struct opaque *o);
int64_t box_time(void);
const char *box_name(const char *key);
struct box_info { void (*wake)(void *context); };
void box_info(struct opaque *o, struct box_info *ret);
"""


def test_declarations_become_types() -> None:
    text = stub.generate(DECLARATIONS)
    for line in (
        "class box:\n    size: int\n    name: Array[bytes]\n    inside: inner",
        "class opaque:\n    pass",
        "    RED: Final[int]",
        "    GREEN: Final[int]",
        "    boxes: Array[box]",
        "    box_count: int",
        "    def box_put(self, o: opaque, id: int, uuid: bytes | Array[int],"
        " page: bytes | Array[Any], ret: Array[int], /) -> int: ...",
        "    def box_drop(self, o: opaque, /) -> None: ...",
        "    def box_time(self) -> int: ...",
        "    def box_name(self, key: bytes | Array[bytes], /) -> Array[bytes]: ...",
        "class box_info:\n    wake: Any",
        "    def box_info(self, o: opaque, ret: _box_info, /) -> None: ...",
        '    def new(self, cdecl: Literal["struct box *"], init: Any = ...) -> box: ...',
    ):
        assert line in text


@pytest.mark.parametrize("declaration", ["double x;", "union u { int a; };", "struct s f(void);"])
def test_what_the_stub_cannot_say_is_refused(declaration: str) -> None:
    with pytest.raises(TypeError, match="does not know"):
        stub.generate(declaration)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        ("lib.box_drop(o)", None),
        ("lib.box_put(o, 1, b'', b'', ffi.new('uint64_t *'))", None),
        ("lib.box_info(o, ffi.new('struct box_info *'))", None),
        ("lib.box_info(o, o)", "incompatible type"),
        ("lib.box_drop()", "Too few arguments"),
        ("lib.box_drop(ffi.new('struct box *'))", "incompatible type"),
        ("lib.box_dropp(o)", "has no attribute"),
        ("ffi.new('struct box *').length", "has no attribute"),
        ("ffi.new('struct bux *')", "No overload variant"),
    ],
)
def test_mypy_sees_wrong_calls(tmp_path: Path, call: str, complaint: str | None) -> None:
    (tmp_path / "box.pyi").write_text(stub.generate(DECLARATIONS))
    (tmp_path / "use.py").write_text(
        f"from box import ffi, lib\no = ffi.new('struct opaque **')[0]\n{call}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "use.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode != 0) is (complaint is not None), done.stdout
    assert complaint is None or complaint in done.stdout
