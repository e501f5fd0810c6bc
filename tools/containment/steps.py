# SPDX-License-Identifier: GPL-2.0
"""What must go on while a server is stopped: each step has `prepare(scene)` and `act(scene)`, of which
the second is timed in a process of its own, and `undo(scene)`, which runs whatever happened."""

import ctypes
import glob
import mmap
import os

import scene

MIB = 1 << 20
CGROUP = "/sys/fs/cgroup/containment"
MEMORY = "/sys/devices/system/memory"
MPOL_BIND, MPOL_MF_MOVE = 2, 2
SYS_MBIND, SYS_MOVE_PAGES = 237, 279


def put(path, text):
    with open(path, "w") as file:
        file.write(text)


def take(path):
    with open(path) as file:
        return file.read().strip()


def stream(path, mib):
    """Writes a file and reads it again; not from the cache, where there is something below."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    for _ in range(mib):
        os.write(fd, bytes(MIB))
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    for at in range(mib):
        os.pread(fd, MIB, at * MIB)
    os.close(fd)


class Step:
    name = ""
    # The memory cgroup of the process that dirties pages, if it needs one.
    cgroup = None

    def prepare(self, where):
        pass

    def act(self, where):
        raise NotImplementedError

    def undo(self, where):
        pass


class Sync(Step):
    name = "sync(2)"

    def act(self, where):
        os.sync()


class SyncFs(Step):
    """With pages of that mount to be written."""

    def __init__(self, name, path):
        self.name, self.path = f"syncfs of {name}", path

    def prepare(self, where):
        fd = os.open(self.path(where), os.O_RDWR | os.O_CREAT)
        os.write(fd, bytes(MIB))
        os.close(fd)

    def act(self, where):
        fd = os.open(self.path(where), os.O_RDONLY)
        scene.checked(scene.libc.syncfs(fd))


class Knob(Step):
    """Writes to a file of the kernel's."""

    def __init__(self, name, path, text):
        self.name, self.path, self.text = name, path, text

    def act(self, where):
        put(self.path, self.text)


