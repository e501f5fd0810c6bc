# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154
# fuseiso: an ISO 9660 image. Without -n it wants to write to the home directory.
step "make" - genisoimage -quiet -R -o "$work/image" /tmp/part
step "mount" - mounts fuseiso -n "$work/image" "$work/mnt" || return
read_part
step "unmount" - unmounts
