"""How a Linux process gives up its rights for good: limits, capabilities, Landlock, and a list of system calls.

How it works. A process can only ever give up rights, and what it has given up it cannot take back, nor can code that it
runs later. So the process of a session confines itself (`confine`) before it has seen a line of a model's code:

1. *Resource limits*: private memory, no core file, no file that grows, few open files.
2. *Capabilities*: all dropped, which matters when the notebook runs as root.
3. *Landlock*: files can be read below the folders given, which hold Python and its packages, and nowhere else; nothing
   can be written.
4. *seccomp*: of about 350 system calls those are left that Python needs to compute, to import, and to use threads. All
   others fail with EPERM, which the cell sees as a `PermissionError`: sockets, processes, programs, signals, pipes,
   shared memory, tracing, namespaces, new limits. What is not listed is forbidden, so that a call that a later kernel
   brings is forbidden, too.

Each step raises if the kernel does not do all of it, and `prove` tries what must fail. Nothing is weakened silently.

The numbers are those of the kernel's interface, which do not change. `openat` is not checked for its flags: Landlock
decides. The call `clone3` answers "not implemented", so that the C library starts threads with `clone`, whose flags
are in a register, where a filter can see them; only threads pass. Memory that is shared, grows downwards or consists of
huge pages is refused, because the limit on private memory does not count it.

This module imports only the standard library: the confined process loads it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import signal
import socket
import struct
from collections.abc import Callable, Iterable, Sequence

__all__ = ["ConfinementError", "confine", "die_with_parent", "landlock_version", "machine_is_known", "prove"]

#: What the limit on address space leaves for code, files and reserved memory beside private memory, in bytes.
ADDRESS_SPACE = 4 << 30
OPEN_FILES = 64

#: System calls by name: their numbers on x86-64 and on 64-bit ARM (-1: does not exist there).
_CALLS = {
    # Files, whose paths Landlock checks; what is written goes to the host or, in standard output, nowhere.
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66), "pread64": (17, 67), "close": (3, 57),
    "open": (2, -1), "openat": (257, 56), "lseek": (8, 62), "stat": (4, -1), "lstat": (6, -1), "fstat": (5, 80),
    "newfstatat": (262, 79), "statx": (332, 291), "access": (21, -1), "faccessat": (269, 48), "faccessat2": (439, 439),
    "readlink": (89, -1), "readlinkat": (267, 78), "getdents64": (217, 61), "getcwd": (79, 17), "fadvise64": (221, 223),
    # Memory.
    "munmap": (11, 215), "mprotect": (10, 226), "mremap": (25, 216), "madvise": (28, 233), "brk": (12, 214),
    "membarrier": (324, 283),
    # Threads.
    "futex": (202, 98), "set_robust_list": (273, 99), "get_robust_list": (274, 100), "rseq": (334, 293),
    "sched_yield": (24, 124), "sched_getaffinity": (204, 123), "gettid": (186, 178), "exit": (60, 93),
    "exit_group": (231, 94), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "sigaltstack": (131, 132),
    "restart_syscall": (219, 128),
    # Waiting, clocks, random numbers.
    "poll": (7, -1), "ppoll": (271, 73), "select": (23, -1), "pselect6": (270, 72), "nanosleep": (35, 101),
    "clock_nanosleep": (230, 115), "clock_gettime": (228, 113), "clock_getres": (229, 114), "gettimeofday": (96, 169),
    "time": (201, -1), "getrandom": (318, 278),
    # Facts about the process and the system.
    "getpid": (39, 172), "getppid": (110, 173), "getuid": (102, 174), "geteuid": (107, 175), "getgid": (104, 176),
    "getegid": (108, 177), "uname": (63, 160), "sysinfo": (99, 179), "getrusage": (98, 165), "times": (100, 153),
    "getrlimit": (97, 163), "getcpu": (309, 168),
}  # fmt: skip
_MMAP, _CLONE, _CLONE3, _FCNTL = (9, 222), (56, 220), (435, 435), (72, 25)
_PRLIMIT64, _PRCTL, _IOCTL, _SECCOMP, _CAPSET = (302, 261), (157, 167), (16, 29), (317, 277), (126, 91)
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446

#: `platform.machine()`: the column above, and the name of the architecture in a filter.
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

# Landlock's rights, and how many of them each version of it knows.
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
#: Flags of `clone` that a thread has, and those that only other things have (new namespaces).
_THREAD, _NAMESPACES = 0x00010000 | 0x00000100, 0x7E020080
#: Flags of `mmap` that are refused: shared, growing downwards, huge pages.
_UNCOUNTED = 0x01 | 0x0100 | 0x40000
_PR_SET_PDEATHSIG, _PR_SET_NAME, _PR_GET_NAME, _PR_SET_NO_NEW_PRIVS = 1, 15, 16, 38
#: Commands of `fcntl`: duplicate, read and set the flags of a descriptor, read those of a file.
_FCNTL_COMMANDS = (1, 2, 3, 1030)


class ConfinementError(RuntimeError):
    """A part of the confinement cannot be applied; the message says which, and why."""


def machine_is_known() -> bool:
    return platform.machine() in _MACHINES


def landlock_version() -> int:
    """The version of Landlock that this kernel offers; 0 if it offers none."""
    return max(0, _syscall(_LANDLOCK_CREATE, None, 0, 1, check=""))


def die_with_parent(parent: int) -> None:
    """End this process when the thread that started it ends, however that happens."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise ConfinementError("the process that started this one has ended")


