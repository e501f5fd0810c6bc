# SPDX-License-Identifier: GPL-2.0
"""pjdfstest on both drivers: what fails on ours only fails the run, and so does a failure of both
that shared-failures does not explain. Where ours is alone, shared-failures stands for the C driver."""

import collections
import concurrent.futures
import fnmatch
import os
import re
import subprocess
import time

import mounts
import report

PROGRAM = f"{mounts.BUILD}/pjdfstest"
CHECKED = ("allow_other", "default_permissions")
UNCHECKED = ("allow_other",)
MATRIX = [
    ("passthrough_ll, default_permissions", "passthrough_ll", CHECKED),
    ("passthrough_ll, no checks", "passthrough_ll", UNCHECKED),
    ("passthrough, default_permissions", "passthrough", CHECKED),
    ("passthrough, no checks", "passthrough", UNCHECKED),
    # libfuse 2 knows hard links by their names only: cached attributes of the others are old.
    ("bindfs, default_permissions", "bindfs", (*CHECKED, "attr_timeout=0")),
    ("virtiofsd, cache=auto", "device auto", ()),
    ("virtiofsd, cache=never", "device never", ()),
    ("virtiofsd, cache=always", "device always", ()),
    ("virtiofsd, cache=metadata", "device metadata", ()),
    ("virtiofsd, write-back", "device writeback", ()),
    ("virtiofsd, posix-acl", "device acl", ()),
]
SETTINGS = """[features]
posix_fallocate = {}
rename_ctime = {}
stat_st_birthtime = {}
utime_now = {}
utimensat = {}
[settings]
naptime = 0.02
allow_remount = false
[dummy_auth]
entries = [["nobody", "nogroup"], ["tests", "tests"]]
"""


def add_user():
    """A second user; nobody is there."""
    for path, line in (("/etc/passwd", "tests:x:1001:1001::/:/bin/false\n"),
                       ("/etc/group", "tests:x:1001:\n")):
        with open(path) as f:
            text = f.read()
        copy = "/tmp/" + os.path.basename(path)
        with open(copy, "w") as f:
            f.write(text + line)
        subprocess.run(["mount", "--bind", copy, path], check=True)


def parse(output):
    """{test: (outcome, what it said)} of pjdfstest's output."""
    results, name = {}, None
    for line in output.splitlines():
        if m := re.fullmatch(r"(\S+)\s+(ok|FAILED|skipped)", line):
            name = m.group(1)
            results[name] = (m.group(2), "")
        elif name and results[name][0] == "FAILED" and line and not line.startswith("Summary"):
            results[name] = ("FAILED", f"{results[name][1]} {line.strip()}".strip())
    return results


