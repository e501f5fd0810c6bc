# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Common to all lab scripts: where things are, and how to talk.

LAB_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CLONE=$(cd "$LAB_DIR/../.." && pwd)
CACHE=${FUSE_RS_CACHE:-$HOME/.cache/fuse_rs}
SERIES=7.3
LAB_START=$SECONDS

say() {
	printf 'lab: [%3ds] %s\n' $((SECONDS - LAB_START)) "$*" >&2
}

die() {
	printf 'lab: error: %s\n' "$*" >&2
	exit 1
}

need_root() {
	[ "$(id -u)" = 0 ] || die "the lab needs root (chroot and mounts)"
}

# Runs a command quietly; shows the end of its output if it fails.
quietly() {
	local log
	log=$(mktemp)
	if ! "$@" >"$log" 2>&1; then
		tail -n 30 "$log" | cut -c1-300 >&2
		rm -f "$log"
		return 1
	fi
	rm -f "$log"
}
