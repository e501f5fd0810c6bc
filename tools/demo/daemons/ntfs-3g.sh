# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154
# ntfs-3g: NTFS on a block device (fuseblk).
device=$(loop_device 64) || return
step "make" - mkntfs -q -F -f "$device"
step "mount" - mounts ntfs-3g -o permissions "$device" "$work/mnt" || return
write_part
step "it is of type fuseblk" fuseblk findmnt -no FSTYPE "$work/mnt"
step "unmount" - unmounts
step "check the volume" - ntfsfix -n "$device"
step "mount again" - mounts ntfs-3g -o permissions,ro "$device" "$work/mnt" || return
read_part
step "unmount again" - unmounts
losetup -d "$device"
