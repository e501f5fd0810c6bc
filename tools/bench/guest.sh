#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# guest.sh FILE [BENCH OPTIONS]: in the VM, the same operations on the C driver and on ours, in one
# boot. What bench prints goes to FILE.
set -euo pipefail
cd /fuse_rs/tools/bench
results=$1
shift
modprobe fuse 2>/dev/null || true

# serve DRIVER MOUNT SERVER...: `{}` is what the server mounts.
serve() {
	local type=fuse at=/tmp/$1/$2
	[ "$1" = c ] || type=fuse_rs
	shift 2
	mkdir -p "$at"
	../beside/beside -d "/dev/$type" -t "$type" "$at" "$@"
	mountpoint -q "$at"
}

# need DRIVER MOUNT FEATURE: takes the mount away if it cannot do that; bench leaves its rows out then.
need() {
	if ! ../beside/features "/tmp/$1/$2" "/tmp/source-$1" | grep -qw "$3"; then
		umount "/tmp/$1/$2"
		rmdir "/tmp/$1/$2"
	fi
}

for driver in c r; do
	mkdir -p /tmp/source-$driver
	for worker in 0 1; do
		head -c 32M /dev/urandom >/tmp/source-$driver/big$worker
	done
	ll="./passthrough_ll -o source=/tmp/source-$driver"
	serve $driver auto $ll,timeout=0,cache=auto,xattr {}
	serve $driver direct $ll,timeout=0,cache=never {}
	serve $driver valid $ll,timeout=3600,cache=auto {}
	serve $driver back $ll,timeout=3600,cache=auto,writeback {}
	need $driver back writeback
	serve $driver mapped $ll,timeout=3600,cache=auto {}
	need $driver mapped mmap
	# Dirty pages are copied at once, if the driver does that.
	copied=/proc/sys/fs/fuse_rs/copy_after
	if [ $driver = r ] && [ -e $copied ]; then lent=$(<$copied); echo 0 >$copied; fi
	serve $driver backcopy $ll,timeout=3600,cache=auto,writeback {}
	need $driver backcopy writeback
	serve $driver mappedcopy $ll,timeout=3600,cache=auto {}
	need $driver mappedcopy mmap
	if [ -n "${lent:-}" ]; then echo "$lent" >$copied; fi
	serve $driver list ./listing {}
	serve $driver listcache ./listing -o cache {}
	serve $driver listplus ./listing -o plus {}
done
./bench "$@" c=/tmp/c rust=/tmp/r >"$results"
cp /proc/kallsyms "$(dirname "$results")/kallsyms"
umount /tmp/[cr]/*
