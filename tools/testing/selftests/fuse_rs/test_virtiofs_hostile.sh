#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# virtio-fs with a device that lies. Needs tools/dax-device as $FUSE_HOSTILE_TAG, which misbehaves when
# asked to and whose attributes are never valid for long, and as `tiny`, whose rings are as small as any driver takes;
# and three devices that no driver may take: without tag, with a line end in it, without queues.
. "$(dirname "$0")/virtiofs.sh"
tag=${FUSE_HOSTILE_TAG:-}
FS_ID=0x001a

echo "TAP version 13"
if [ -z "$tag" ] || ! timeout 30 mount -t "$type" "$tag" "$dir" 2>/dev/null; then
	echo "1..1"
	echo "ok 1 virtiofs_hostile # SKIP no device that misbehaves for $type"
	exit 4
fi
echo "1..17"

# The next replies to an opcode are wrong in a way.
order() { # kind, opcode, how many
	! timeout 20 stat "$dir/misbehave,$1,$2,${3:-1}" >/dev/null 2>&1
}
# Whether a command ends with an I/O error.
fails() {
	timeout 20 "$@" 2>&1 >/dev/null | grep -q 'Input/output error'
}
works() {
	[ "$(timeout 20 cat "$dir/file")" = content ]
}
# Makes a request with this opcode.
ask() {
	case $1 in
	LOOKUP | GETATTR) stat "$dir/file" ;;
	# Direct: nobody asks a second time.
	OPEN | READ) dd if="$dir/file" of=/dev/null iflag=direct ;;
	WRITE) dd if="$dir/file" of="$dir/file" conv=notrunc bs=8 ;;
	GETXATTR) getfattr --absolute-names -n user.a "$dir/file" ;;
	esac
}
export -f ask
export dir
# Whether a wrong reply to each of these is an error, once.
refused() { # kind, opcode...
	local kind=$1 opcode rc=0
	shift
	for opcode; do
		# Ours asks again for a name that could not be checked.
		if [ "$opcode" = LOOKUP ] && is_ours; then
			order "$kind" LOOKUP 2
		else
			order "$kind" "$opcode"
		fi
		fails bash -c "ask $opcode" && works && continue
		echo "# $kind $opcode"
		rc=1
	done
	return $rc
}

echo content >"$dir/file" && setfattr -n user.a -v b "$dir/file"
for kind in used-zero used-short used-long unique error-positive error-huge len-short len-long; do
	refused "$kind" LOOKUP GETATTR OPEN READ WRITE GETXATTR
	result $? "a_reply_that_is_wrong_is_an_error: $kind"
done
refused cut LOOKUP GETATTR OPEN WRITE
result $? half_a_reply_is_an_error

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

# Has a process wait for a reply that never comes.
wait_for_nothing() {
	order silent STATFS
	stat -f "$dir" >/dev/null 2>&1 &
	waiter=$!
	sleep 1
	kill -0 $waiter && works
}
over() { ! kill -0 $waiter 2>/dev/null; }
why="waits for ever"
if rs_only a_fatal_signal_ends_the_wait_for_nothing "$why"; then
	wait_for_nothing && kill -9 $waiter && soon over && works
	result $? a_fatal_signal_ends_the_wait_for_nothing
fi

if rs_only unmounting_by_force_ends_the_wait_for_nothing "$why"; then
	wait_for_nothing
	ok=$?
	timeout 60 umount -f "$dir" 2>/dev/null
	soon over && umount "$dir" 2>/dev/null
	[ $ok = 0 ] && ! grep -q " $dir " /proc/mounts && mount -t "$type" "$tag" "$dir" && works
	result $? unmounting_by_force_ends_the_wait_for_nothing
fi

if rs_only unbinding_ends_the_wait_for_nothing "$why"; then
	wait_for_nothing
	ok=$?
	name=$(device_of "$tag")
	timeout 60 bash -c "echo $name >$driver/unbind" && soon over && timeout 20 umount "$dir" &&
		echo "$name" >"$driver/bind" && mount -t "$type" "$tag" "$dir" && [ $ok = 0 ] && works
	result $? unbinding_ends_the_wait_for_nothing
fi

umount "$dir"
rmdir "$dir"
exit $failed
