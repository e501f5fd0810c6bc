# SPDX-License-Identifier: GPL-2.0
"""stress-ng's file system stressors, each for a fixed number of operations or a few seconds, with
its own verification. One that fails on ours and passes on C fails the run; where ours is alone,
one that is skipped does not."""

import contextlib
import fnmatch
import os
import re
import signal
import subprocess
import time

import mounts
import report

DAEMON, OPTIONS = "passthrough_ll", ("allow_other", "default_permissions", "cache=auto",
                                      "xattr")
# Those that do not work on files of the mount, but on others or on none.
ELSEWHERE = {"binderfs", "eventfd", "ioprio", "procfs"}
SHORT = {"access", "chmod", "chown", "copy-file", "dir", "fallocate", "fcntl", "fstat", "getdent",
         "hdd", "lockf", "metamix", "mknod", "open", "pseek", "rename", "touch", "utime", "xattr"}
# What a stressor may take; some make thousands of names and remove them after their time.
LIMIT = 900


def stressors():
    done = subprocess.run(["stress-ng", "--class", "filesystem?"], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    names = re.search(r"stressors: (.*)", done.stdout)
    return [name for name in names.group(1).split() if name not in ELSEWHERE]


def outcome(output, status):
    """The word of stress-ng's summary that counts the one stressor."""
    for word in ("failed", "skipped", "passed"):
        if re.search(rf"\b{word}: [1-9]", output):
            return word
    return f"status {status}"


def run_one(path, name, operations, seconds):
    """(outcome, what it said) of one stressor on one mount."""
    directory = f"{path}/{name}"
    os.mkdir(directory)
    process = subprocess.Popen(
        ["stress-ng", f"--{name}", "1", f"--{name}-ops", str(operations), "--timeout",
         str(seconds), "--verify", "--temp-path", directory],
        cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", start_new_session=True)
    try:
        output = process.communicate(timeout=LIMIT)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return f"not done in {LIMIT} s", ""
    says = [re.sub(r"^stress-ng: \w+: +\[\d+\] ", "", line) for line in output.splitlines()
            if re.search(r": (fail|error|warn): |skipping|will be skipped|: disabled '", line)]
    return outcome(output, process.returncode), " / ".join(says)


def run(short, pattern):
    names = [n for n in stressors()
             if (not short or n in SHORT) and fnmatch.fnmatch(n, pattern)]
    operations, seconds = (20, 2) if short else (200, 6)
    rows = []
    with contextlib.ExitStack() as stack:
        paths = {d: stack.enter_context(mounts.Mount(d, DAEMON, OPTIONS)) for d in mounts.DRIVERS}
        for name in names:
            start = time.monotonic()
            found = mounts.on_each(lambda d: run_one(paths[d], name, operations, seconds))
            on_rust, says = found["Rust"]
            on_c, c_says = found.get("C", ("not run", ""))
            allowed = on_c if "C" in found else "skipped"
            report.result(on_rust in ("passed", allowed), f"stress-ng {name}: " +
                          ", ".join(f"{said[0]} on {driver}" for driver, said in found.items()) +
                          f" ({time.monotonic() - start:.0f} s)", says if on_rust != "passed" else "")
            rows.append([name, on_c, on_rust, says or c_says])
    report.table("stress-ng: what does not pass on both", ["stressor", "C", "Rust", "it says"],
                 [row for row in rows if not {row[1], row[2]} <= {"passed", "not run"}])
    report.say(f"stress-ng: {len(rows)} stressors, {sum(r[1] == 'passed' for r in rows)} pass on C, "
               f"{sum(r[2] == 'passed' for r in rows)} on Rust")
    report.save("stress-ng", {row[0]: dict(zip(("c", "rust", "says"), row[1:])) for row in rows})
