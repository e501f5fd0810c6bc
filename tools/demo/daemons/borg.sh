# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154
# borg: the backups in an archive (Python, pyfuse3).
export BORG_BASE_DIR=$work/borg BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes
step "make a repository" - borg init -e none "$work/repository"
step "back up" - sh -c "cd /tmp/part && borg create '$work/repository::first' rust"
step "mount" - mounts borg mount "$work/repository::first" "$work/mnt" || return
read_part
step "unmount" - unmounts
