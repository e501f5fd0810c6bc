# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154
# bindfs: another view of a directory (libfuse, high-level interface).
mkdir "$work/store"
step "mount" - mounts bindfs "$work/store" "$work/mnt" || return
step "unpack $plain_files files" - tar -C "$work/mnt" -xf "$sources"
step "checksum of all files" "$want" checksum "$work/mnt"
step "checksum of what is stored" "$want" checksum "$work/store"
step "grep -r" "$want_grep" count_unsafe "$work/mnt"
step "copy rust/ within the mount" - cp -a "$work/mnt/rust" "$work/mnt/rust2"
step "compare the copy" - diff -r $plain/rust "$work/mnt/rust2"
step "remove the copy" - rm -r "$work/mnt/rust2"
step "checksum after removal" "$want" checksum "$work/store"
step "unmount" - unmounts
