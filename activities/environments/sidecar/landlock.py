"""Landlock, Linux's rules by which a process gives up files and connections for itself: no rights are needed, none come
back.

Only for what the process opens from then on, and only in the thread that calls it and those it starts. Linux 5.13 and
later, where it is compiled in; connections from 6.7 on.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
_READ = _READ_FILE | _READ_DIR
_OF_FILES = _WRITE_FILE | _READ_FILE | _TRUNCATE
_FILES_BY_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1}
_TCP = (1 << 0) | (1 << 1)
_TCP_SINCE = 4


class _Ruleset(ctypes.Structure):
    _fields_ = [("files", ctypes.c_uint64), ("network", ctypes.c_uint64)]


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32)]


def landlock_version() -> int:
    """0 where there is none."""
    return max(0, ctypes.CDLL(None).syscall(_CREATE_RULESET, None, 0, _ASK_VERSION))


def restrict(readable: Iterable[Path], writable: Iterable[Path]) -> bool:
    """From now on this thread opens files only below these folders (or these files), no TCP connection, and starts no
    program.

    @returns False, and nothing is restricted, where the kernel has no Landlock
    @raises OSError if the kernel refuses what it should know
    """
    version = landlock_version()
    if version == 0:
        return False
    files = _FILES_BY_VERSION[min(version, max(_FILES_BY_VERSION))]
    wanted = _Ruleset(files, _TCP if version >= _TCP_SINCE else 0)
    ruleset = _call(_CREATE_RULESET, ctypes.byref(wanted), ctypes.sizeof(wanted) if version >= _TCP_SINCE else 8, 0)
    try:
        for paths, rights in ((readable, _READ), (writable, files & ~_EXECUTE)):
            for path in paths:
                _allow(ruleset, path, rights & files)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return True


def _allow(ruleset: int, path: Path, rights: int) -> None:
    """What does not exist, or cannot be reached, needs no rule."""
    try:
        folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        allowed = rights if path.is_dir() else rights & _OF_FILES
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(_Beneath(allowed, folder)), 0)
    finally:
        os.close(folder)


def _call(number: int, *arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"landlock, system call {number}: {os.strerror(ctypes.get_errno())}")
    return result
