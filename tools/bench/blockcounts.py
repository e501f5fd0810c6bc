# SPDX-License-Identifier: GPL-2.0
"""What the plugin `blocks` counted, and which functions those blocks are of."""
import bisect
import re
import subprocess

KERNEL = 1 << 63
# Of the C driver's functions, which are in the kernel's image, these are the beginnings.
C_DRIVER = ("fuse_", "virtio_fs_", "__fuse_", "fuse2", "queue_request_and_unlock", "request_wait_answer")


class Symbols:
    def __init__(self, path):
        found = []
        for line in path.read_text().splitlines():
            address, kind, name, *module = line.split()
            if kind in "tTwW":
                found.append((int(address, 16), name, module == ["[fuse_rs]"]))
        found.sort(key=lambda s: s[0])
        self.addresses = [a for a, _, _ in found]
        names = "\n".join(n for _, n, _ in found)
        plain = subprocess.run(["c++filt", "--format=rust"], input=names, text=True,
                               capture_output=True, check=True).stdout.split("\n")
        self.names = [shorten(n) for n in plain]
        self.ours = [o for _, _, o in found]

    def of(self, address):
        """Part of the system and function of an address, and whether the function begins there."""
        if address < KERNEL:
            return "user space", "user space", False
        at = bisect.bisect_right(self.addresses, address) - 1
        if at < 0:
            return "kernel", "?", False
        name = self.names[at]
        driver = self.ours[at] or name.startswith(C_DRIVER)
        return "driver" if driver else "kernel", name, self.addresses[at] == address


def shorten(name):
    """Rust names without the hashes of the crates."""
    return re.sub(r"\[[0-9a-f]{15,16}\]", "", name)


def sections(path):
    current = None
    for line in path.open():
        if line == "section\n":
            if current is not None:
                yield current
            current = []
        else:
            address, runs, instructions = line.split()
            current.append((int(address, 16), int(runs), int(instructions)))
    if current is not None:
        yield current
