# SPDX-License-Identifier: GPL-2.0
"""The two drivers and the daemons that are mounted on them."""

import concurrent.futures
import os
import shutil
import subprocess
import time

import report

CLONE = "/fuse_rs"
BUILD = f"{CLONE}/build/conformance"
PRELOAD = f"{CLONE}/tools/beside/preload.so"
FEATURES = f"{CLONE}/tools/beside/features"

# Name, device, type: ours beside the C driver, or alone in its place.
if os.path.exists("/dev/fuse_rs"):
    DRIVERS = {"C": ("/dev/fuse", "fuse"), "Rust": ("/dev/fuse_rs", "fuse_rs")}
else:
    DRIVERS = {"Rust": ("/dev/fuse", "fuse")}
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


def source_of(name):
    """The directory below a Mount, whose path ends with this name."""
    return f"/tmp/s/{name}"


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
    driver it is an empty tmpfs. Mount points of all have names of one length: pjdfstest makes paths
    up to the limit and cannot divide some lengths."""

    def __init__(self, driver, daemon=None, options=()):
        self.driver, self.daemon, self.options = driver, daemon, options

    def __enter__(self):
        name = f"{self.driver[:1].lower()}-{time.monotonic_ns() % 10**9:09d}"
        self.source, self.path = source_of(name), f"/tmp/mnt/{name}"
        os.makedirs(self.source)
        os.makedirs(self.path)
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

    def __exit__(self, *_):
        subprocess.run(["umount", self.path], check=True)
        if self.driver in DRIVERS:
            self.process.wait(timeout=60 * SLOWNESS)
        os.rmdir(self.path)
        shutil.rmtree(self.source)


def outcome(driver, options, needs, work):
    """(passed, FAILED or left out, seconds) of `work`, which is given the path of passthrough_ll on
    one driver, and says whether all was well."""
    start = time.monotonic()
    with Mount(driver, "passthrough_ll", options) as path:
        if lacks := lacking(path, needs):
            report.say(f"  {driver}: left out, it cannot do {lacks}")
            return "left out", 0
        good = work(path)
    return "passed" if good else "FAILED", time.monotonic() - start
