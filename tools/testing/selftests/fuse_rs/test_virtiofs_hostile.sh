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
echo "1..22"

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

mkdir "$dir/sub" "$dir/sub/deeper" && echo below >"$dir/sub/deeper/below"
below() { [ "$(timeout 20 cat "$dir/sub/deeper/below")" = below ]; }
order submount LOOKUP && timeout 20 stat "$dir/file" >/dev/null && works
result $? a_file_is_no_submount
# As a submount it is mounted, by the next look it is none, and what was mounted goes.
order submount LOOKUP && below && below && order submount LOOKUP 3 && below && below && works &&
	(cd "$dir/sub/deeper" && order submount LOOKUP 2 && ls "$dir/sub" >/dev/null; below) && rm -r "$dir/sub" && works
result $? a_directory_may_become_a_submount_and_back

# How long syncfs takes when the reply to a WRITE of what was stored to a mapping takes three seconds.
late_sync() {
	python3 - "$dir/stored" <<'P'
import ctypes, mmap, os, sys, time
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
os.ftruncate(fd, 4096)
memory = mmap.mmap(fd, 4096)
memory[:6] = b"stored"
try:
    os.stat(os.path.dirname(sys.argv[1]) + "/misbehave,late=3000,WRITE")
except OSError:
    pass
began = time.time()
failed = ctypes.CDLL(None).syncfs(fd)
took = time.time() - began
os._exit(0 if failed == 0 and took > 2.8 else 1)
P
}
late_sync && works
result $? syncfs_waits_for_what_is_on_its_way

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
wait_for_nothing() { # opcode
	local opcode=${1:-STATFS}
	order silent "$opcode"
	case $opcode in
	STATFS) stat -f "$dir" ;;
	READ) cat "$dir/unread" ;;
	esac >/dev/null 2>&1 &
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
	[ $ok = 0 ] && ! mounted && mount -t "$type" "$tag" "$dir" && works
	result $? unmounting_by_force_ends_the_wait_for_nothing
fi

if rs_only unmounting_by_force_ends_the_wait_for_a_page "$why"; then
	echo unread >"$dir/unread"
	umount "$dir" && mount -t "$type" "$tag" "$dir"
	works
	wait_for_nothing READ
	ok=$?
	timeout 60 umount -f "$dir" 2>/dev/null
	soon over && umount "$dir" 2>/dev/null
	[ $ok = 0 ] && ! mounted && mount -t "$type" "$tag" "$dir" && works
	result $? unmounting_by_force_ends_the_wait_for_a_page
fi

# Reads into memory, and watches it when that has failed: 0 if nothing comes there any more.
overdue() {
	python3 - "$dir/overdue" <<'P'
import mmap, os, sys, time
fd = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT)
memory = mmap.mmap(-1, 1 << 20)
began = time.time()
try:
    os.preadv(fd, [memory], 0)
    sys.exit(1)
except OSError:
    took = time.time() - began
memory[:] = bytes(1 << 20)
print(f"# ended after {took:.0f} s")
while time.time() < began + 60:
    time.sleep(0.5)
sys.exit(0 if took < 50 and memory[:] == bytes(1 << 20) else 2)
P
}
timeout=/proc/sys/fs/fuse/default_request_timeout
if [ -w $timeout ] && rs_only a_late_reply_does_no_harm "writes to memory that it has given back"; then
	head -c 1048576 /dev/urandom >"$dir/overdue"
	umount "$dir"
	echo 15 >$timeout
	mount -t "$type" "$tag" "$dir"
	works && order late=55000 READ && overdue
	ok=$?
	echo 0 >$timeout
	! timeout 20 ls "$dir" >/dev/null 2>&1 && umount "$dir" && mount -t "$type" "$tag" "$dir" && works && [ $ok = 0 ]
	result $? a_late_reply_does_no_harm
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
