#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""In the VM: conformance runs on both drivers. guest.py [--short] [PART...]"""

import os
import subprocess
import sys

import fsx
import kernel_tree
import pjdfstest
import report
import stress_ng

PARTS = {"pjdfstest": pjdfstest.run, "fsx": fsx.run, "stress-ng": stress_ng.run,
         "kernel-tree": kernel_tree.run}


def main():
    arguments = sys.argv[1:]
    short = "--short" in arguments
    names = [a for a in arguments if a != "--short"] or list(PARTS)
    if unknown := set(names) - set(PARTS):
        sys.exit(f"conformance: unknown part {' '.join(unknown)}; there are {' '.join(PARTS)}")
    subprocess.run(["modprobe", "fuse"])
    # The guest's /tmp is an overlay, which cannot make all kinds of devices.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=1777", "none", "/tmp"], check=True)
    for name in names:
        report.say(f"{name} begins")
        PARTS[name](short)
    report.say("everything is as on the C driver" if not report.failures
               else f"{report.failures} results are worse than on the C driver, or unexplained")
    sys.exit(report.failures > 0)


main()
