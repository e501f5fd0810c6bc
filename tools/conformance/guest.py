#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""In the VM: conformance runs on both drivers, or on ours alone where the C driver is not there.
guest.py [--short] [PART[:PATTERN]...]"""

import os
import subprocess
import sys

import fio
import fsx
import kernel_tree
import pjdfstest
import report
import shared_mapping
import stress_ng

PARTS = {"pjdfstest": pjdfstest.run, "fsx": fsx.run, "fio": fio.run,
         "shared-mapping": shared_mapping.run, "stress-ng": stress_ng.run,
         "kernel-tree": kernel_tree.run}


def main():
    arguments = sys.argv[1:]
    report.short = "--short" in arguments
    chosen = [a.partition(":") for a in arguments if a != "--short"]
    chosen = [(name, pattern or "*") for name, _, pattern in chosen] or [(n, "*") for n in PARTS]
    if unknown := {name for name, _ in chosen} - set(PARTS):
        sys.exit(f"conformance: unknown part {' '.join(unknown)}; there are {' '.join(PARTS)}")
    # The guest's /tmp is an overlay, which cannot make all kinds of devices.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=1777", "none", "/tmp"], check=True)
    for name, pattern in chosen:
        report.say(f"{name} begins")
        PARTS[name](report.short, pattern)
    report.say("everything is as on the C driver" if not report.failures
               else f"{report.failures} results are worse than on the C driver, or unexplained")
    sys.exit(report.failures > 0)


main()
