#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# virtio-fs with a real virtiofsd: mounting by tag, unplugging, and what both sides see. Needs a device
# with the tag $FUSE_TAG; $FUSE_SHARED is another way to the directory that it shares.
. "$(dirname "$0")/virtiofs.sh"
tag=${FUSE_TAG:-}
shared=${FUSE_SHARED:-}

echo "TAP version 13"
if [ -z "$tag" ] || ! device_of "$tag" >/dev/null; then
	echo "1..1"
	echo "ok 1 virtiofs # SKIP no device of the driver $type"
	exit 4
fi
echo "1..21"

if rs_only unknown_tags_are_told_with_those_there_are "says nothing"; then
	message=$(mount -t "$type" nosuch "$dir" 2>&1)
	[[ $message == *"tag nosuch"*"there are $tag"* ]]
	result $? unknown_tags_are_told_with_those_there_are
fi

! mount -t "$type" -o allow_other "$tag" "$dir" 2>/dev/null && ! mounted
result $? other_options_are_refused

mount -t "$type" "$tag" "$dir" && grep -qx "$tag $dir $type rw,relatime 0 0" /proc/mounts
result $? no_options_are_shown

again=$(mktemp -d)
mount -t "$type" "$tag" "$again" && echo one >"$dir/one" && [ "$(cat "$again/one")" = one ] &&
	[ "$(stat -c %d "$dir")" = "$(stat -c %d "$again")" ]
result $? a_tag_mounted_again_is_the_same_file_system

umount "$dir" && [ "$(cat "$again/one")" = one ] && umount "$again" && rmdir "$again" &&
	mount -t "$type" "$tag" "$dir" && [ "$(cat "$dir/one")" = one ]
result $? the_last_unmount_ends_it

head -c 3000000 /dev/urandom >"$dir/data" && sync "$dir/data" && cmp "$dir/data" "$shared/data"
result $? the_host_sees_what_is_written

echo host >"$shared/from_host" && soon grep -qx host "$dir/from_host"
result $? what_the_host_writes_is_seen

python3 - "$dir/mapped" <<'P' && sync && cmp "$dir/mapped" "$shared/mapped"
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
os.ftruncate(fd, 1 << 20)
m = mmap.mmap(fd, 1 << 20)
for at in range(0, 1 << 20, 4096):
    m[at:at + 8] = at.to_bytes(8, "little")
P
result $? sync_brings_stores_to_the_host

control=$(mktemp -d)
before=$(umount "$dir"; mount -t "${FUSECTL_TYPE:-fusectl}" none "$control" && ls "$control" | wc -l)
mount -t "$type" "$tag" "$dir"
[ "$(ls "$control" | wc -l)" = "$before" ]
result $? it_is_not_in_the_control_file_system
umount "$control"
rmdir "$control"

for worker in 1 2 3 4; do
	(
		for i in $(seq 50); do
			echo "$worker $i" >"$dir/w$worker.$i" || exit 1
		done
		dd if=/dev/zero of="$dir/w$worker" bs=1M count=4 2>/dev/null
	) &
	workers[worker]=$!
done
ok=0
for worker in 1 2 3 4; do
	wait "${workers[$worker]}" || ok=1
done
[ $ok = 0 ] && [ "$(cat "$dir"/w?.* | wc -l)" = 200 ] && [ "$(cat "$dir"/w? | wc -c)" = $((16 << 20)) ]
result $? many_at_a_time
rm -f "$dir"/w*

mkdir "$dir/many" && (cd "$dir/many" && seq 3000 | xargs touch) && [ "$(ls "$dir/many" | wc -l)" = 3000 ] &&
	echo 2 >/proc/sys/vm/drop_caches && [ "$(ls -l "$dir/many" | wc -l)" = 3001 ] && rm -r "$dir/many"
result $? thousands_of_nodes_are_given_back

setfattr -n user.name -v value "$dir/one" 2>/dev/null
[ $? = 0 ] && [ "$(getfattr --only-values -n user.name "$dir/one" 2>/dev/null)" = value ]
result $? attributes_of_both_kinds

# Under load: reads, writes and a mapping, while the device goes.
load() {
	while dd if=/dev/zero of="$dir/busy/file" bs=256k count=16 conv=fsync && cat "$dir/busy/file"; do
		:
	done >/dev/null 2>&1
}
mkdir -p "$dir/busy"
load &
loader=$!
sleep 1
name=$(device_of "$tag")
timeout 60 bash -c "echo $name >$driver/unbind"
result $? a_device_in_use_can_be_unbound
gone() { ! kill -0 $loader 2>/dev/null; }
soon gone
result $? whoever_uses_it_gets_an_error
! timeout 20 ls "$dir/one" >/dev/null 2>&1 && timeout 20 umount "$dir"
result $? what_is_left_can_be_unmounted
kill $loader 2>/dev/null
echo "$name" >"$driver/bind" && soon mount -t "$type" "$tag" "$dir" && [ "$(cat "$dir/one")" = one ]
result $? it_can_be_bound_and_mounted_again

load &
loader=$!
sleep 1
slot=$(readlink -f "$driver/$(device_of "$tag")/..")
echo 1 >"$slot/remove"
soon gone && ! timeout 20 ls "$dir/one" >/dev/null 2>&1 && timeout 20 umount "$dir"
result $? a_device_in_use_can_be_unplugged
kill $loader 2>/dev/null
echo 1 >/sys/bus/pci/rescan
soon mount -t "$type" "$tag" "$dir" && [ "$(cat "$dir/one")" = one ]
result $? it_can_be_plugged_in_again

if rs_only unmounting_by_force_ends_what_waits "ignores MNT_FORCE"; then
	load &
	loader=$!
	sleep 1
	umount -f "$dir" 2>/dev/null
	soon gone
	soon umount "$dir" 2>/dev/null
	! mounted && mount -t "$type" "$tag" "$dir" && [ "$(cat "$dir/one")" = one ]
	result $? unmounting_by_force_ends_what_waits
fi

# The events of one unbinding and binding.
events() {
	python3 - "$1" "$driver" <<'P'
import os, socket, sys
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15)
s.bind((0, 1))
s.settimeout(5)
for what in ("unbind", "bind"):
    with open(f"{sys.argv[2]}/{what}", "w") as file:
        file.write(sys.argv[1])
seen = []
try:
    while len(seen) < 2:
        words = s.recv(65536).split(b"\0")
        if any(word.startswith(b"TAG=") for word in words):
            seen.append(b" ".join([words[0].split(b"@")[0]] + [w for w in words if w.startswith(b"TAG=")]))
except TimeoutError:
    pass
print(b",".join(seen).decode())
P
}
umount "$dir"
name=$(device_of "$tag")
[ "$(events "$name")" = "remove TAG=$tag,add TAG=$tag" ]
result $? events_tell_tags

entry=/sys/fs/$type/${name#virtio}
cpus=$(seq -s ', ' 0 $(($(nproc) - 1)))
[ "$(cat "$entry/tag")" = "$tag" ] && [ "$(readlink -f "$entry/device")" = "$(readlink -f "$driver/$name")" ] &&
	[ "$(cat "$entry/mqs/0/name")" = hiprio ] && [ "$(cat "$entry/mqs/1/name")" = requests.0 ] &&
	[ "$(cat "$entry/mqs/1/cpu_list")" = "$cpus" ]
result $? sysfs_shows_tag_and_queues

mount -t "$type" "$tag" "$dir"
rm -rf "${dir:?}"/*
mounted && umount "$dir"
rmdir "$dir"
exit $failed
