# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154
# mergerfs: two directories as one (its own libfuse). It wants 4 GB free unless told otherwise.
mkdir "$work/a" "$work/b"
cp -a /tmp/part/rust "$work/a/"
step "mount" - mounts mergerfs -o category.create=ff,minfreespace=0 "$work/a:$work/b" "$work/mnt" || return
read_part
step "remove what is in one branch" - rm -r "$work/mnt/rust"
write_part
step "compare what is stored" - diff -r $plain/rust "$work/a/rust"
step "unmount" - unmounts
