#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""In the VM: what a stopped server holds up, on both drivers. guest.py [--short] [STEPS]

STEPS is a pattern; with it, only the steps whose name matches.

Every step is timed with a server that answers, and with one that has stopped while it holds WRITEs and
more are queued. With the second it may take twice as long, or FLOOR seconds: below that the noise of
an emulated machine is all that is measured. What is not over after TIMEOUT seconds hangs. With --short,
fewer steps are taken, on ours only, and the machine may be so busy that only what is far too late counts.
"""

import contextlib
import fnmatch
import json
import mmap
import os
import subprocess
import sys
import time

import steps
from scene import CLONE, DRIVERS, VARIANTS, Child, Dirtier, Mount, Unsupported, pages

sys.path.append(f"{CLONE}/tools/conformance")
import report  # noqa: E402

FLOOR, TIMEOUT, TRIES = 1.0, 20, 3
SHORT_FLOOR, SHORT_TIMEOUT = 5.0, 10
# How long whoever waits may live on after a fatal signal, and after the server's death.
DEATH = 5
SHORT_STEPS = {"sync(2)", "drop_caches", "compact_memory", "memory block offline", "8 MiB on ext4"}
CYCLES = 16
RESULTS = f"{CLONE}/build/results/containment%s.json"


class Scene:
    """A mount with dirty pages of which some are with its server, and another one that is idle."""

    def __init__(self, driver, variant, cgroup=None):
        self.other = Mount(driver, variant)
        self.children = []
        try:
            self.mount = Mount(driver, variant)
        except BaseException:
            self.other.close()
            raise
        try:
            self.dirtier = Dirtier(self.mount, cgroup)
        except BaseException:
            self.mount.close()
            self.other.close()
            raise

    def start(self, function):
        child = Child(function)
        self.children.append(child)
        return child

    def close(self):
        """Kills everybody, the server first. Whoever does not end then makes this run worthless."""
        self.mount.server.kill()
        for child in self.children:
            child.kill()
            if not child.wait(TIMEOUT):
                raise RuntimeError("a process does not end although the server is dead")
        self.dirtier.close()
        self.mount.close()
        self.other.close()


def time_step(step, driver, variant, stopping):
    """(seconds, error) of the step; None for seconds if it hangs."""
    scene = Scene(driver, variant, step.cgroup)
    try:
        step.prepare(scene)
        scene.dirtier.write_back(stopping)
        child = scene.start(lambda: step.act(scene))
        over = child.wait(TIMEOUT)
    finally:
        scene.close()
        step.undo(scene)
    if child.error and over:
        return child.seconds, os.strerror(child.error)
    return (child.seconds if over else None), None


def measure(step, driver, variant):
    """One row; a step that is late is tried again, one that hangs is not."""
    normal, error = time_step(step, driver, variant, False)
    if normal is None or error:
        return {"normal": normal, "stopped": None, "outcome": f"not possible here: {error}"}
    limit = max(2 * normal, FLOOR)
    for _ in range(TRIES):
        stopped, error = time_step(step, driver, variant, True)
        if stopped is None or error or stopped <= limit:
            break
    outcome = "hangs" if stopped is None else error or ("good" if stopped <= limit else "late")
    return {"normal": normal, "stopped": stopped, "limit": limit, "outcome": outcome}


class Waiters:
    """What waits for the stopped server. The file is opened and mapped while it answers."""

    def __init__(self, scene):
        self.variant = scene.mount.variant
        self.fd = os.open(scene.mount.data, os.O_RDWR)
        if self.variant == "mapped":
            self.memory = mmap.mmap(self.fd, mmap.PAGESIZE)
            self.memory[0]

    def store(self):
        if self.variant == "mapped":
            self.memory[0] = 2
        else:
            os.pwrite(self.fd, b"2", 0)

    def calls(self):
        return {"fsync": lambda: os.fsync(self.fd), "store to a page in flight": self.store,
                "read of another page": lambda: os.pread(self.fd, 1, 1 << 29),
                "statfs": lambda: os.fstatvfs(self.fd)}

    def close(self):
        if self.variant == "mapped":
            self.memory.close()
        # After the server's death it may have an error.
        with contextlib.suppress(OSError):
            os.close(self.fd)


def signals(driver, variant):
    """A fatal signal ends whoever waits: {call: (seconds, outcome)}."""
    found = {}
    scene = Scene(driver, variant)
    waiters = Waiters(scene)
    try:
        scene.dirtier.write_back(True)
        for name, call in waiters.calls().items():
            child = scene.start(call)
            if child.wait(0.5):
                found[name] = {"seconds": child.seconds, "outcome": "does not wait"}
                continue
            killed = time.monotonic()
            child.kill()
            over = child.wait(DEATH)
            found[name] = {"seconds": time.monotonic() - killed if over else None,
                           "outcome": "good" if over else "lives on"}
    finally:
        scene.mount.server.kill()
        waiters.close()
        scene.close()
    return found


def death(driver, variant):
    """The server's death ends everything: {call: (seconds, outcome)}, and what is left of its pages."""
    found = {}
    scene = Scene(driver, variant)
    waiters = Waiters(scene)
    try:
        scene.dirtier.write_back(True)
        children = {name: scene.start(call) for name, call in waiters.calls().items()}
        time.sleep(0.5)
        killed = time.monotonic()
        scene.mount.server.kill()
        for name, child in children.items():
            over = child.wait(DEATH)
            # A store may succeed: the page is nobody's any more.
            good = over and (child.error or name.startswith("store"))
            found[name] = {"seconds": time.monotonic() - killed if over else None,
                           "outcome": "lives on" if not over else
                           (os.strerror(child.error) if child.error else "no error"),
                           "good": bool(good)}
        left = settle(lambda: scene.mount.bdi()["BdiWriteback"])
        found["pages under write-back"] = {"left": left, "good": left == 0, "outcome": f"{left} kB"}
    finally:
        waiters.close()
        scene.close()
    return found


