"""A function in a process of its own, so that an input that kills, fills or occupies a process costs nothing else.

All calls go through one process that lives on, which costs a pass through a socket and no start. Only when it ends in
the middle of a call is that one input tried again, each time alone in a new process. The input is to blame only when
every one of those ends too: whoever kills processes from outside, by hand or for want of memory, hits one of them. This
guards against accidents; it is no sandbox for hostile code.
"""

import contextlib
import importlib
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import tenacity

from texture_store.errors import (
    IsolationError,
    OutOfMemoryError,
    ProcessKilledError,
    RejectedImageError,
    TimedOutError,
)

ATTEMPTS_ALONE = 2
"""New processes that an input may end before it is to blame; with the one before them it has ended three."""
START_ATTEMPTS = 3

_BUFFER_BYTES = 4 * 2**20
"""An image in one piece: 332 kB there and 256 kB back took 0.36 ms with it, 0.65 ms and many switches by default."""
_KEPT_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 * 2**20), "MALLOC_TRIM_THRESHOLD_": str(128 * 2**20)}
"""Without, each call gets its memory anew, page by page: 1.2 ms of the 5 ms that an image of 645 x 522 px took."""
_OUT_OF_MEMORY = 71
_READY = "ready"


@dataclass(frozen=True)
class Limits:
    """What one call may take."""

    memory_bytes: int = 8 * 2**30
    """Private memory above what the process has when it is ready."""
    cpu_seconds: int = 60
    """Time of processors, not of the clock: a machine that is busy or stopped makes no input slower."""
    wall_seconds: int = 600
    """Without an answer; for a call that waits instead of computing."""


class Isolated:
    """Calls a function of a module in a process of its own; one call at a time."""

    def __init__(self, function: str, limits: Limits | None = None) -> None:
        """`function` is written `package.module:name`. Its arguments, result and errors are pickled."""
        self._function = function
        self._limits = limits or Limits()
        self._lock = threading.Lock()
        self._process: _Process | None = None

    def start(self) -> None:
        """Have the process ready, so that the first call does not wait for it. Raises IsolationError."""
        with self._lock:
            self._started()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The function's result, or its error.

        Raises:
            ProcessKilledError: these arguments ended every process that they were given to; as
                OutOfMemoryError or TimedOutError where that was the limit.
            IsolationError: no process could be started.
        """
        with self._lock:
            try:
                return self._started().call(args, kwargs)
            except _ProcessEnded:
                self._process = None
            verdict: RejectedImageError
            for _ in range(ATTEMPTS_ALONE):
                alone = _start(self._function, self._limits)
                try:
                    return alone.call(args, kwargs)
                except _ProcessEnded as ended:
                    verdict = ended.verdict
                finally:
                    alone.end()
            raise verdict

    def _started(self) -> "_Process":
        if self._process is None:
            self._process = _start(self._function, self._limits)
        return self._process


class _ProcessEnded(Exception):
    def __init__(self, verdict: RejectedImageError) -> None:
        super().__init__(str(verdict))
        self.verdict = verdict


class _Process:
    def __init__(self, function: str, limits: Limits) -> None:
        ours, theirs = socket.socketpair()
        for side in (ours, theirs):
            side.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        # A read or write that makes no progress for so long raises BlockingIOError.
        for direction in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            ours.setsockopt(socket.SOL_SOCKET, direction, struct.pack("ll", limits.wall_seconds, 0))
        self._limits = limits
        self._connection = Connection(ours.detach())
        with theirs:
            numbers = map(str, (theirs.fileno(), limits.memory_bytes, limits.cpu_seconds))
            self._popen = subprocess.Popen(  # noqa: S603 (this Python, and a function that our own code names)
                [sys.executable, "-P", "-c", "from texture_store.isolation import serve; serve()", function, *numbers],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=_environment(),
            )
        self.end = weakref.finalize(self, _end, self._popen, self._connection)
        try:
            answer = self._connection.recv()
        except (EOFError, OSError):
            answer = "it ended"
        if answer != _READY:
            self.end()
            status = self._popen.returncode
            raise IsolationError(f"no process could be started for {function}: {answer} (exit status {status})")

    def call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        try:
            self._connection.send((args, kwargs))
            result, error = self._connection.recv()
        except BlockingIOError:
            self.end()
            raise _ProcessEnded(TimedOutError(f"reading it gave no answer in {self._limits.wall_seconds} s")) from None
        except (EOFError, OSError):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(10)
            self.end()
            raise _ProcessEnded(_verdict(self._popen.returncode, self._limits)) from None
        if error is not None:
            raise error
        return result


# A start that fails was given no input yet, so something else is to blame: the shard fails, and no image is rejected.
@tenacity.retry(
    retry=tenacity.retry_if_exception_type(IsolationError),
    stop=tenacity.stop_after_attempt(START_ATTEMPTS),
    wait=tenacity.wait_fixed(1),
    reraise=True,
)
def _start(function: str, limits: Limits) -> _Process:
    return _Process(function, limits)


def _end(process: subprocess.Popen[bytes], connection: Connection) -> None:
    connection.close()
    process.kill()
    process.wait()


def _environment() -> dict[str, str]:
    """Ours, and the modules that we can import; and memory that is freed is kept for the next call (glibc)."""
    return {**_KEPT_MEMORY, **os.environ, "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)}


def _verdict(status: int, limits: Limits) -> RejectedImageError:
    if status == _OUT_OF_MEMORY:
        return OutOfMemoryError(f"reading it takes more than {limits.memory_bytes / 2**30:g} GiB of memory")
    if status == -signal.SIGXCPU:
        return TimedOutError(f"reading it takes more than {limits.cpu_seconds} s of processor time")
    how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    return ProcessKilledError(f"reading it ends its process: {how}, each of {1 + ATTEMPTS_ALONE} times")


def serve() -> None:
    """The other side: what the new process runs. Ends when nobody is at the other end of its socket any more."""
    function, descriptor, memory_bytes, cpu_seconds = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    connection = Connection(int(descriptor))
    try:
        module, _, name = function.partition(":")
        call = getattr(importlib.import_module(module), name)
        _limit_memory(int(memory_bytes))
    except Exception as error:
        connection.send(f"{type(error).__name__}: {error}")
        return
    connection.send(_READY)
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            args, kwargs = connection.recv()
            _limit_processor(int(cpu_seconds))
            answer: tuple[Any, Exception | None]
            try:
                answer = (call(*args, **kwargs), None)
            except MemoryError:
                os._exit(_OUT_OF_MEMORY)
            except Exception as error:
                answer = (None, error)
            connection.send(answer)


def _limit_memory(num_bytes: int) -> None:
    # RLIMIT_DATA counts what can be written to (Linux 4.7 and later). RLIMIT_AS would count the address space that is
    # only set aside for each thread, which grows with the cores of the machine.
    status = Path("/proc/self/status").read_text().splitlines()
    (held,) = (int(line.split()[1]) * 1024 for line in status if line.startswith("VmData:"))
    _lower(resource.RLIMIT_DATA, held + num_bytes)


def _limit_processor(seconds: int) -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _lower(resource.RLIMIT_CPU, int(usage.ru_utime + usage.ru_stime) + 1 + seconds)


def _lower(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    resource.setrlimit(which, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
