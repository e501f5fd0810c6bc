#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""counted.py RESULTS RAW: what bench printed in RESULTS/RAW, with the instructions of one call that the
plugin `blocks` counted in place of the time, which means nothing if somebody outside the VM is waited
for. What a CPU does that has nothing to do is left out."""
import itertools
import sys
from pathlib import Path

from blockcounts import Symbols, sections

# Functions of a CPU that has nothing to do, by their beginnings.
IDLE = ("default_idle", "pv_native_safe_halt", "native_safe_halt", "do_idle", "cpuidle_", "cpu_idle_",
        "arch_cpu_idle", "tick_nohz_", "tick_irq_", "menu_", "rcu_idle", "ct_idle", "ct_kernel",
        "cpu_startup_entry", "need_resched")


def main():
    results, raw = Path(sys.argv[1]), sys.argv[2]
    symbols = Symbols(results / "kallsyms")
    counted = sections(results / "blocks")
    lines = [line.split("\t") for line in (results / raw).read_text().splitlines()]
    for _, of_operation in itertools.groupby(lines, key=lambda line: line[0]):
        of_operation = list(of_operation)
        # The round for warming up is counted, but not printed.
        for _ in {(driver, workers) for _, driver, workers, _, _ in of_operation}:
            next(counted)
        for name, driver, workers, _, calls in of_operation:
            instructions = sum(n for address, _, n in next(counted)
                               if not symbols.of(address)[1].startswith(IDLE))
            print(f"{name}\t{driver}\t{workers}\t{instructions / int(calls):.0f}\t{calls}")


main()
