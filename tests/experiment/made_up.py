# SPDX-License-Identifier: GPL-2.0-or-later
"""Records of an experiment that nobody ran."""

from tmem_host.experiment.records import Disks, End, GuestRun, Header, Host, Run, Sample, Versions
from tmem_host.provision.vm.spec import IoProfile

HEADER = Header(
    experiment="shared-pool",
    title="Two guests read one file system",
    settings={"guests": 2, "data": {"size": 100663296}},
    seed=7,
    started="2026-01-02T03:04:05+00:00",
    command="tmem experiment run shared-pool",
    host=Host(
        cpu="a processor", processors=2, memory_bytes=24 << 30, kernel="6.1.0", accelerator="TCG"
    ),
    versions=Versions(
        kvm_tmem="0.1.0", qemu="7.2.22", libvirt="9.0.0", guest_kernel="5.10.223", image="abc"
    ),
    disks=Disks(
        cache="none",
        profiles={
            "native": IoProfile(),
            "contended": IoProfile(iops=200, bytes_per_second=30_000_000),
        },
    ),
)
GUEST = GuestRun(
    name="node1",
    seconds=12.0,
    disk_read_bytes=96 << 20,
    disk_read_requests=768,
    disk_write_bytes=4096,
    swap_read_bytes=0,
    swap_write_bytes=0,
    resident_bytes=150 << 20,
    cpu_seconds=11.5,
    round_trips=100,
    hits_own=10,
    hits_other=20,
    gets=40,
    puts=50,
)
RUN = Run(
    arm="shared",
    profile="native",
    round=1,
    memory_mib=128,
    guests=1,
    phase="cold",
    seconds=12.5,
    work={"bytes": 96 << 20},
    guest=[GUEST],
    arena_resident_bytes=100 << 20,
    arena_pages=24576,
    arena_shared_pages=24576,
    mem_available_bytes=20 << 30,
    service_cpu_seconds=1.5,
    shared_served_ratio=0.99,
    blocked_by={"node1": 0.1},
)
SAMPLE = Sample(
    t_seconds=1.0,
    arm="shared",
    profile="native",
    round=1,
    memory_mib=128,
    phase="cold",
    guest_resident_bytes={"node1": 150 << 20},
    arena_resident_bytes=100 << 20,
    mem_available_bytes=20 << 30,
)
END = End(status="complete", reason="", seconds=60.0)