class Compact(Knob):
    """Of a zone in which the pages are low, where compaction takes them from, but not first: the ends
    of zones are left alone."""

    def __init__(self):
        super().__init__("compact_memory", "/proc/sys/vm/compact_memory", "1")

    def prepare(self, where):
        low = [range(start + spanned // 20, start + spanned // 2) for start, spanned in zones()]
        place(where.dirtier, lambda frame: any(frame in part for part in low))


class HugePages(Knob):
    def __init__(self):
        super().__init__("128 huge pages", "/proc/sys/vm/nr_hugepages", "128")

    def undo(self, where):
        put(self.path, "0")


class Thp(Step):
    name = "128 MiB with MADV_HUGEPAGE"

    def act(self, where):
        memory = mmap.mmap(-1, 128 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        memory.madvise(mmap.MADV_HUGEPAGE)
        for at in range(0, 128 * MIB, scene.PAGE):
            memory[at] = 1


def pages_with_server(dirtier):
    """Addresses in that process."""
    start = dirtier.mapping()
    return [start + at for at in scene.pages()[:scene.WRITTEN * scene.GROUP_PAGES]]


def frames_of(pid, addresses):
    """The page frames of a process at these addresses, of those that have one."""
    entries = []
    with open(f"/proc/{pid}/pagemap", "rb", 0) as pagemap:
        for address in addresses:
            pagemap.seek(address // scene.PAGE * 8)
            entries.append(int.from_bytes(pagemap.read(8), "little"))
    return [entry & ((1 << 55) - 1) for entry in entries if entry >> 63]


def zones():
    """(first frame, number of frames) of each zone that has any."""
    found = []
    for line in take("/proc/zoneinfo").splitlines():
        name, _, number = line.strip().partition(" ")
        if name == "spanned":
            spanned = int(number)
        elif name == "start_pfn:":
            found.append((int(number), spanned))
    return found


def move_pages(dirtier, addresses, nodes):
    """Moves pages of a process to nodes, or asks where they are; returns the nodes."""
    count = len(addresses)
    status = (ctypes.c_int * count)()
    scene.checked(scene.libc.syscall(
        SYS_MOVE_PAGES, dirtier.pid, count, (ctypes.c_void_p * count)(*addresses),
        nodes and (ctypes.c_int * count)(*nodes), status, MPOL_MF_MOVE if nodes else 0))
    return list(status)


def ballast(size, node):
    """Memory of a node, in small pages: those that were just freed."""
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    mask = ctypes.c_ulong(1 << node)
    scene.checked(scene.libc.syscall(SYS_MBIND, ctypes.c_ulong(address), ctypes.c_ulong(size),
                                     MPOL_BIND, ctypes.byref(mask), ctypes.c_ulong(64), 0))
    for at in range(0, size, scene.PAGE):
        memory[at] = 1
    return memory


def place(dirtier, good):
    """Moves the pages that will be with the server until most have good frames, or for a while;
    returns the frames. What is allocated in between makes the kernel take other ones."""
    addresses = pages_with_server(dirtier)
    kept = []
    for _ in range(8):
        move_pages(dirtier, addresses, [0] * len(addresses))
        kept.append(ballast(40 * MIB, 1))
        move_pages(dirtier, addresses, [1] * len(addresses))
        frames = frames_of(dirtier.pid, addresses)
        if sum(map(good, frames)) > len(addresses) // 2:
            break
    return frames


class MovePages(Step):
    """MIGRATE_SYNC of the pages that are with the server."""
    name = "move_pages(2) to another node"

    def act(self, where):
        addresses = pages_with_server(where.dirtier)
        here = move_pages(where.dirtier, addresses, None)
        move_pages(where.dirtier, addresses, [1 - max(node, 0) for node in here])


class Offline(Step):
    """Of the block of memory that holds most pages of the file."""
    name = "memory block offline"

    def __init__(self):
        self.size = int(take(f"{MEMORY}/block_size_bytes"), 16) // scene.PAGE
        self.possible = None

    @staticmethod
    def _can_go(block):
        """Some have holes, or memory that was taken before there was a zone."""
        try:
            put(f"{block}/state", "offline")
            put(f"{block}/state", "online_movable")
        except OSError:
            return False
        return True

    def prepare(self, where):
        if self.possible is None:
            blocks = [block for block in glob.glob(f"{MEMORY}/memory[0-9]*")
                      if take(f"{block}/valid_zones") == "Movable"]
            self.possible = {block for block in blocks if self._can_go(block)}
        frames = place(where.dirtier, lambda frame: self._block_of(frame) in self.possible)
        blocks = [self._block_of(frame) for frame in frames]
        self.block = max(set(blocks), key=blocks.count)

    def _block_of(self, frame):
        return f"{MEMORY}/memory{frame // self.size}"

    def act(self, where):
        put(f"{self.block}/state", "offline")

    def undo(self, where):
        if take(f"{self.block}/state") == "offline":
            put(f"{self.block}/state", "online")


class Reclaim(Step):
    """In a group with little memory, in which the pages of the stopped server are, too."""
    name = "reclaim in a memory cgroup"
    cgroup = CGROUP

    def act(self, where):
        put(f"{CGROUP}/cgroup.procs", str(os.getpid()))
        stream("/tmp/ext4/reclaim", 96)


class Stream(Step):
    def __init__(self, name, path, mib):
        self.name, self.path, self.mib = f"{mib} MiB on {name}", path, mib

    def act(self, where):
        stream(self.path(where), self.mib)


def on_other(where):
    return where.other.data


def on_ext4(where):
    return "/tmp/ext4/file"


def on_tmpfs(where):
    return "/tmp/file"


STEPS = [
    Sync(),
    SyncFs("another FUSE mount", on_other),
    SyncFs("ext4", on_ext4),
    Knob("drop_caches", "/proc/sys/vm/drop_caches", "3"),
    Compact(),
    HugePages(),
    Thp(),
    MovePages(),
    Offline(),
    Reclaim(),
    Stream("another FUSE mount", on_other, 8),
    Stream("ext4", on_ext4, 8),
    Stream("tmpfs", on_tmpfs, 8),
]
