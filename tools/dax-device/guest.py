#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""In the VM: tests the device with a driver, the built-in one or the one named: guest.py [DRIVER].

tools/dax-device/test starts the VM with three devices: `window` (16 MiB, two request queues), `named`
(DAX for names that end in .dax) and `none` (no window, three queues, misbehaves when asked to).
"""

import concurrent.futures
import contextlib
import hashlib
import mmap
import os
import subprocess
import sys

DRIVER = sys.argv[1] if len(sys.argv) > 1 else "virtiofs"
SHARED = "/fuse_rs/build/dax"
DEVICES = ["window", "named", "none"]
MOUNT = "/tmp/dax-mount"
MB = 1 << 20
CASES = []


def case(function):
    CASES.append(function)
    return function


class Counts:
    """What a device was asked for since this was made."""

    def __init__(self, device):
        number = DEVICES.index(device)
        self.path = f"/fuse_rs/build/results/dax-fs{number}.counters"
        self.before = self.read()

    def read(self):
        with open(self.path) as file:
            return {name: int(number) for name, number in map(str.split, file)}

    def __getitem__(self, name):
        return self.read()[name] - self.before[name]


@contextlib.contextmanager
def mounted(device, options):
    os.makedirs(MOUNT, exist_ok=True)
    subprocess.run(["mount", "-t", DRIVER, *options, device, MOUNT], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", MOUNT], check=True)


DAX = ["-o", "dax=always"]


def put(name, data, flags=os.O_CREAT):
    """Writes a file, or over it, in one call."""
    fd = os.open(f"{MOUNT}/{name}", os.O_WRONLY | flags)
    try:
        while data:
            data = data[os.write(fd, data):]
    finally:
        os.close(fd)


def get(name):
    with open(f"{MOUNT}/{name}", "rb", buffering=0) as file:
        return file.read()


def on_host(device, name):
    with open(f"{SHARED}/{device}/{name}", "rb") as file:
        return file.read()


def same(found, wanted):
    assert found == wanted, f"{found!r:.60} is not {wanted!r:.60}"


@case
def reading_and_writing_within_the_size_sends_no_read_and_no_write():
    with mounted("window", DAX):
        put("inside", bytes(4 * MB))
        counts = Counts("window")
        data = os.urandom(4 * MB)
        put("inside", data, 0)
        same(get("inside"), data)
        same((counts["READ"], counts["WRITE"]), (0, 0))
        same(counts["SETUPMAPPING"], 2)
        os.sync()
    same(on_host("window", "inside"), data)


@case
def a_mapping_and_the_host_see_each_other():
    with mounted("window", DAX):
        put("both", bytes(2 * MB))
        with open(f"{MOUNT}/both", "r+b", buffering=0) as file:
            area = mmap.mmap(file.fileno(), 2 * MB)
            area[1000:1005] = b"guest"
            same(on_host("window", "both")[1000:1005], b"guest")
            with open(f"{SHARED}/window/both", "r+b", buffering=0) as host:
                host.seek(MB)
                host.write(b"host")
                os.fsync(host.fileno())
            same(area[MB:MB + 4], b"host")
            area.close()


@case
def a_working_set_may_be_larger_than_the_window():
    with mounted("window", DAX):
        data = {f"large{number}": os.urandom(12 * MB) for number in range(3)}
        for name in data:
            put(name, bytes(12 * MB))
        counts = Counts("window")
        for name, content in data.items():
            put(name, content, 0)
        for name, content in data.items():
            same(hashlib.sha1(get(name)).digest(), hashlib.sha1(content).digest())
        same((counts["READ"], counts["WRITE"]), (0, 0))
        assert counts["REMOVEMAPPING"] > 0 and counts["RANGES_UNMAPPED"] > 0
    for name, content in data.items():
        same(hashlib.sha1(on_host("window", name)).digest(), hashlib.sha1(content).digest())


@case
def a_short_file_keeps_its_length_and_its_time():
    with mounted("window", DAX):
        put("short", b"five\n")
        os.utime(f"{MOUNT}/short", (1000, 2000))
        counts = Counts("window")
        same(get("short"), b"five\n")
        same(counts["SETUPMAPPING"], 1)
        host = os.stat(f"{SHARED}/window/short")
        same((host.st_size, host.st_mtime), (5, 2000))


@case
def a_file_may_grow_and_shrink_while_it_is_mapped():
    with mounted("window", DAX):
        put("grows", b"a" * 3000)
        same(get("grows"), b"a" * 3000)
        put("grows", b"b" * 3000, os.O_APPEND)
        same(get("grows"), b"a" * 3000 + b"b" * 3000)
        os.truncate(f"{MOUNT}/grows", 4000)
        os.truncate(f"{MOUNT}/grows", 8000)
        same(get("grows"), b"a" * 3000 + b"b" * 1000 + bytes(4000))
        same(on_host("window", "grows"), get("grows"))


@case
def programs_run_from_the_window():
    with mounted("window", DAX):
        with open("/bin/echo", "rb") as program:
            put("echo", program.read())
        os.chmod(f"{MOUNT}/echo", 0o755)
        counts = Counts("window")
        same(subprocess.check_output([f"{MOUNT}/echo", "it", "runs"]), b"it runs\n")
        same(counts["READ"], 0)


@case
def many_readers_and_writers_share_the_queues():
    with mounted("window", DAX):
        def work(number):
            data = os.urandom(3 * MB)
            for _ in range(3):
                put(f"many{number}", data)
                same(get(f"many{number}"), data)
                os.listdir(MOUNT)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))


@case
def nothing_stays_mapped_after_the_unmount():
    counts = Counts("window")
    with mounted("window", DAX):
        get("inside")
    assert counts["RANGES_MAPPED"] > 0
    total = counts.read()
    same(total["RANGES_MAPPED"], total["RANGES_UNMAPPED"])


@case
def another_driver_takes_over_and_gives_back():
    rebind = "/fuse_rs/tools/lab/rebind"
    with mounted("window", DAX):
        content = get("inside")
    subprocess.run([rebind, "window", ""], check=True)
    subprocess.run([rebind, "all", DRIVER], check=True)
    with mounted("window", DAX):
        same(get("inside"), content)


@case
def dax_is_used_for_the_files_that_are_chosen():
    with mounted("named", ["-o", "dax=inode"]):
        for name in ["x.dax", "x.txt"]:
            put(name, b"content")
    with mounted("named", ["-o", "dax=inode"]):
        for name, read, mapped in [("x.dax", 0, 1), ("x.txt", 1, 0)]:
            counts = Counts("named")
            same(get(name), b"content")
            same((counts["READ"], counts["SETUPMAPPING"]), (read, mapped))


@case
def without_a_window_data_goes_by_requests():
    refused = subprocess.run(["mount", "-t", DRIVER, *DAX, "none", MOUNT], capture_output=True)
    assert refused.returncode != 0, "mounted with DAX"
    with mounted("none", []):
        counts = Counts("none")
        put("plain", b"content")
        same(on_host("none", "plain"), b"content")
        same((counts["WRITE"], counts["SETUPMAPPING"]), (1, 0))


def order(kind, opcode):
    try:
        os.stat(f"{MOUNT}/misbehave,{kind},{opcode}")
    except FileNotFoundError:
        return
    raise AssertionError(f"{kind} was not taken as an order")


@case
def a_wrong_answer_comes_once_when_it_is_ordered():
    with mounted("none", []):
        put("wrong", b"content")
        order("error-huge", "OPEN")
        try:
            get("wrong")
            raise AssertionError("the wrong answer was taken for a good one")
        except OSError:
            pass
        same(get("wrong"), b"content")


@case
def a_late_answer_holds_up_nobody_else():
    with mounted("none", []):
        put("other", b"content")
        order("late=5000", "STATFS")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            late = pool.submit(os.statvfs, MOUNT)
            same(get("other"), b"content")
            assert not late.done(), "it is not late"
            assert late.result().f_namemax > 0


def main():
    failed = 0
    print(f"TAP version 13\n1..{len(CASES)}")
    for number, function in enumerate(CASES, 1):
        name = function.__name__
        try:
            function()
            print(f"ok {number} {name}", flush=True)
        except (AssertionError, OSError, subprocess.CalledProcessError) as error:
            failed += 1
            print(f"# {type(error).__name__}: {error}\nnot ok {number} {name}", flush=True)
    sys.exit(1 if failed else 0)


main()
