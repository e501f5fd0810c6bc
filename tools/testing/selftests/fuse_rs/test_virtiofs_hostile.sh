#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# virtio-fs with a device that lies. Needs tools/dax-device as $FUSE_HOSTILE_TAG, which misbehaves when
# asked to and whose attributes are never valid for long, and as `tiny`, whose rings are as small as any driver takes;
# and three devices that no driver may take: without tag, with a line end in it, without queues.
tag=${FUSE_HOSTILE_TAG:-}
type=${FUSE_VIRTIOFS_TYPE:-virtiofs}
driver=/sys/bus/virtio/drivers/$type
FS_ID=0x001a
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

echo "TAP version 13"
if [ -z "$tag" ] || ! timeout 30 mount -t "$type" "$tag" "$dir" 2>/dev/null; then
	echo "1..1"
	echo "ok 1 virtiofs_hostile # SKIP no device that misbehaves for $type"
	exit 4
fi
echo "1..15"

# The next reply to an opcode is wrong in a way.
order() { # kind, opcode
	! timeout 20 stat "$dir/misbehave,$1,$2" >/dev/null 2>&1
}
# Whether a command ends with an I/O error.
fails() {
	timeout 20 "$@" 2>&1 >/dev/null | grep -q 'Input/output error'
}
works() {
	[ "$(timeout 20 cat "$dir/file")" = content ]
}

echo content >"$dir/file"
for kind in used-zero used-short unique error-positive error-huge len-short len-long cut; do
	order "$kind" GETATTR && fails stat "$dir/file" && works
	result $? "a_reply_that_is_wrong_is_an_error: $kind"
done

order used-zero OPEN && fails cat "$dir/file" && works
result $? an_open_without_reply_is_an_error

# Direct: nobody asks a second time.
order used-long READ && fails dd if="$dir/file" of=/dev/null iflag=direct && works
result $? data_that_cannot_be_there_is_an_error

order error-huge FORGET && order unique STATFS && fails stat -f "$dir" && works
result $? one_error_is_not_another_ones

order late=1500 STATFS && start=$(date +%s%N) && timeout 20 stat -f "$dir" >/dev/null &&
	[ $((($(date +%s%N) - start) / 1000000)) -ge 1400 ] && works
result $? a_late_reply_is_waited_for

order late=4000 STATFS
timeout 20 stat -f "$dir" >/dev/null &
late=$!
works && kill -0 $late 2>/dev/null
result $? a_late_reply_holds_up_nobody_else
wait $late

unbound=0
for device in /sys/bus/virtio/devices/*; do
	[ "$(cat "$device/device")" != $FS_ID ] || [ -e "$device/driver" ] || unbound=$((unbound + 1))
done
[ -d "$driver" ] && [ $unbound = 3 ]
result $? devices_that_cannot_be_are_not_taken

tiny=$(mktemp -d)
many() {
	local worker i
	for worker in 1 2 3 4; do
		(seq 50 | while read -r i; do echo "$worker" >"$tiny/$worker.$i" || exit 1; done) &
	done
	wait
	[ "$(cat "$tiny"/?.* | wc -l)" = 200 ] && rm "$tiny"/?.*
}
timeout 30 mount -t "$type" tiny "$tiny" && many
result $? small_rings_do
umount "$tiny"
rmdir "$tiny"

umount "$dir"
rmdir "$dir"
exit $failed
