#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Submounts: file systems in what virtiofsd shares. Needs a device with the tag $FUSE_SUBMOUNT_TAG
# whose virtiofsd announces them (announce-submounts): there are other file systems at `a`, `a/deep` and `b`.
# $FUSE_SUBMOUNT_SHARED is another way to the directory that it shares.
. "$(dirname "$0")/virtiofs.sh"
tag=${FUSE_SUBMOUNT_TAG:-}
shared=${FUSE_SUBMOUNT_SHARED:-}

echo "TAP version 13"
if [ -z "$tag" ] || ! mount -t "$type" "$tag" "$dir" 2>/dev/null; then
	echo "1..1"
	echo "ok 1 virtiofs_submount # SKIP no device that announces submounts for $type"
	exit 4
fi
echo "1..22"

# How many file systems are mounted at or below a directory.
mounts() { grep -c " $1[/ ]" /proc/mounts; }
number() { stat -c %d "$1"; }
remount() { soon umount "$dir" 2>/dev/null && mount -t "$type" "$tag" "$dir"; }

echo top >"$dir/file"
stat "$dir/a" >/dev/null && [ "$(mounts "$dir")" = 1 ]
result $? looking_at_a_submount_does_not_mount_it

ls "$dir/a/." "$dir/b/." "$dir/a/deep/." >/dev/null && [ "$(mounts "$dir")" = 4 ] &&
	[ "$(for d in "$dir" "$dir/a" "$dir/b" "$dir/a/deep"; do number $d; done | sort -u | wc -l)" = 4 ]
result $? each_has_a_device_number_of_its_own

echo a >"$dir/a/file" && echo deep >"$dir/a/deep/file" && echo b >"$dir/b/file" &&
	[ "$(cat "$shared"/{file,a/file,a/deep/file,b/file} | tr '\n' ' ')" = "top a deep b " ] &&
	[ "$(cat "$dir"/{file,a/file,a/deep/file,b/file} | tr '\n' ' ')" = "top a deep b " ]
result $? the_host_sees_what_is_written_there

[ "$(stat -c %i "$dir/a")" = "$(stat -c %i "$dir/b")" ] &&
	[ "$(stat -c '%a %u' "$dir/a")" = "$(stat -c '%a %u' "$shared/a")" ]
result $? roots_have_the_attributes_of_the_host

# Before they are mounted it depends on when find looks at them.
remount && [ "$(mounts "$dir")" = 1 ] && ls "$dir/a/." "$dir/b/." >/dev/null && [ "$(find "$dir" -xdev | wc -l)" = 4 ]
result $? find_xdev_stays_on_one

if rs_only find_finds_no_loops "shows unmounted ones with the numbers of their roots"; then
	remount && [ "$(find "$dir" 2>&1 | grep -c '/file$\|loop')" = 4 ]
	result $? find_finds_no_loops
fi

# In MiB: the file system by which the host is seen has larger blocks.
size() { echo $((($(stat -f -c '%b * %S' "$1") + (1 << 19)) >> 20)); }
[ "$(size "$dir/a/.")" = "$(size "$shared/a")" ] && [ "$(size "$dir")" != "$(size "$dir/a")" ]
result $? each_has_its_own_usage

! mv "$dir/a" "$dir/c" 2>/dev/null && ! rmdir "$dir/b" 2>/dev/null && ! ln "$dir/a/file" "$dir/linked" 2>/dev/null
result $? a_mount_point_stays_where_it_is

mv "$dir/a/file" "$dir/moved" && [ "$(cat "$dir/moved")" = a ] && mv "$dir/moved" "$dir/a/file"
result $? files_are_moved_between_them_by_copying

(cd "$dir/a" && ! umount "$dir" 2>/dev/null) && mounted && [ "$(cat "$dir/a/file")" = a ]
result $? what_is_in_use_below_keeps_the_mount

[ "$(cat "$dir/a/deep/file")" = deep ] && umount "$dir/a/deep" && umount "$dir/a" && [ "$(mounts "$dir/a")" = 0 ] &&
	[ "$(cat "$dir/a/deep/file")" = deep ] && [ "$(mounts "$dir/a")" = 2 ]
