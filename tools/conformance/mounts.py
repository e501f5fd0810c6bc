# SPDX-License-Identifier: GPL-2.0
"""The two drivers, and the daemons and virtio-fs devices that are mounted on them."""

import concurrent.futures
import os
import shutil
import subprocess
import threading
import time

import report

CLONE = "/fuse_rs"
BUILD = f"{CLONE}/build/conformance"
PRELOAD = f"{CLONE}/tools/beside/preload.so"
FEATURES = f"{CLONE}/tools/beside/features"

# Of the drivers' virtio-fs devices: the directories they share, and the drivers.
SHARED = f"{CLONE}/build/conformance/devices"
# Name, device, type: ours beside the C driver, or alone in its place.
if os.path.exists("/dev/fuse_rs"):
    DRIVERS = {"C": ("/dev/fuse", "fuse"), "Rust": ("/dev/fuse_rs", "fuse_rs")}
    DEVICE_DRIVERS = {"C": "virtiofs", "Rust": "virtiofs_rs"}
else:
    DRIVERS = {"Rust": ("/dev/fuse", "fuse")}
    DEVICE_DRIVERS = {"Rust": "virtiofs"}
# How many times longer than on the stock kernel things may take.
SLOWNESS = int(os.environ.get("KTAP_SLOWNESS", "1"))


def _passthrough_ll(source, options):
    return [f"{BUILD}/passthrough_ll", "-o", ",".join([f"source={source}", *options])]


def _subdir(program):
    def command(source, options):
        options = ["modules=subdir", f"subdir={source}", *options]
        return [f"{BUILD}/{program}", "-o", ",".join(options)]
    return command


def _bindfs(source, options):
    return ["bindfs", *(["-o", ",".join(options)] if options else []), source]


DAEMONS = {
    "passthrough_ll": _passthrough_ll,
    "passthrough": _subdir("passthrough"),
    "passthrough_fh": _subdir("passthrough_fh"),
    "bindfs": _bindfs,
}


_rebinding = threading.Lock()
# By the names of Mounts of devices.
_shared = {}


def source_of(name):
    """The directory below a Mount, whose path ends with this name."""
    return _shared.get(name, f"/tmp/s/{name}")


def features(path):
    """What the driver can do on the Mount at this path: some of mmap and writeback."""
    done = subprocess.run([FEATURES, path, source_of(os.path.basename(path))], check=True,
                          stdout=subprocess.PIPE, text=True)
    return set(done.stdout.split())


def lacking(path, needs):
    """What of `needs` the driver of the Mount at this path cannot do, in words."""
    return " and ".join(sorted(set(needs) - features(path))) if needs else ""


def on_each(run):
    """What `run` returns for each driver, at the same time for all."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return dict(zip(DRIVERS, pool.map(run, DRIVERS)))


class Mount:
    """A daemon over an empty directory of tmpfs, mounted while the `with` block runs. Without a
    driver it is an empty tmpfs; of a daemon "device NAME" it is the driver's virtio-fs device of that
    name, see the script `run`. Mount points of all have names of one length: pjdfstest makes paths
    up to the limit and cannot divide some lengths."""

    def __init__(self, driver, daemon=None, options=()):
        self.driver, self.daemon, self.options = driver, daemon, options

    def __enter__(self):
        name = f"{self.driver[:1].lower()}-{time.monotonic_ns() % 10**9:09d}"
        self.path = f"/tmp/mnt/{name}"
        os.makedirs(self.path)
        if self._is_device():
            return self._mount_device(name)
        self.source = source_of(name)
        os.makedirs(self.source)
        os.chmod(self.source, 0o755)
        if self.driver not in DRIVERS:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "none", self.path], check=True)
            return self.path
        device, fstype = DRIVERS[self.driver]
        self.process = subprocess.Popen(
            [*DAEMONS[self.daemon](self.source, list(self.options)), "-f", self.path],
            env={**os.environ, "LD_PRELOAD": PRELOAD, "FUSE_DEV": device,
                 "FUSE_FSTYPE": fstype})
        for _ in range(600 * SLOWNESS):
            if os.path.ismount(self.path):
                return self.path
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"{self.daemon} does not mount on the {self.driver} driver")

    def _is_device(self):
        return self.driver in DRIVERS and self.daemon.startswith("device ")

    def _mount_device(self, name):
        kind = DEVICE_DRIVERS[self.driver]
        tag = f"{self.driver[:1].lower()}-{self.daemon.removeprefix('device ')}"
        with _rebinding:
            subprocess.run([f"{CLONE}/tools/lab/rebind", tag, kind], check=True)
        # Below it, it can be seen without the device.
        self.source = _shared[name] = f"{SHARED}/{tag}"
        subprocess.run(["mount", "-i", "-t", kind, *(["-o", ",".join(self.options)] if self.options
                                                     else []), tag, self.path], check=True)
        return self.path

    def _unmount_device(self):
        for entry in os.scandir(self.path):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.remove(entry.path)
        subprocess.run(["umount", self.path], check=True)
        os.rmdir(self.path)

    def __exit__(self, *_):
        if self._is_device():
            self._unmount_device()
            return
        subprocess.run(["umount", self.path], check=True)
        if self.driver in DRIVERS:
            self.process.wait(timeout=60 * SLOWNESS)
        os.rmdir(self.path)
        shutil.rmtree(self.source)


def daemon_and_options(text):
    """What a table says of a mount: options of passthrough_ll, or a device, and options behind -o."""
    if not isinstance(text, str):
        return "passthrough_ll", text
    device, _, options = text.partition(" -o ")
    return device, tuple(options.split(",")) if options else ()


def outcome(driver, options, needs, work, daemon="passthrough_ll"):
    """(passed, FAILED or left out, seconds) of `work`, which is given the path of a daemon on one
    driver, and says whether all was well."""
    start = time.monotonic()
    with Mount(driver, daemon, options) as path:
        if lacks := lacking(path, needs):
            report.say(f"  {driver}: left out, it cannot do {lacks}")
            return "left out", 0
        good = work(path)
    return "passed" if good else "FAILED", time.monotonic() - start
