# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154
# fuseiso: an ISO 9660 image.
step "make" - genisoimage -quiet -R -o "$work/image" /tmp/part
step "mount" - mounts fuseiso "$work/image" "$work/mnt" || return
read_part
step "unmount" - unmounts