result $? it_is_mounted_again_when_somebody_goes_there

umount "$dir" && [ "$(mounts "$dir")" = 0 ] && mount -t "$type" "$tag" "$dir" && [ "$(cat "$dir/a/file")" = a ]
result $? unused_ones_go_with_the_mount

python3 - "$dir/a/mapped" "$shared/a/mapped" <<'P' && sync && cmp "$dir/a/mapped" "$shared/a/mapped"
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
os.ftruncate(fd, 1 << 20)
m = mmap.mmap(fd, 1 << 20)
for at in range(0, 1 << 20, 4096):
    m[at:at + 8] = at.to_bytes(8, "little")
os.sync()
with open(sys.argv[2], "rb") as host:
    assert host.read() == m[:]
P
result $? sync_brings_stores_to_the_host

seq 2000 | sed "s,^,$dir/a/many," | xargs touch && echo 2 >/proc/sys/vm/drop_caches &&
	[ "$(ls "$dir/a" | grep -c many)" = 2000 ] && echo 3 >/proc/sys/vm/drop_caches &&
	rm "$dir"/a/many* && [ "$(cat "$dir/a/deep/file")" = deep ]
result $? names_and_nodes_may_be_dropped

exec 5<"$dir/a/deep/file"
umount -l "$dir" && ! mounted && [ "$(cat <&5)" = deep ]
result $? an_open_file_keeps_its_file_system
exec 5<&-
soon mount -t "$type" "$tag" "$dir" 2>/dev/null && [ "$(cat "$dir/file")" = top ]
result $? the_last_one_ends_the_connection

other=$(mktemp -d)
ls "$dir/a/." >/dev/null
if rs_only a_tag_mounted_again_is_the_top "mounts one of the submounts"; then
	mount -t "$type" "$tag" "$other" && [ "$(number "$other")" = "$(number "$dir")" ] &&
		[ "$(cat "$other/file")" = top ]
	result $? a_tag_mounted_again_is_the_top
	umount "$other"
fi

mount --bind "$dir/a" "$other" && umount "$dir" && [ "$(cat "$other/file")" = a ] &&
	echo more >"$other/more" && [ "$(cat "$shared/a/more")" = more ] && rm "$other/more" && umount "$other"
result $? a_submount_does_without_the_mount
rmdir "$other"

soon mount -o ro -t "$type" "$tag" "$dir" 2>/dev/null && ! touch "$dir/a/new" 2>/dev/null && [ "$(cat "$dir/a/file")" = a ]
result $? they_are_as_read_only_as_the_mount
remount

load() {
	while dd if=/dev/zero of="$dir/a/busy" bs=256k count=16 conv=fsync && cat "$dir/a/busy"; do
		:
	done >/dev/null 2>&1
}
gone() { ! kill -0 $loader 2>/dev/null; }
load &
loader=$!
sleep 1
name=$(device_of "$tag")
timeout 60 bash -c "echo $name >$driver/unbind" && soon gone && ! timeout 20 ls "$dir/a/file" 2>/dev/null &&
	timeout 20 umount "$dir" && [ "$(mounts "$dir")" = 0 ]
result $? a_device_with_submounts_can_be_unbound
echo "$name" >"$driver/bind"
soon mount -t "$type" "$tag" "$dir" 2>/dev/null && [ "$(cat "$dir/a/deep/file")" = deep ]
result $? they_are_back_when_it_is_bound_again

# Each unmounting waits for what is on its way, and gives back what is known.
churn() {
	local _
	for _ in $(seq 30); do
		head -c 300000 /dev/urandom >"$dir/a/churned" && cat "$dir"/a/{file,deep/file} >/dev/null &&
			umount "$dir/a/deep" && umount "$dir/a" && cmp -s "$dir/a/churned" "$shared/a/churned" || return 1
	done
}
churn
result $? they_come_and_go

rm -f "$dir"/{file,a/file,a/mapped,a/busy,a/churned,a/deep/file,b/file}
umount "$dir"
rmdir "$dir"
exit $failed
