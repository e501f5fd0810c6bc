# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154
# fuse2fs: ext4 in user space; the kernel's ext4 must find the same.
truncate -s 64M "$work/image"
step "make" - mkfs.ext4 -q -F -O ^has_journal "$work/image"
step "mount" - mounts fuse2fs -o rw,fakeroot "$work/image" "$work/mnt" || return
step "remove lost+found" - rmdir "$work/mnt/lost+found"
write_part
step "unmount" - unmounts
step "check the volume" - e2fsck -fn "$work/image"
if ! modprobe -aq loop ext4; then
	echo "ok 0 demo $daemon: mount with the kernel's ext4 # SKIP there is none"
	return
fi
step "mount with the kernel's ext4" - mount -o loop,ro "$work/image" "$work/mnt" || return
read_part
step "unmount again" - umount "$work/mnt"
