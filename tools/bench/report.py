#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""report.py RAW RESULTS: what bench printed in RAW, as RESULTS/bench.json, bench.md and bench.svg.

Costs are medians of the rounds. Fails if the ratio Rust to C of a row is over LIMIT, or over
LIMIT_COPIED if it is one in which ours copies dirty pages at once.

report.py --virtiofs RAW RESULTS: the same on virtio-fs devices, as RESULTS/bench-virtiofs.json, .md and
.svg. Fails over LIMIT_VIRTIOFS.

report.py --dax RAW RESULTS: the same through a DAX window, as RESULTS/bench-dax.json, .md and .svg. Fails
over LIMIT_VIRTIOFS, and if ours takes over LIMIT_COPY times as much for 1 MiB that is mapped already as
the mere copy.

report.py --flat RAW RESULTS: what inflight printed, as RESULTS/inflight.json and inflight.md. Fails if a
call of ours costs over FLAT times as much with many pages in flight as with one.

report.py --throughput RAW RESULTS: calls in a second, for each number of workers, as
RESULTS/bench-smp.json and bench-smp.md. Here the larger is the better one.
"""
import json
import statistics
import sys
from pathlib import Path

LIMIT = 1.05
LIMIT_COPIED = 1.20
LIMIT_VIRTIOFS = 1.10
LIMIT_COPY = 1.3
COPY = "copy 1 MiB, warm"
GOAL = 0.90
FLAT = 2


def read(path):
    """{(operation, workers): {driver: median cost}}, in the order of the file."""
    rounds = {}
    for line in path.read_text().splitlines():
        name, driver, workers, cost, *_ = line.split("\t")
        rounds.setdefault((name, int(workers)), {}).setdefault(driver, []).append(float(cost))
    return {key: {d: statistics.median(costs) for d, costs in drivers.items()}
            for key, drivers in rounds.items()}


def cost_rows(medians):
    return [{"name": name, "c": round(m["c"]), "rust": round(m["rust"]),
             "ratio": round(m["rust"] / m["c"], 3)} for (name, _), m in medians.items()]


def throughput_rows(medians):
    return [{"name": name, "workers": workers, "c": round(1e9 / m["c"], 1),
             "rust": round(1e9 / m["rust"], 1), "ratio": round(m["c"] / m["rust"], 3)}
            for (name, workers), m in medians.items()]


def name_of(row):
    workers = row.get("workers")
    return f"{row['name']}, {workers} worker{'s'[:workers > 1]}" if workers else row["name"]


def limit(row):
    return LIMIT_COPIED if row["name"].endswith(", copied") else LIMIT


def markdown(rows):
    lines = ["| operation | C | Rust | ratio |", "|---|--:|--:|--:|"]
    lines += [f"| {name_of(r)} | {r['c']} | {r['rust']} | {r['ratio']:.3f} |" for r in rows]
    return "\n".join(lines) + "\n"


def svg(rows):
    """Bars of the ratios, with lines at the goal, at 1 and at the limit."""
    left, width, step, top = 230, 420, 22, 30
    scale = width / max([1.2] + [r["ratio"] for r in rows])
    height = top + step * len(rows) + 20
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 60}" height="{height}" '
           'font-family="sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="white"/>',
           '<text x="10" y="16">instructions of an operation, Rust / C</text>']
    for i, r in enumerate(rows):
        y = top + step * i
        colour = "#4a7" if r["ratio"] <= GOAL else "#79c" if r["ratio"] <= limit(r) else "#c55"
        length = r["ratio"] * scale
        out.append(f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{r["name"]}</text>')
        out.append(f'<rect x="{left}" y="{y}" width="{length:.1f}" height="{step - 5}" fill="{colour}"/>')
        out.append(f'<text x="{left + length + 4:.1f}" y="{y + 13}">{r["ratio"]:.2f}</text>')
    for at, colour in ((GOAL, "#4a7"), (1, "#000"), (LIMIT, "#c55")):
        x = left + at * scale
        out.append(f'<line x1="{x:.1f}" y1="{top - 6}" x2="{x:.1f}" y2="{height - 14}" stroke="{colour}" '
                   'stroke-dasharray="3,3"/>')
    return "\n".join(out) + "\n</svg>\n"


def table(rows):
    print(f"{'operation':<38}{'C':>12}{'Rust':>12}{'ratio':>8}")
    for r in rows:
        print(f"{name_of(r):<38}{r['c']:>12}{r['rust']:>12}{r['ratio']:>8.3f}  "
              f"{'#' * min(40, round(r['ratio'] * 20))}")


def write(rows, results, name):
    (results / f"{name}.json").write_text(json.dumps(rows, indent=1) + "\n")
    (results / f"{name}.md").write_text(markdown(rows))
    table(rows)


def check_flat(rows):
    """Fails if a call of ours costs more than twice as much with many in flight as with one."""
    costs = {}
    for row in rows:
        costs.setdefault(row["name"].split(",")[0], []).append(row["rust"])
    if steep := [name for name, found in costs.items() if max(found) > FLAT * found[0]]:
        sys.exit(f"bench: not flat: {', '.join(steep)}")


def slow_copies(rows):
    """What is said of the copies through the window that take much longer than a mere one."""
    costs = {row["name"]: row["rust"] for row in rows}
    times = {name: cost / costs[COPY] for name, cost in costs.items()
             if "1 MiB, warm" in name and name != COPY}
    for name, factor in times.items():
        print(f"{name}: {factor:.3f} times the mere copy")
    return [f"{name} (against the copy)" for name, factor in times.items() if factor > LIMIT_COPY]


def main():
    throughput = sys.argv[1] == "--throughput"
    raw, results = map(Path, sys.argv[-2:])
    if sys.argv[1] == "--flat":
        medians = read(raw)
        if lacking := {d for d in ("c", "rust") if any(d not in m for m in medians.values())}:
            print(f"bench: left out, the driver {' '.join(lacking)} cannot do it")
            return
        rows = cost_rows(medians)
        write(rows, results, "inflight")
        check_flat(rows)
        return
    if throughput:
        write(throughput_rows(read(raw)), results, "bench-smp")
        return
    device = sys.argv[1].removeprefix("--") if sys.argv[1].startswith("--") else None
    name = f"bench-{device}" if device else "bench"
    rows = cost_rows(read(raw))
    write(rows, results, name)
    (results / f"{name}.svg").write_text(svg(rows))
    over = [r["name"] for r in rows if r["ratio"] > (LIMIT_VIRTIOFS if device else limit(r))]
    if device == "dax":
        over += slow_copies(rows)
    if over:
        sys.exit(f"bench: over the limit: {', '.join(over)}")


main()
