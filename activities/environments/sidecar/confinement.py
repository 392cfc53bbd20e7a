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


def confine() -> None:
    """Sets limits that nothing in this process can raise, and gives root's rights away where it has them.

    Called once everything is loaded and the port is open: what comes later needs no file.
    """
    limits = {
        resource.RLIMIT_AS: MAX_MEMORY_BYTES,
        resource.RLIMIT_NOFILE: MAX_OPEN_FILES,
        resource.RLIMIT_FSIZE: MAX_FILE_BYTES,
        resource.RLIMIT_CORE: 0,
    }
    for limit, wanted in limits.items():
        _, hard = resource.getrlimit(limit)
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(limit, (most, most))
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