def confine(readable: Iterable[str], memory: int) -> None:
    """Apply all of the confinement to this process and its threads, for good.

    `readable`: folders and files that can be read. `memory`: bytes of private memory. Raises `ConfinementError`.
    """
    if not machine_is_known():
        raise ConfinementError(f"the system calls of a {platform.machine()} are not known")
    column, architecture = _MACHINES[platform.machine()]
    _limit_resources(memory)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _drop_capabilities(column)
    _restrict_files(readable)
    _filter_calls(column, architecture)


def prove() -> None:
    """Try what must fail now. Raises `ConfinementError` if anything succeeds."""
    attempts: dict[str, Callable[[], None]] = {
        "reading /": lambda: os.close(os.open("/", os.O_RDONLY)),
        "reading /proc/self/environ": lambda: os.close(os.open("/proc/self/environ", os.O_RDONLY)),
        "writing a file": lambda: os.close(os.open(f"/tmp/rlm-{os.getpid()}", os.O_WRONLY | os.O_CREAT)),
        "opening a socket": lambda: socket.socket(socket.AF_INET).close(),
        "starting a process": _fork_and_end,
        "sending a signal": lambda: os.kill(os.getpid(), 0),
        "raising a limit": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8)),
    }
    for name, attempt in attempts.items():
        try:
            attempt()
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EACCES):
                raise ConfinementError(f"{name} failed for another reason: {error}") from None
        except ValueError:
            pass  # of `setrlimit`: not permitted
        else:
            raise ConfinementError(f"{name} still works in the confined process")


def _fork_and_end() -> None:
    if os.fork() == 0:
        os._exit(0)


