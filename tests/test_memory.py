"""The memory that a process can still use, on machines and in containers: file trees like the kernel's."""

import sys

import pytest

from esrgan_tf.inference.memory import available_memory

MEMINFO = "MemTotal:       32000000 kB\nMemFree:        100 kB\nMemAvailable:   16000000 kB\n"
HOST = 16_000_000 * 1024


@pytest.fixture
def system(tmp_path):
    """Writes files below a root, and returns the available memory for this root."""

    def of(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return available_memory(tmp_path)

    return of


def test_a_machine_without_groups(system):
    assert system({"proc/meminfo": MEMINFO}) == HOST


def test_a_system_without_memory_figures(system):
    assert system({}) == sys.maxsize


def test_version_2_inside_a_container(system):
    """A container's group appears as the root; files that can be dropped count as free."""
    group = "sys/fs/cgroup"
    files = {
        "proc/meminfo": MEMINFO,
        "proc/self/cgroup": "0::/\n",
        f"{group}/memory.max": "1000000\n",
        f"{group}/memory.current": "700000\n",
        f"{group}/memory.stat": "anon 5\ninactive_file 200000\nactive_file 7\n",
    }
    assert system(files) == 500_000


def test_version_2_the_least_of_all_groups_above(system):
    group = "sys/fs/cgroup"
    files = {
        "proc/meminfo": MEMINFO,
        "proc/self/cgroup": "0::/user.slice/job.scope\n",
        f"{group}/user.slice/memory.max": "9000\n",
        f"{group}/user.slice/memory.current": "4000\n",
        f"{group}/user.slice/job.scope/memory.max": "max\n",
        f"{group}/user.slice/job.scope/memory.current": "3000\n",
    }
    assert system(files) == 5_000


@pytest.mark.parametrize("seen", ["docker/0123", ""])
def test_version_1(system, seen):
    """The group is at its stated path, or mounted as the root of the container's view."""
    group = f"sys/fs/cgroup/memory/{seen}"
    files = {
        "proc/meminfo": MEMINFO,
        "proc/self/cgroup": "9:name=systemd:/\n4:cpu,memory:/docker/0123\n0::/\n",
        f"{group}/memory.limit_in_bytes": "2000000\n",
        f"{group}/memory.usage_in_bytes": "1500000\n",
        f"{group}/memory.stat": "inactive_file 1\ntotal_inactive_file 100000\n",
    }
    assert system(files) == 600_000


def test_version_1_without_a_limit(system):
    group = "sys/fs/cgroup/memory"
    files = {
        "proc/meminfo": MEMINFO,
        "proc/self/cgroup": "4:memory:/\n",
        f"{group}/memory.limit_in_bytes": "9223372036854771712\n",
        f"{group}/memory.usage_in_bytes": "1500000\n",
    }
    assert system(files) == HOST
