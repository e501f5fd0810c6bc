# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The virtio-fs devices of a VM: each is a daemon beside QEMU, which with-devices starts, and what
# QEMU must be told of it.

# Adds one to the arrays `daemons` (lines for with-devices) and `qemu` (words for QEMU).
# $1: virtiofs; $2: TAG=DIR[,OPTION...], where an option is one of the daemon's, without dashes.
add_device() {
	local kind=$1 tag=${2%%=*} rest=${2#*=} dir socket id log options option
	[[ $2 == ?*=?* ]] || die "vm: --$kind wants TAG=DIR[,OPTION...], not '$2'"
	id=fs${#daemons[@]}
	dir=${rest%%,*}
	socket=/fuse_rs/build/vm.$$/$id.sock
	log=/fuse_rs/build/results/$kind-$id.log
	IFS=, read -ra options <<<"${rest#"$dir"}"
	# The daemon sees the guest's memory.
	[ ${#daemons[@]} != 0 ] ||
		qemu+=(-object "memory-backend-memfd,id=memory,size=$memory,share=on"
			-machine memory-backend=memory)
	local command=(/usr/libexec/virtiofsd --sandbox=none "--socket-path=$socket" "--shared-dir=$dir")
	for option in "${options[@]}"; do
		[ -z "$option" ] || command+=("--$option")
	done
	qemu+=(-chardev "socket,id=$id,path=$socket"
		-device "vhost-user-fs-pci,chardev=$id,tag=$tag")
	daemons+=("device $(printf '%q ' "$socket" "$log" "$dir" "${command[@]}")")
}
