"""Memory that a process can still allocate."""

import re
import sys
from pathlib import Path


def available_memory(root: Path = Path("/")) -> int:
    """Bytes that this process can still allocate on Linux; elsewhere `sys.maxsize`.

    The result is the least of the machine's free memory and the rest of each control group's limit. In a container, the
    machine's free memory alone is far too large.

    Args:
        root: the folder of `proc` and `sys`.
    """
    meminfo = root / "proc" / "meminfo"
    found = re.search(r"MemAvailable:\s+(\d+) kB", meminfo.read_text(encoding="utf-8")) if meminfo.is_file() else None
    return min([1024 * int(found[1]) if found else sys.maxsize, *_left_in_control_groups(root)])


def _left_in_control_groups(root):
    """The rest of each control group's limit in bytes (versions 1 and 2 of the kernel's interface)."""
    groups = root / "proc" / "self" / "cgroup"
    for line in groups.read_text(encoding="utf-8").splitlines() if groups.is_file() else ():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            mount, limit, usage, cached = root / "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            mount, limit = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
            usage, cached = "memory.usage_in_bytes", "total_inactive_file"
        else:
            continue
        # In a container the mount may be the process's group, while `path` is the group's path outside the container.
        folder = mount / path.strip("/")
        for group in dict.fromkeys((folder, *(p for p in folder.parents if p.is_relative_to(mount)), mount)):
            most, used = _read_number(group / limit), _read_number(group / usage)
            if most is not None and used is not None:
                yield max(0, most - used + _cached_bytes(group / "memory.stat", cached))


def _read_number(path):
    """The number in a file; None if the file is missing or contains `max`."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def _cached_bytes(path, key):
    """Bytes of cached files, which the kernel frees on demand."""
    try:
        found = re.search(rf"^{key} (\d+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) if found else 0
