"""What the sidecar may use, whatever a model or a simulator makes it do: memory, files, rights."""

from __future__ import annotations

import os
import resource

MAX_MEMORY_BYTES = 4 << 30
"""Address space; a few hundred MB are in use with all tasks loaded."""
MAX_OPEN_FILES = 1024
"""Connections included: a worker keeps 16."""
MAX_FILE_BYTES = 64 << 20
"""Of one file, which can only be its log."""
NOBODY = 65534


def confine(memory_bytes: int = MAX_MEMORY_BYTES) -> None:
    """Sets limits that nothing in this process can raise, and gives root's rights away where it has them.

    Called once everything is loaded and the port is open: what comes later needs no file.
    """
    limit_resources(memory_bytes)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def limit_resources(memory_bytes: int = MAX_MEMORY_BYTES) -> None:
    """The limits alone, for a process that runs nothing of a model's and whose children still have files to read."""
    limits = {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_NOFILE: MAX_OPEN_FILES,
        resource.RLIMIT_FSIZE: MAX_FILE_BYTES,
        resource.RLIMIT_CORE: 0,
    }
    for limit, wanted in limits.items():
        _, hard = resource.getrlimit(limit)
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(limit, (most, most))
