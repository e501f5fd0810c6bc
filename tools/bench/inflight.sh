#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# inflight.sh FILE: in the VM, what using a page costs on both drivers while others are in flight.
set -euo pipefail
cd /fuse_rs/tools/bench
modprobe fuse 2>/dev/null || true
# None of the limits of dirty memory is to be met.
echo 90 >/proc/sys/vm/dirty_ratio
echo 80 >/proc/sys/vm/dirty_background_ratio
echo 360000 >/proc/sys/vm/dirty_expire_centisecs
: >"$1"
for driver in c rust; do
	suffix=
	[ "$driver" = c ] || suffix=_rs
	at=/tmp/$driver
	mkdir -p "$at" "/tmp/control-$driver"
	../beside/beside -d "/dev/fuse$suffix" -t "fuse$suffix" "$at" ../containment/holder {}
	mount -t "fusectl$suffix" none "/tmp/control-$driver"
	device=$(mountpoint -d "$at")
	echo 0 >"/sys/class/bdi/$device/strict_limit"
	echo 100 >"/sys/class/bdi/$device/max_ratio"
	for limit in max_background congestion_threshold; do
		echo 65535 >"/tmp/control-$driver/${device#*:}/$limit"
	done
	./inflight "$driver" "$at" >>"$1"
	umount "/tmp/control-$driver" "$at"
done
