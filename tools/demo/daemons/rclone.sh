# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154
# rclone: a remote store, here a directory, with a cache of its own for writes (Go).
mkdir "$work/store"
step "mount" - mounts_in_foreground rclone mount --config /dev/null --cache-dir "$work/cache" \
	--vfs-cache-mode writes --vfs-write-back 0s "$work/store" "$work/mnt" || return
write_part
step "unmount" - unmounts
step "compare what is stored" - diff -r $plain/rust "$work/store/rust"
