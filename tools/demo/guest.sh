#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# `make demo`, in the VM: real daemons on our module do real work, and every result is compared with
# the same work done without FUSE. One file for each daemon in tools/demo/daemons.
#   guest.sh [DAEMON...]     all of them if none is named
set -uo pipefail
cd /fuse_rs || exit 1
. tools/demo/lib.sh
results=${FUSE_RS_RESULTS:-build/results}
mkdir -p "$results"

echo "demo: $(uname -r), module $(cat /sys/module/fuse_rs/srcversion 2>/dev/null || echo loaded)"
echo "demo: the same work without FUSE first"
prepare_plain
echo "demo: $plain_files files, $plain_megabytes MB"

[ $# -gt 0 ] || set -- $(cd tools/demo/daemons && ls | sed 's/\.sh$//')
for daemon in "$@"; do
	work=/tmp/demo/$daemon
	mkdir -p "$work/mnt"
	. "tools/demo/daemons/$daemon.sh"
	# What a failed step has left mounted must not be taken for the next daemon's work.
	mountpoint -q "$work/mnt" && step "unmount what was left" - umount -l "$work/mnt"
	rm -rf "$work"
done

python3 tools/demo/report "$results" "${rows[@]}"
if [ $failed = 0 ]; then
	echo "demo: $# daemons, ${#rows[@]} steps: everything came out as without FUSE"
else
	echo "demo: $failed of ${#rows[@]} steps failed"
fi
[ $failed = 0 ]