def run_on(driver, daemon, options):
    start = time.monotonic()
    with mounts.Mount(driver, daemon, options) as path:
        done = subprocess.run(
            [PROGRAM, "-c", "/tmp/pjdfstest.toml", "-p", path, "-s", "/dev/shm"],
            env={**os.environ, "NO_COLOR": "1"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", timeout=1800 * mounts.SLOWNESS)
    if "Summary:" not in done.stdout:
        raise RuntimeError(f"pjdfstest did not finish: {done.stdout[-500:]}")
    results = parse(done.stdout)
    counts = collections.Counter(outcome for outcome, _ in results.values())
    report.say(f"  {daemon or 'no FUSE'}{' on the ' + driver + ' driver' if daemon else ''}: "
               f"{counts['ok']} passed, {counts['FAILED']} failed, {counts['skipped']} skipped, "
               f"{time.monotonic() - start:.0f} s")
    return results


def explanations():
    """(pattern of mounts, pattern of tests, reason) for each line of shared-failures."""
    with open(f"{mounts.CLONE}/tools/conformance/shared-failures") as f:
        lines = [line.strip() for line in f if line.strip() and not line.startswith("#")]
    return [tuple(part.strip() for part in line.split("|")) for line in lines]


def reason(known, mount, test):
    for mounts_pattern, test_pattern, why in known:
        if fnmatch.fnmatch(mount, mounts_pattern) and fnmatch.fnmatch(test, test_pattern):
            return why
    return None


def expected(tests, mount, known):
    """What the C driver does, as far as it is known: what shared-failures says, and what is without
    FUSE for the rest."""
    return {test: ("FAILED", "") if reason(known, mount, test) else outcome
            for test, outcome in tests.items()}


def compare(mount, tests, c, rust, known):
    """Rows of the table for one mount, and its differences and shared failures in the tests."""
    groups = collections.defaultdict(lambda: [collections.Counter(), collections.Counter(), []])
    found = {"only_rust": {}, "only_c": {}, "shared": {}}
    for test in sorted(tests):
        on_c, on_rust = c.get(test, ("missing", "")), rust.get(test, ("missing", ""))
        group = groups[test.split("::")[0]]
        group[0][on_c[0]] += 1
        group[1][on_rust[0]] += 1
        if on_rust[0] == "missing" or on_rust[0] != "ok" and on_c[0] not in ("FAILED", on_rust[0]):
            found["only_rust"][test] = on_rust[1] or on_rust[0]
            group[2].append(test)
        elif on_rust[0] == "FAILED":
            why = reason(known, mount, test)
            found["shared"][test] = {"why": why, "says": on_rust[1]}
            if not why:
                group[2].append(f"{test} (fails on both and is not explained)")
        elif on_c[0] == "FAILED":
            found["only_c"][test] = on_c[1]
    rows = []
    for name, (on_c, on_rust, bad) in sorted(groups.items()):
        rows.append([mount, name, *(on_c[k] for k in ("ok", "FAILED", "skipped")),
                     *(on_rust[k] for k in ("ok", "FAILED", "skipped")), len(bad)])
        report.result(not bad, f"pjdfstest {name} on {mount}: {on_rust['ok']} passed, "
                      f"{on_rust['FAILED']} failed, {on_rust['skipped']} skipped",
                      ", ".join(bad))
    return rows, found


def run(short, pattern):
    add_user()
    with open("/tmp/pjdfstest.toml", "w") as f:
        f.write(SETTINGS)
    known, rows, totals, data = explanations(), [], [], {}
    tests = run_on("none", None, ())
    for test, (outcome, says) in tests.items():
        if outcome == "FAILED":
            report.say(f"  {test} fails without FUSE: {says}")
    for mount, daemon, options in MATRIX[:1] if short else MATRIX:
        if not fnmatch.fnmatch(mount, pattern):
            continue
        report.say(f"pjdfstest on {mount}")
        with concurrent.futures.ThreadPoolExecutor() as pool:
            done = dict(zip(mounts.DRIVERS, pool.map(
                lambda driver: run_on(driver, daemon, options), mounts.DRIVERS)))
        c = done.get("C") or expected(tests, mount, known)
        new_rows, found = compare(mount, tests, c, done["Rust"], known)
        rows += new_rows
        totals.append([mount, *(sum(row[i] for row in new_rows) for i in range(2, 8)),
                       *(len(found[k]) for k in ("only_rust", "only_c", "shared"))])
        data[mount] = {"groups": [row[1:] for row in new_rows], **found}
    reference = "C" if "C" in mounts.DRIVERS else "expected:"
    counts = [f"{reference} passed", "failed", "skipped", "Rust passed", "failed", "skipped"]
    report.table("pjdfstest, by group", ["mount", "group", *counts, "bad"], rows)
    report.table("pjdfstest", ["mount", *counts, "only Rust", "only C", "shared"], totals)
    for mount, found in data.items():
        for kind, text in (("only_rust", "fails on ours only"),
                           ("only_c", "does not fail on ours")):
            for test, says in found[kind].items():
                print(f"  {mount}: {test} {text}: {says}")
        for test, shared in found["shared"].items():
            if not shared["why"]:
                print(f"  {mount}: {test} fails on both: {shared['says']}")
    report.save("pjdfstest", data)
