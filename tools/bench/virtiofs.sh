#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# virtiofs.sh FILE [BENCH OPTIONS]: as guest.sh, on virtio-fs devices: of the tags c-NAME and r-NAME, those
# that begin with r are given to our driver, and those with a NAME that begins with dax have a window. Rows of mounts for which there is no device are left out.
set -euo pipefail
cd /fuse_rs/tools/bench
results=$1
shift
for tag in $(cat /sys/fs/virtiofs/*/tag); do
	type=virtiofs
	dax=$(grep -o -- -dax <<<"$tag" || true)
	if [[ $tag == r-* ]]; then
		type=virtiofs_rs
		../lab/rebind "$tag" $type
	fi
	at=/tmp/${tag%%-*}/${tag#*-}
	mkdir -p "$at"
	mount -i -t $type ${dax:+-o dax=always} "$tag" "$at"
	for worker in 0 1; do
		head -c 32M /dev/urandom >"$at/big$worker"
	done
	[ -z "$dax" ] || head -c 64M /dev/urandom >"$at/huge"
done
./bench "$@" c=/tmp/c rust=/tmp/r >"$results"
cp /proc/kallsyms "$(dirname "$results")/kallsyms"
umount /tmp/[cr]/*
