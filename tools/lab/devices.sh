# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The virtio-fs devices of a VM: each is a daemon beside QEMU, which with-devices starts, and what
# QEMU must be told of it.

# Adds one to the arrays `daemons` (lines for with-devices) and `qemu` (words for QEMU).
# $1: virtiofs or dax, which is whose daemon it is; $2: TAG=DIR[,OPTION...], where an option is one of
# the daemon's, without dashes, or mount=NAME: another file system is mounted there in the directory.
add_device() {
	local kind=$1 tag=${2%%=*} rest=${2#*=} id=fs${#daemons[@]} dir socket log options option
	local command device queues=1 size=128 inner=''
	[[ $2 == *=?* ]] || die "vm: --$kind wants TAG=DIR[,OPTION...], not '$2'"
	dir=${rest%%,*}
	socket=/fuse_rs/build/vm.$$/$id.sock
	log=/fuse_rs/build/results/$kind-$id
	IFS=, read -ra options <<<"${rest#"$dir"}"
	for option in "${options[@]}"; do
		case $option in
		queues=*) queues=${option#*=} ;;
		queue-size=*) size=${option#*=} ;;
		esac
	done
	case $kind in
	virtiofs)
		command=(/usr/libexec/virtiofsd --sandbox=none)
		device=vhost-user-fs-pci,tag=$tag
		;;
	dax)
		"$CLONE/tools/dax-device/build"
		command=(/fuse_rs/build/dax-device/dax-device "--tag=$tag" "--counters=$log.counters")
		# 26 is virtio-fs; one queue more is for urgent requests. QEMU wants another in any case.
		device=vhost-user-test-device-pci,virtio-id=26,config_size=40
		device+=,num_vqs=$((queues + 1 + (queues == 0))),vq_size=$size
		;;
	esac
	command+=("--socket-path=$socket" "--shared-dir=$dir")
	for option in "${options[@]}"; do
		case $option in
		'') ;;
		mount=*) inner+="inner $(printf %q "$dir/${option#*=}")"$'\n' ;;
		*) command+=("--$option") ;;
		esac
	done
	# The daemon sees the guest's memory.
	[ ${#daemons[@]} != 0 ] ||
		qemu+=(-object "memory-backend-memfd,id=memory,size=$memory,share=on"
			-machine memory-backend=memory)
	qemu+=(-chardev "socket,id=$id,path=$socket" -device "$device,chardev=$id")
	daemons+=("${inner}device $(printf '%q ' "$socket" "$log.log" "$dir" "${command[@]}")")
}