def _limit_resources(memory: int) -> None:
    for name, limit in {
        "DATA": memory,
        "AS": memory + ADDRESS_SPACE,
        "CORE": 0,
        "FSIZE": 0,
        "NOFILE": OPEN_FILES,
        "MEMLOCK": 0,
        "STACK": 8 << 20,
    }.items():
        kind = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(kind)[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        try:
            resource.setrlimit(kind, (limit, limit))
        except (OSError, ValueError) as error:
            raise ConfinementError(f"the limit RLIMIT_{name} cannot be set: {error}") from None


def _drop_capabilities(column: int) -> None:
    header, none = struct.pack("=Ii", 0x20080522, 0), bytes(24)
    _syscall(_CAPSET[column], header, none, check="capabilities cannot be dropped")


def _restrict_files(readable: Iterable[str]) -> None:
    version = landlock_version()
    if not version:
        raise ConfinementError("this kernel has no Landlock (Linux 5.13 or newer, with the module enabled)")
    # All rights that this version knows are taken away; of those, reading is given back below some folders.
    handled = (1 << _RIGHTS[min(version, max(_RIGHTS))]) - 1
    attributes = struct.pack("=Q", handled)
    if version >= 4:
        attributes = struct.pack("=QQ", handled, 0b11)  # binding and connecting TCP sockets
    if version >= 6:
        attributes += struct.pack("=Q", 0b11)  # abstract sockets, and signals to processes outside
    rules = _syscall(_LANDLOCK_CREATE, attributes, len(attributes), 0, check="Landlock cannot be set up")
    try:
        for path in readable:
            try:
                place = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                rights = _READ_FILE | _READ_DIR if os.path.isdir(path) else _READ_FILE
                rule = struct.pack("=Qi", rights, place)
                _syscall(_LANDLOCK_ADD, rules, 1, rule, 0, check=f"Landlock does not accept {path}")
            finally:
                os.close(place)
        _syscall(_LANDLOCK_RESTRICT, rules, 0, check="Landlock cannot be applied")
    finally:
        os.close(rules)


# A filter is a program of a small machine of the kernel: (operation, jump if true, jump if false, constant).
_LOAD, _EQUAL, _ANY_BIT, _AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x54, 0x06
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
# Offsets of what it looks at: the number of the call, the architecture, the low and high half of an argument.
_NUMBER, _ARCHITECTURE = 0, 4


def _argument(index: int) -> int:
    return 16 + 8 * index


def _fails(code: int) -> tuple[int, int, int, int]:
    return (_RETURN, 0, 0, 0x00050000 | code)


def _program(column: int, architecture: int) -> bytes:
    allow, deny = (_RETURN, 0, 0, _ALLOW), _fails(errno.EPERM)
    program: list[tuple[int, int, int, int]] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if column == 0:  # calls of the x32 interface have other numbers on the same architecture
        program += [(_AT_LEAST, 0, 1, 0x40000000), deny]

    def on(number: int, body: Sequence[tuple[int, int, int, int]]) -> None:
        """`body` decides on a call with this number."""
        program.extend([(_EQUAL, 0, len(body), number), *body])

    for numbers in _CALLS.values():
        if numbers[column] >= 0:
            on(numbers[column], [allow])
    on(_CLONE3[column], [_fails(errno.ENOSYS)])
    # Terminals and devices: "not a terminal" is what Python asks.
    on(_IOCTL[column], [_fails(errno.ENOTTY)])
    on(
        _CLONE[column],
        [
            (_LOAD, 0, 0, _argument(0)),
            (_ANY_BIT, 3, 0, _NAMESPACES),
            (_AND, 0, 0, _THREAD),
            (_EQUAL, 0, 1, _THREAD),
            allow,
            deny,
        ],
    )
    on(_MMAP[column], [(_LOAD, 0, 0, _argument(3)), (_ANY_BIT, 1, 0, _UNCOUNTED), allow, deny])
    # Limits are read (the new value is no pointer), never set.
    on(
        _PRLIMIT64[column],
        [
            (_LOAD, 0, 0, _argument(2)),
            (_EQUAL, 0, 3, 0),
            (_LOAD, 0, 0, _argument(2) + 4),
            (_EQUAL, 0, 1, 0),
            allow,
            deny,
        ],
    )
    for call, values in ((_FCNTL, (1, _FCNTL_COMMANDS)), (_PRCTL, (0, (_PR_SET_NAME, _PR_GET_NAME)))):
        index, accepted = values
        checks = [(_EQUAL, len(accepted) - position, 0, value) for position, value in enumerate(accepted)]
        on(call[column], [(_LOAD, 0, 0, _argument(index)), *checks, deny, allow])
    program.append(deny)
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _filter_calls(column: int, architecture: int) -> None:
    program = _program(column, architecture)
    held = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("@HP", len(program) // 8, ctypes.addressof(held))
    # For all threads of the process; a positive result would be a thread that cannot be confined.
    outcome = _syscall(_SECCOMP[column], 1, 1, described, check="the filter of system calls cannot be installed")
    if outcome:
        raise ConfinementError("the filter of system calls cannot be installed in all threads")


def _prctl(option: int, value: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    arguments = [ctypes.c_ulong(each) for each in (value, 0, 0, 0)]
    if library.prctl(ctypes.c_int(option), *arguments):
        raise ConfinementError(f"prctl({option}) fails: {os.strerror(ctypes.get_errno())}")


def _syscall(number: int, *arguments: int | bytes | None, check: str) -> int:
    """The result of a system call. Raises `ConfinementError` with the text `check`, if there is one, when it fails."""
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    passed = [each if each is None or isinstance(each, bytes) else ctypes.c_long(each) for each in arguments]
    result = int(library.syscall(ctypes.c_long(number), *passed))
    if result < 0 and check:
        raise ConfinementError(f"{check}: {os.strerror(ctypes.get_errno())}")
    return result
