#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# `make bench`, in the VM: the same operations on the C driver and on ours, in one boot. Numbers
# are instructions (QEMU -icount).
set -euo pipefail
cd /fuse_rs
mkdir -p build/results /tmp/c /tmp/rs /tmp/src-c /tmp/src-rs
ll=tools/bench/passthrough_ll
opts=timeout=0,cache=auto
modprobe fuse 2>/dev/null || true
$ll -o "source=/tmp/src-c,$opts" /tmp/c
tools/beside/beside /tmp/rs $ll -o "source=/tmp/src-rs,$opts" {}
sleep 1
mountpoint -q /tmp/c && mountpoint -q /tmp/rs
tools/bench/bench /tmp/c >/tmp/c.tsv
tools/bench/bench /tmp/rs >/tmp/rs.tsv
umount /tmp/c /tmp/rs
python3 - <<'PY'
import json
def read(p):
    return dict(l.rstrip("\n").split("\t") for l in open(p))
c, rs = read("/tmp/c.tsv"), read("/tmp/rs.tsv")
rows = [{"name": n, "c": int(c[n]), "rust": int(rs[n]), "ratio": round(int(rs[n]) / int(c[n]), 3)} for n in c]
json.dump(rows, open("/fuse_rs/build/results/bench.json", "w"), indent=1)
print(f"{'operation':<28}{'C':>12}{'Rust':>12}{'ratio':>8}")
for r in rows:
    print(f"{r['name']:<28}{r['c']:>12}{r['rust']:>12}{r['ratio']:>8.3f}  {'#' * min(60, round(r['ratio'] * 20))}")
PY
