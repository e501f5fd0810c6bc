# SPDX-License-Identifier: GPL-2.0
"""Subtrees of the kernel's source built on tmpfs and on both drivers: the objects are the same."""

import concurrent.futures
import hashlib
import os
import subprocess
import time

import mounts
import report

TREE = "/k/tree"
SUBTREES = {"fs/minix": "CONFIG_MINIX_FS=m", "fs/romfs": "CONFIG_ROMFS_FS=m"}
# Objects hold the path of their source, so each build sees its mount in the same place.
SAME_PLACE = "/mnt"


def build(path):
    """Copies the subtrees to a mount and builds them; {object: digest} and the seconds it took."""
    start = time.monotonic()
    commands = [f"mount --bind {path} {SAME_PLACE}"]
    for subtree, config in SUBTREES.items():
        commands += [f"mkdir -p {SAME_PLACE}/{subtree}",
                     f"cp -r {TREE}/{subtree}/. {SAME_PLACE}/{subtree}",
                     f"make -s -C {TREE} CC=x86_64-linux-gnu-gcc-14 KERNELRELEASE=$(cat {TREE}/include/config/kernel.release) "
                     f"M={SAME_PLACE}/{subtree} {config} modules"]
    done = subprocess.run(["unshare", "-m", "sh", "-ec", "\n".join(commands)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError(f"the build failed: {done.stdout[-2000:]}")
    objects = {}
    for directory, _, names in os.walk(path):
        for name in names:
            if name.endswith((".o", ".ko")):
                file = os.path.join(directory, name)
                with open(file, "rb") as f:
                    objects[os.path.relpath(file, path)] = hashlib.sha256(f.read()).hexdigest()
    return objects, time.monotonic() - start


def run(short, _):
    if short:
        return
    where = {"no FUSE": (None, ()),
             **dict.fromkeys(mounts.DRIVERS, ("passthrough_ll", ("cache=auto",)))}
    built = {}

    def on(name):
        with mounts.Mount(name, *where[name]) as path:
            built[name] = build(path)
        report.say(f"  {name}: {len(built[name][0])} objects, {built[name][1]:.0f} s")

    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(on, where))
    reference = built["no FUSE"][0]
    rows = []
    for name, (objects, seconds) in built.items():
        differ = sorted(n for n in set(objects) | set(reference)
                        if objects.get(n) != reference.get(n))
        rows.append([name, len(objects), len(differ), f"{seconds:.0f}"])
        if name == "Rust":
            report.result(reference and not differ,
                          f"kernel-tree {', '.join(SUBTREES)}: {len(objects)} objects",
                          ", ".join(differ))
    report.table("kernel subtrees, built", ["on", "objects", "different", "seconds"], rows)
    report.save("kernel-tree", {row[0]: dict(zip(("objects", "different", "seconds"), row[1:]))
                                for row in rows})
