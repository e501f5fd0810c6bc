#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""profile.py [-n LINES] RESULTS [OPERATION]: where the instructions of each row go.

Reads what the plugin `blocks` counted in the one round of RESULTS/profile.tsv, and
RESULTS/kallsyms of that boot. Prints, for each operation, the instructions of one call by part of
the system, and the functions in which the two drivers differ most. Code that the compiler put into
its caller counts as the caller's.
"""
import argparse
from collections import Counter
from pathlib import Path

from blockcounts import Symbols, sections


class Profile:
    """Instructions and calls of functions, for one call of the operation."""

    def __init__(self, symbols, section, cost):
        self.instructions, self.calls = Counter(), Counter()
        for address, runs, instructions in section:
            part, function, begins = symbols.of(address)
            self.instructions[part, function] += instructions
            if begins:
                self.calls[part, function] += runs
        scale = cost / sum(self.instructions.values())
        for counter in self.instructions, self.calls:
            for function in counter:
                counter[function] *= scale

    def of_part(self, part):
        return sum(n for (p, _), n in self.instructions.items() if p == part)


def profiles(results):
    """{operation: {driver: Profile}}"""
    symbols = Symbols(results / "kallsyms")
    counted = sections(results / "blocks")
    operations = {}
    for line in (results / "profile.tsv").read_text().splitlines():
        name, driver, _workers, cost, _calls = line.split("\t")
        operations.setdefault(name, []).append((driver, float(cost)))
    found = {}
    for name, drivers in operations.items():
        # The round for warming up is counted, but not printed.
        for _ in drivers:
            next(counted)
        found[name] = {driver: Profile(symbols, next(counted), cost) for driver, cost in drivers}
    return found


def show(name, c, rust, lines):
    width = 64

    def line(what, *numbers):
        print(f"{what[:width]:<{width}}" + "".join(f"{n:>{10}.0f}" for n in numbers))

    print(f"\n## {name}\n{'':<{width}}{'C':>10}{'Rust':>10}{'more':>10}{'calls C':>10}{'Rust':>10}")
    for part in "user space", "kernel", "driver":
        line(part, c.of_part(part), rust.of_part(part), rust.of_part(part) - c.of_part(part))
    everything = [sum(d.instructions.values()) for d in (c, rust)]
    line("all", *everything, everything[1] - everything[0])
    known = set(c.instructions) | set(rust.instructions)

    def functions(part, weight):
        for f in sorted((f for f in known if f[0] == part), key=weight, reverse=True)[:lines]:
            mine, theirs = rust.instructions[f], c.instructions[f]
            print(f"{'  ' + f[1][-width + 4:]:<{width}}{theirs:>10.0f}{mine:>10.0f}"
                  f"{mine - theirs:>10.0f}{c.calls[f]:>10.1f}{rust.calls[f]:>10.1f}")

    print(" functions of the drivers")
    functions("driver", lambda f: c.instructions[f] + rust.instructions[f])
    print(" functions of the kernel that differ most")
    functions("kernel", lambda f: abs(c.instructions[f] - rust.instructions[f]))


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("results", type=Path)
    arguments.add_argument("operation", nargs="?")
    arguments.add_argument("-n", dest="lines", type=int, default=12)
    options = arguments.parse_args()
    for name, drivers in profiles(options.results).items():
        if options.operation in (None, name):
            show(name, drivers["c"], drivers["rust"], options.lines)


main()
