# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154
# exfat-fuse: exFAT on a block device (fuseblk).
device=$(loop_device 64) || return
step "make" - mkfs.exfat -q "$device"
step "mount" - mounts mount.exfat-fuse "$device" "$work/mnt" || return
write_part
step "unmount" - unmounts
step "check the volume" - fsck.exfat -n "$device"
step "mount again" - mounts mount.exfat-fuse -o ro "$device" "$work/mnt" || return
read_part
step "unmount again" - unmounts
losetup -d "$device"
