# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154
# fuse-overlayfs: layers, as containers use them.
mkdir "$work/upper" "$work/work"
step "mount" - mounts fuse-overlayfs \
	-o "lowerdir=/tmp/part,upperdir=$work/upper,workdir=$work/work" "$work/mnt" || return
read_part
step "remove what is in the lower layer" - rm -r "$work/mnt/rust"
step "it is gone" "" ls "$work/mnt"
write_part
step "the lower layer is as it was" "$want_part" checksum /tmp/part
step "unmount" - unmounts
