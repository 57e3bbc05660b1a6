# SPDX-License-Identifier: GPL-2.0-or-later
"""The page cache of a live kernel: what a guest has read once it does not read from its disk again,
though it has no memory for it."""

import json

import pytest

from tests.service.live import Live
from tests.vm import served
from tests.vm.flavour import assert_kernel_is_well, sized
from tests.vm.served import EMBEDDED, create, disk_counters, in_guest, start

host = served.host
stopped = served.stopped

# More than the guest's whole memory, whatever of it its kernel leaves to files.
LARGE_BYTES = sized(96 << 20, 192 << 20)
LARGE_MEMORY_MIB = 80
# Of the disk reads of the first round, what later ones may still make.
STILL_READ = 0.1
# Files with contents of a seed, and the manifest that `tmem-guest workload read` verifies them by.
_MAKE_FILES = """
import json, os, random, sys, zlib
rng, files = random.Random(sys.argv[1]), []
for number, size in enumerate(json.load(open("/root/sizes"))):
    path, records = f"{number % 50}/{number}", []
    os.makedirs(f"/mnt/{number % 50}", exist_ok=True)
    with open(f"/mnt/{path}", "wb") as file:
        for at in range(0, size, 65536):
            record = rng.randbytes(min(65536, size - at))
            records.append(zlib.crc32(record))
            file.write(record)
    files.append({"path": path, "size_bytes": size, "records": records})
json.dump({"record_bytes": 65536, "files": files}, open("/root/manifest", "w"))
"""
# Has the kernel forget files: their pages first, no faster than the host takes them, as only
# readers wait for room; then dentries and inodes. An inode takes no pages along (F12).
_FORGET = """
import json, os, time
info = "/sys/kernel/debug/tmem/transport/info"
staged = lambda: int(open(info).read().split("staged ")[1].split()[0])
for file in json.load(open("/root/manifest"))["files"]:
    fd = os.open("/mnt/" + file["path"], os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)
    while staged() > 64:
        time.sleep(0.002)
for look in range(3):
    open("/proc/sys/vm/drop_caches", "w").write("2")
"""
_READ = "tmem-guest workload read /root/manifest /mnt"


def _small_files() -> list[int]:
    """3,000 sizes from 4 KiB to 1 MiB, the small ones more often; 180 MiB in all. A fifth of them
    with the debug kernel."""
    halves = [4096 << doublings for doublings in range(9)]
    shares = [1000, 700, 500, 300, 200, 120, 90, 60, 30]
    return [
        size
        for size, share in zip(halves, shares, strict=True)
        for _ in range(share // sized(1, 5))
    ]


def _make(host: Live, sizes: list[int], memory_mib: int) -> None:
    host.stop()
    host.write_config(EMBEDDED, budget="512MiB")
    start(host)
    create(host, "web", "--disk", "data:size=400MiB,cache=none", memory_mib=memory_mib)
    in_guest(f"cat > /root/sizes <<END\n{json.dumps(sizes)}\nEND")
    in_guest(
        "mkfs.ext4 -q -b 4096 -N 8192 /dev/disk/by-serial/data;"
        " mount -o noatime /dev/disk/by-serial/data /mnt"
    )
    in_guest(f"python3 -c '{_MAKE_FILES}' 1; sync; echo 3 > /proc/sys/vm/drop_caches")


def _round(before: str) -> int:
    """Reads and verifies all files after the command `before`; the bytes that the disk read."""
    in_guest(before)
    start_bytes = disk_counters("web")["data"].read_bytes
    in_guest(_READ)
    return disk_counters("web")["data"].read_bytes - start_bytes


@pytest.mark.parametrize(
    ("sizes", "memory_mib", "between"),
    [
        ([LARGE_BYTES], LARGE_MEMORY_MIB, ":"),
        (_small_files(), sized(160, 64), f"python3 -c '{_FORGET}'"),
    ],
    ids=["one large file", "small files"],
)
def test_what_was_read_once(host: Live, sizes: list[int], memory_mib: int, between: str) -> None:
    _make(host, sizes, memory_mib)
    first = _round("echo 3 > /proc/sys/vm/drop_caches")
    assert first > 0.9 * sum(sizes)
    again = [_round(between) for _ in range(2)]
    counters = in_guest('grep -v " 0$" /sys/kernel/debug/tmem/transport/counters')
    assert max(again) <= STILL_READ * first, (first, again, counters)
    assert host.call("client.info", client="web")["ephemeral_pages"] > 0
    # the bytes were right with the host's pages; they are on the disk, too
    in_guest("tmem-guest kernel detach; echo 3 > /proc/sys/vm/drop_caches")
    assert _round(":") > 0.9 * sum(sizes)
    assert_kernel_is_well(in_guest)
