# SPDX-License-Identifier: GPL-2.0
"""Mounts whose server holds WRITEs, processes that dirty their pages, and children with a time limit."""

import ctypes
import mmap
import os
import select
import signal
import subprocess
import time

CLONE = "/fuse_rs"
BESIDE = f"{CLONE}/tools/beside/beside"
HOLDER = f"{CLONE}/tools/containment/holder"
# Name, device, type.
DRIVERS = {"C": ("/dev/fuse", "fuse"), "Rust": ("/dev/fuse_rs", "fuse_rs")}
VARIANTS = {"mapped": (), "writeback": ("-o", "writeback")}

PAGE = mmap.PAGESIZE
# Groups of pages that are not neighbours, so that each is a WRITE of its own.
GROUPS, GROUP_PAGES, STRIDE = 8, 32, 64
# Of which so many are written back before the step, and so many WRITEs read by the server.
WRITTEN, READ = 6, 2
SYNC_FILE_RANGE_WRITE = 2
MAY_TAKE = 20

libc = ctypes.CDLL(None, use_errno=True)


class Unsupported(Exception):
    """The driver cannot do what the variant needs."""


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


class Child:
    """A process that runs a function. `seconds` is what the function took, `error` what went wrong;
    both are None as long as it runs."""

    def __init__(self, function):
        self.reader, writer = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(self.reader)
            self._run(function, writer)
        os.close(writer)
        self.status = self.seconds = self.error = None

    @staticmethod
    def _run(function, writer):
        start = time.monotonic()
        try:
            function()
            said = "0"
        except OSError as error:
            said = str(error.errno or 255)
        except BaseException as error:
            os.write(2, f"{error!r}\n".encode())
            said = "255"
        os.write(writer, f"{time.monotonic() - start} {said}".encode())
        os._exit(0)

    def wait(self, limit):
        """Whether it is over within so many seconds."""
        end = time.monotonic() + limit
        while self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = status
                if said := os.read(self.reader, 100).split():
                    self.seconds, self.error = float(said[0]), int(said[1])
                os.close(self.reader)
            elif time.monotonic() > end:
                return False
            else:
                time.sleep(0.005)
        return True

    def kill(self):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)


class Mount:
    """A holder on a driver."""

    def __init__(self, driver, variant):
        self.driver, self.variant = driver, variant
        self.path = f"/tmp/mnt/{driver}-{time.monotonic_ns() % 10**9:09d}"
        os.makedirs(self.path)
        device, fstype = DRIVERS[driver]
        self.server = subprocess.Popen([BESIDE, "-d", device, "-t", fstype, self.path, HOLDER,
                                        *VARIANTS[variant], "-f", "{}"])
        self.data, self.control = f"{self.path}/data", f"{self.path}/control"
        # The first answer means that INIT is over, too.
        end = time.monotonic() + MAY_TAKE
        while not os.path.exists(self.control):
            if time.monotonic() > end or self.server.poll() is not None:
                raise RuntimeError(f"the server on the {driver} driver does not start")
            time.sleep(0.02)
        self.device = os.stat(self.path).st_dev
        if variant == "writeback" and "writeback" not in self.report():
            self.close()
            raise Unsupported("WRITEBACK_CACHE")

    def report(self):
        """What the server says: how many WRITEs it holds, and `writeback`."""
        with open(self.control) as control:
            return control.read().split()

    def tell(self, what):
        with open(self.control, "w") as control:
            control.write(what)

    def wait_until_stopped(self):
        end = time.monotonic() + MAY_TAKE
        while time.monotonic() < end:
            pid, status = os.waitpid(self.server.pid, os.WUNTRACED | os.WNOHANG)
            if pid:
                if os.WIFSTOPPED(status):
                    return
                break
            time.sleep(0.02)
        raise RuntimeError(f"no {READ} WRITEs reached the server on the {self.driver} driver")

    def bdi(self):
        """The counters of its backing device, {name: kB}."""
        major, minor = os.major(self.device), os.minor(self.device)
        with open(f"/sys/kernel/debug/bdi/{major}:{minor}/stats") as stats:
            lines = [line.split() for line in stats if line.rstrip().endswith("kB")]
        return {line[0].rstrip(":"): int(line[1]) for line in lines}

    def close(self):
        """Ends the server, whatever it does. Nobody may use the mount any more."""
        self.server.kill()
        self.server.wait()
        for _ in range(100):
            if not libc.umount2(self.path.encode(), 0):
                os.rmdir(self.path)
                return
            time.sleep(0.1)
        raise RuntimeError(f"{self.path} cannot be unmounted: somebody still uses it")


