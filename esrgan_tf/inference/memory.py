"""How much memory a program can still have."""

import re
import sys
from pathlib import Path


def available_memory(root: Path = Path("/")) -> int:
    """Bytes that this process can still allocate, where the system says so (Linux); else `sys.maxsize`.

    The least of what the machine has free and what each control group of the process leaves: in a container the
    machine's own figure is far too large.

    Args:
        root: where `proc` and `sys` are.
    """
    meminfo = root / "proc" / "meminfo"
    found = re.search(r"MemAvailable:\s+(\d+) kB", meminfo.read_text(encoding="utf-8")) if meminfo.is_file() else None
    return min([1024 * int(found[1]) if found else sys.maxsize, *_left_in_groups(root)])


def _left_in_groups(root):
    """Bytes that each control group with a limit leaves (version 1 and 2 of the kernel's interface)."""
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
        # A container may see its own group as the mount itself, while `path` is the one outside.
        folder = mount / path.strip("/")
        for group in dict.fromkeys((folder, *(p for p in folder.parents if p.is_relative_to(mount)), mount)):
            most, used = _number(group / limit), _number(group / usage)
            if most is not None and used is not None:
                yield max(0, most - used + _cached(group / "memory.stat", cached))


def _number(path):
    """The number in a file; None without the file, and for `max`."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def _cached(path, key):
    """Bytes of files that the kernel gives back when they are needed."""
    try:
        found = re.search(rf"^{key} (\d+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) if found else 0
