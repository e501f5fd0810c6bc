# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154
# gocryptfs: encrypted files (Go, its own client library).
mkdir "$work/store"
step "make" - gocryptfs -q -init -scryptn 10 -extpass 'echo secret' "$work/store"
step "mount" - mounts gocryptfs -q -extpass 'echo secret' "$work/store" "$work/mnt" || return
write_part
step "unmount" - unmounts
step "mount again" - mounts gocryptfs -q -extpass 'echo secret' "$work/store" "$work/mnt" || return
read_part
step "unmount again" - unmounts