def pages():
    """The offsets of the pages that are made dirty, those that are written back first."""
    return [(group * STRIDE + page) * PAGE for group in range(GROUPS)
            for page in range(GROUP_PAGES)]


class Dirtier:
    """A process that has the file mapped and its groups dirty, and writes some of them back."""

    def __init__(self, mount, cgroup=None):
        self.mount, self.cgroup = mount, cgroup
        self._said, ready = os.pipe()
        orders, self._orders = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(self._orders)
            self._run(ready, orders)
        os.close(ready)
        os.close(orders)
        if (said := self._hear(MAY_TAKE)) != b"dirty":
            self.close()
            raise Unsupported("writable shared mappings") if said == b"cannot map" else \
                RuntimeError(f"the pages could not be made dirty: {said}")

    def _hear(self, limit):
        readable = select.select([self._said], [], [], limit)[0]
        return os.read(self._said, 100) if readable else b"nothing"

    def _dirty(self, fd):
        """Makes the pages dirty and maps them."""
        mapped = self.mount.variant == "mapped"
        try:
            memory = mmap.mmap(fd, GROUPS * STRIDE * PAGE, prot=mmap.PROT_READ | (
                mmap.PROT_WRITE if mapped else 0))
        except OSError:
            raise Unsupported from None
        for at in pages():
            if mapped:
                memory[at] = 1
            else:
                os.pwrite(fd, b"1" * PAGE, at)
                memory[at]
        return memory

    def _run(self, ready, orders):
        try:
            if self.cgroup:
                with open(f"{self.cgroup}/cgroup.procs", "w") as procs:
                    procs.write(str(os.getpid()))
            fd = os.open(self.mount.data, os.O_RDWR)
            memory = self._dirty(fd)
            os.write(ready, b"dirty")
            os.read(orders, 1)
            for at in range(WRITTEN):
                checked(libc.sync_file_range(fd, ctypes.c_long(at * STRIDE * PAGE),
                                             ctypes.c_long(GROUP_PAGES * PAGE),
                                             SYNC_FILE_RANGE_WRITE))
            os.write(ready, b"written")
            while memory:
                signal.pause()
        except Unsupported:
            os.write(ready, b"cannot map")
        except BaseException as error:
            os.write(ready, repr(error).encode()[:99])
        os._exit(1)

    def write_back(self, stopping):
        """Sends WRITEs of the first groups. If the server is to stop at them, it has then."""
        if stopping:
            self.mount.tell(f"stop {READ}")
        os.write(self._orders, b"x")
        if stopping:
            self.mount.wait_until_stopped()
        if (said := self._hear(1 if stopping else MAY_TAKE)) not in (b"written", b"nothing"):
            raise RuntimeError(f"write-back failed: {said}")

    def mapping(self):
        """Where it has the file mapped."""
        with open(f"/proc/{self.pid}/maps") as maps:
            return next(int(line.split("-")[0], 16) for line in maps
                        if line.endswith("/data\n"))

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        end = time.monotonic() + MAY_TAKE
        while not os.waitpid(self.pid, os.WNOHANG)[0]:
            if time.monotonic() > end:
                raise RuntimeError("the process that dirties pages does not end")
            time.sleep(0.01)
        os.close(self._said)
        os.close(self._orders)
