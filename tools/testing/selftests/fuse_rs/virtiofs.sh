# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What tests of virtio-fs share.
type=${FUSE_VIRTIOFS_TYPE:-virtiofs}
driver=/sys/bus/virtio/drivers/$type
dir=$(mktemp -d)
n=0
failed=0

result() { # status, name
	n=$((n + 1))
	if [ "$1" = 0 ]; then echo "ok $n $2"; else
		echo "not ok $n $2"
		failed=1
	fi
}

is_ours() {
	readlink "$driver/module" | grep -q fuse_rs
}

# What the C driver does not do.
rs_only() { # name, why
	is_ours && return 0
	n=$((n + 1))
	echo "ok $n $1 # SKIP on the C driver: $2"
	return 1
}

# Whether a command succeeds within ten seconds.
soon() {
	local _
	for _ in $(seq 100); do
		"$@" && return 0
		sleep 0.1
	done
	return 1
}

mounted() { grep -q " $dir $type " /proc/mounts; }

# The device with a tag, as the bus knows it.
device_of() { # tag
	local entry
	for entry in /sys/fs/"$type"/*; do
		[ "$(cat "$entry/tag" 2>/dev/null)" = "$1" ] && basename "$(readlink -f "$entry/device")" && return
	done
	return 1
}
