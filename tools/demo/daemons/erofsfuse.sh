# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154
# erofsfuse: a compressed read-only image.
step "make" - mkfs.erofs -zlz4 "$work/image" /tmp/part
step "mount" - mounts erofsfuse "$work/image" "$work/mnt" || return
read_part
step "unmount" - unmounts
