# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154
# encfs: encrypted files (libfuse 2).
mkdir "$work/store"
step "make and mount" - mounts encfs --standard --extpass='echo secret' "$work/store" "$work/mnt" || return
write_part
step "unmount" - unmounts
step "mount again" - mounts encfs --extpass='echo secret' "$work/store" "$work/mnt" || return
read_part
step "unmount again" - unmounts
