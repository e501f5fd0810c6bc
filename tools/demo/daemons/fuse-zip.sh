# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154
# fuse-zip: a zip archive that can be written (libfuse 2).
step "make" - sh -c "cd $plain && zip -q -r '$work/archive.zip' rust/macros"
step "mount" - mounts fuse-zip "$work/archive.zip" "$work/mnt" || return
step "compare" - diff -r $plain/rust/macros "$work/mnt/rust/macros"
step "remove what is in it" - rm -r "$work/mnt/rust"
write_part
step "unmount, which writes the archive" - unmounts
step "unpack it" - python3 -m zipfile -e "$work/archive.zip" "$work/out"
step "compare" - diff -r $plain/rust "$work/out/rust"
