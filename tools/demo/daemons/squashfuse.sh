# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154
# squashfuse: a compressed image (low-level interface).
mksquashfs $plain "$work/image" -comp gzip -Xcompression-level 1 -quiet -no-progress >/dev/null
step "mount" - mounts squashfuse "$work/image" "$work/mnt" || return
step "checksum of all files" "$want" checksum "$work/mnt"
step "grep -r" "$want_grep" count_unsafe "$work/mnt"
step "unmount" - unmounts
