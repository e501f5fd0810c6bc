# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154
# archivemount: the contents of an archive; writes it anew when it is unmounted.
tar -C $plain -cf "$work/archive.tar" rust
step "mount" - mounts archivemount -o nobackup "$work/archive.tar" "$work/mnt" || return
read_part
step "add a file" - cp $plain/rust/macros/lib.rs "$work/mnt/added.rs"
step "unmount, which writes the archive" - unmounts
step "the archive holds the file" "$(sha256sum <$plain/rust/macros/lib.rs)" \
	sh -c "tar -xOf '$work/archive.tar' added.rs ./added.rs 2>/dev/null | sha256sum"