def settle(count):
    """The count when it is zero, or after some seconds."""
    end = time.monotonic() + DEATH
    while (left := count()) and time.monotonic() < end:
        time.sleep(0.05)
    return left


def free_kb():
    """Memory that is free when nothing is cached."""
    for _ in range(3):
        os.sync()
        steps.put("/proc/sys/vm/drop_caches", "3")
        time.sleep(0.3)
    with open("/proc/meminfo") as meminfo:
        return next(int(line.split()[1]) for line in meminfo if line.startswith("MemFree"))


def leak(driver, variant):
    """Memory that is gone after many deaths, compared with the pages that were dirty."""
    def cycle():
        scene = Scene(driver, variant)
        scene.dirtier.write_back(True)
        scene.close()

    cycle()
    before = free_kb()
    for _ in range(CYCLES):
        cycle()
    lost = max(0, before - free_kb())
    dirtied = CYCLES * len(pages()) * mmap.PAGESIZE // 1024
    return {"lost": lost, "good": lost < dirtied // 2, "outcome": f"{lost} of {dirtied} kB"}


def setup():
    for module in ("fuse", "loop", "ext4"):
        subprocess.run(["modprobe", module])
    commands = """
        mount -t tmpfs -o mode=1777,size=1G none /tmp
        mountpoint -q /sys/kernel/debug || mount -t debugfs none /sys/kernel/debug
        mountpoint -q /sys/fs/cgroup || mount -t cgroup2 none /sys/fs/cgroup
        echo +memory >/sys/fs/cgroup/cgroup.subtree_control
        mkdir -p /sys/fs/cgroup/containment /tmp/ext4
        echo 48M >/sys/fs/cgroup/containment/memory.max
        dd if=/dev/zero of=/tmp/disk bs=1M count=192 status=none
        mkfs.ext4 -q -E nodiscard,lazy_itable_init=0 /tmp/disk
        mount -o loop /tmp/disk /tmp/ext4
    """
    subprocess.run(["sh", "-ec", commands], check=True)


def run(driver, variant, short, pattern):
    """Everything on one driver; None if it cannot be done there."""
    found = {"steps": {}, "signals": {}, "death": {}}
    try:
        for step in steps.STEPS:
            if short and step.name not in SHORT_STEPS or not fnmatch.fnmatch(step.name, pattern):
                continue
            found["steps"][step.name] = row = measure(step, driver, variant)
            report.say(f"  {driver}: {step.name}: {row['outcome']}")
        if pattern != "*":
            return found
        found["signals"] = signals(driver, variant)
        found["death"] = death(driver, variant)
        if not short:
            found["death"]["memory that is lost"] = leak(driver, variant)
    except Unsupported as what:
        report.say(f"  {driver}: left out, it has no {what}")
        return None
    return found


def seconds(value):
    return "hangs" if value is None else f"{value:.2f}"


def step_cells(found, name):
    row = found and found["steps"].get(name)
    if not row:
        return ["left out", "", ""]
    return [seconds(row["normal"]), seconds(row["stopped"]), row["outcome"]]


def other_cells(found, part, name):
    row = found and found[part].get(name)
    if not row:
        return ["left out", ""]
    return [f"{row['seconds']:.2f}" if row.get("seconds") is not None else "-", row["outcome"]]


def show(variant, found):
    names = list(found)
    some = next((f for f in found.values() if f), None)
    if not some:
        return
    report.table(f"containment, {variant}: seconds with a server that answers, and with a stopped one",
                 ["step"] + [f"{d} {w}" for d in names for w in ("normal", "stopped", "outcome")],
                 [[name, *(cell for d in names for cell in step_cells(found.get(d), name))]
                  for name in some["steps"]])
    for part, title in (("signals", "a fatal signal"), ("death", "the server's death")):
        if some[part]:
            report.table(
                f"containment, {variant}: seconds from {title} to the end of who waits",
                ["call"] + [f"{d} {w}" for d in names for w in ("seconds", "outcome")],
                [[name, *(cell for d in names for cell in other_cells(found.get(d), part, name))]
                 for name in some[part]])


def judge(variant, ours):
    """Counts what ours does as results."""
    if ours is None:
        report.result(True, f"containment {variant}", "# SKIP the driver cannot do it")
        return
    for name, row in ours["steps"].items():
        possible = not row["outcome"].startswith("not possible")
        report.result(row["outcome"] == "good" or not possible, f"containment {variant} {name}",
                      "" if row["outcome"] == "good" else row["outcome"] if possible
                      else f"# SKIP {row['outcome']}")
    for name, row in ours["signals"].items():
        report.result(row["outcome"] != "lives on", f"containment {variant} fatal signal, {name}",
                      row["outcome"])
    for name, row in ours["death"].items():
        report.result(row["good"], f"containment {variant} server's death, {name}", row["outcome"])


def main():
    global FLOOR, TIMEOUT
    short = "--short" in sys.argv
    if short:
        FLOOR, TIMEOUT = SHORT_FLOOR, SHORT_TIMEOUT
    pattern = next((word for word in sys.argv[1:] if word != "--short"), "*")
    report.program = "containment"
    setup()
    everything = {}
    for variant in VARIANTS:
        report.say(variant)
        found = {driver: run(driver, variant, short, pattern)
                 for driver in DRIVERS if driver == "Rust" or not short}
        everything[variant] = found
        show(variant, found)
        judge(variant, found["Rust"])
    results = RESULTS % ("-short" if short else "")
    os.makedirs(os.path.dirname(results), exist_ok=True)
    with open(results, "w") as file:
        json.dump(everything, file, indent=1)
        file.write("\n")
    sys.exit(report.failures > 0)


main()
