# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Boots a kernel, the stock one or a checking one, and runs a command there.

# Left-overs of runs that were killed.
remove_old_runs() {
	local old
	for old in "$CLONE"/build/vm.*; do
		[ -d "/proc/${old##*.}" ] || rm -rf "$old"
	done
}

# The stock kernel, by virtme-ng. $1: the place of this run's files.
boot_stock() {
	bounded "$1" vng -r "/usr/lib/modules/$ABI/vmlinuz.unsigned" --disable-kvm --force-9p \
		--cpus "$cpus" --memory "$memory" -a "$args mitigations=off quiet $append" \
		--rwdir /fuse_rs ${qemu:+"--qemu-opts=${qemu[*]}"} -- \
		bash /fuse_rs/tools/lab/guest "$1" "${load:-0}" "$module"
}

# A checking kernel, by a small init of our own: virtme-ng's takes minutes there. In and out go
# through ports of their own; what the kernel has to say when it dies is in the file console.
boot_checking() {
	local share=security_model=none,multidevs=remap
	# With five levels of page tables KASAN errs in an interrupt that comes while the kernel
	# finds out what the CPU can do, and never ends telling so.
	bounded "$1" qemu-system-x86_64 -machine q35 -cpu max,la57=off -accel tcg,thread=multi -no-reboot \
		-smp "$cpus" -m "$memory" -nodefaults -display none -serial "file:$1/console" \
		-fsdev "local,id=root,path=/,readonly=on,$share" \
		-device virtio-9p-pci,fsdev=root,mount_tag=lab_root \
		-fsdev "local,id=clone,path=/fuse_rs,$share" \
		-device virtio-9p-pci,fsdev=clone,mount_tag=lab_clone \
		-device virtio-serial-pci -chardev stdio,id=in,signal=off \
		-device virtserialport,chardev=in,name=in \
		-chardev file,id=out,path=/proc/self/fd/1 -device virtserialport,chardev=out,name=out \
		-kernel /k/checking/out/arch/x86/boot/bzImage "${qemu[@]}" \
		-append "root=lab_root rootfstype=9p \
			rootflags=trans=virtio,version=9p2000.L,msize=524288,cache=loose ro \
			console=ttyS0 quiet panic=-1 kasan_multi_shot $args $append \
			init=/fuse_rs/tools/lab/checking/init lab_run=$1 lab_load=${load:-0} lab_module=$module"
}

# A command in the root, with the time limit and the VM's devices. $1: the place of this run's files.
bounded() {
	LAB_KERNEL=$KERNEL timeout --foreground "${VM_TIMEOUT:-$limit}" \
		"$0" enter /fuse_rs/tools/lab/with-devices "$@"
}

# A person at a terminal gets one in the VM, and no time limit.
open_terminal() {
	VM_TIMEOUT=${VM_TIMEOUT:-0}
	terminal=$(stty -g)
	{
		echo "export TERM=$TERM"
		stty size | sed -E 's/(.*) (.*)/rows=\1 columns=\2/'
	} >"$run/terminal"
	# Keys go to the VM untouched as soon as it has a terminal; until then Ctrl-C ends it.
	(
		while [ ! -e "$run/ready" ]; do sleep 0.2; done
		stty raw -echo opost </dev/tty
	) &
	watcher=$!
	trap "stty '$terminal'" EXIT
}

close_terminal() {
	kill "$watcher" 2>/dev/null || true
	stty "$terminal"
}

vm() {
	local args='initcall_blacklist=fuse_init,virtio_fs_init' load=1 cpus=${VM_CPUS:-2} kind=
	local memory=${VM_MEMORY:-2G} qemu=() daemons=()
	local boot=boot_stock append='' module=/fuse_rs/fuse_rs.ko limit=1200 stock_only=
	while [[ ${1:-} == --* ]]; do
		case $1 in
		--kernel) kind=${2:-} && shift ;;
		--beside) args='' stock_only=1 ;;
		--no-module) load= ;;
		--append)
			append=$2
			shift
			;;
		--icount)
			cpus=1 stock_only=1
			qemu+=(-icount 'shift=0,sleep=off')
			;;
		--plugin)
			qemu+=(-plugin "$2") stock_only=1
			shift
			;;
		--virtiofs | --dax)
			add_device "${1#--}" "$2"
			shift
			;;
		--) shift && break ;;
		*) die "vm: unknown option $1" ;;
		esac
		shift
	done
	if [ -n "$kind" ]; then
		[ -z "$stock_only" ] ||
			die "vm: --beside, --icount and --plugin are for the stock kernel"
		checking_kernel "$kind"
		checking_module "$kind"
		boot=boot_checking args='' module=/fuse_rs/build/$kind/fuse_rs.ko limit=3600
	fi
	remove_old_runs
	local run=$CLONE/build/vm.$$ rc=0 input=/dev/null terminal='' watcher='' status
	mkdir -p "$run" "$CLONE/build/results"
	printf '%s\n' "$*" >"$run/command"
	printf '%s\n' "${daemons[@]}" >"$run/devices"
	if [ -t 0 ] && [ -t 1 ]; then
		input=/dev/stdin
		open_terminal
	fi
	"$boot" "/fuse_rs/build/vm.$$" 2>&1 <"$input" | cat || rc=$?
	[ -z "$terminal" ] || close_terminal
	if [ "$rc" = 124 ]; then
		say "the VM did not finish within ${VM_TIMEOUT:-$limit} s"
	elif [ ! -s "$run/status" ]; then
		rc=125
		say "the VM died before the command ended"
	else
		status=$(cat "$run/status")
		cp "$run/dmesg" "$CLONE/build/results/dmesg${kind:+-$kind}.txt"
		"$LAB_DIR/check-dmesg" "$run/dmesg" || [ "$status" != 0 ] || status=126
		rc=$status
	fi
	[ ! -s "$run/console" ] || [ -s "$run/status" ] || tail -n 60 "$run/console" >&2
	rm -rf "$run"
	return "$rc"
}
