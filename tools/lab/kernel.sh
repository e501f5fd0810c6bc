# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The checking kernels: built with clang from the lab's kernel source, each kind once for its
# configuration, and kept in $CACHE/kernel-KIND-KEY with its build directory, in the lab seen as
# /k/checking.

KINDS='kasan lockdep'

checking_make() {
	enter make -C /k/checking/src O=/k/checking/out LLVM=1 "$@"
}

# Adds the fragments to the smallest configuration, and checks that each line took effect.
configure_kernel() {
	local fragments=/fuse_rs/tools/lab/checking bad
	quietly checking_make tinyconfig || return
	quietly enter sh -c "cd /k/checking/out && ../src/scripts/kconfig/merge_config.sh -m .config \
		$fragments/base.config $fragments/$1.config" || return
	quietly checking_make olddefconfig || return
	bad=$(cat "$LAB_DIR/checking/base.config" "$LAB_DIR/checking/$1.config" |
		grep -E '^(CONFIG_|# CONFIG_.* is not set)' | while read -r line; do
			case $line in
			\#*) ! grep -q "^$(cut -d' ' -f2 <<<"$line")=" "$KERNEL/out/.config" ;;
			*) grep -qxF "$line" "$KERNEL/out/.config" ;;
			esac || echo "$line"
		done)
	[ -z "$bad" ] || die "kernel $1: these lines of its configuration have no effect:" $bad
}

# Objects take 90 % of a build directory, and building a module needs none of them.
prune_kernel() {
	find "$1/out" -path '*/scripts' -prune -o -path '*/tools' -prune -o -type f \
		\( -name '*.o' -o -name '*.a' -o -name '*.cmd' -o -name 'vmlinux*' \) -print0 | xargs -0 rm -f
}

kernel_in_use() {
	[ -e "$1/out/.config" ] && ! flock -n "$1/out/.config" true
}

build_kernel() {
	local kind=$1 final=$2 start=$SECONDS
	KERNEL=$final.partial
	rm -rf --one-file-system "$KERNEL"
	mkdir -p "$KERNEL/out"
	say "kernel $kind: 1/2 source and configuration"
	# Links cost no room; what was made in the tree is removed from the copy only.
	cp -al "$ROOT/k/tree" "$KERNEL/src"
	quietly enter make -C /k/checking/src LLVM=1 mrproper || die "kernel $kind: mrproper failed"
	configure_kernel "$kind" || die "kernel $kind: cannot configure it"
	say "kernel $kind: 2/2 compiling (24 minutes of CPU time)"
	quietly checking_make -s "-j$(nproc)" bzImage modules || die "kernel $kind: the build failed"
	prune_kernel "$KERNEL"
	mv "$KERNEL" "$final"
	say "kernel $kind: built in $((SECONDS - start)) s ($(du -sh "$final/out" | cut -f1))"
}

# What a kernel depends on. Comments, the order of lines and messages do not count.
kernel_key() {
	{
		grep -hE '^(CONFIG_|# CONFIG_)' "$LAB_DIR/checking/base.config" "$LAB_DIR/checking/$1.config" |
			sort
		declare -f checking_make configure_kernel build_kernel | grep -v '^ *say '
		echo "$ABI"
		enter sh -c 'clang --version; ld.lld --version; rustc --version; bindgen --version'
	} | sha256sum | cut -c1-12
}

# Where a kernel is, if it is there.
kernel_place() {
	[[ " $KINDS " = *" $1 "* ]] || die "there is no checking kernel '$1'; there are: $KINDS"
	echo "$CACHE/kernel-$1-$(kernel_key "$1")"
}

has_kernel() {
	local place
	place=$(kernel_place "$1") && [ -e "$place" ]
}

# Makes sure that the kernel is there; sets KERNEL to its place.
checking_kernel() {
	local kind=$1 old final
	mkdir -p "$ROOT/k/checking"
	final=$(kernel_place "$kind") || exit
	exec 9>"$CACHE/lock-$kind"
	if ! flock -n 9; then
		say "another run is building kernel $kind; waiting for it"
		flock 9
	fi
	if [ ! -e "$final" ]; then
		build_kernel "$kind" "$final"
	fi
	KERNEL=$final
	# As with roots: a kernel that somebody uses is not removed.
	exec 7<"$KERNEL/out/.config"
	flock -s 7
	for old in "$CACHE/kernel-$kind-"*; do
		[ "$old" = "$KERNEL" ] || kernel_in_use "$old" || rm -rf --one-file-system "$old"
	done
	flock -u 9
	exec 9>&-
}

# Builds the module for the kernel, beside the stock kernel's, in a copy of its sources: build/KIND.
checking_module() {
	local made=() pattern
	for pattern in '*.o' '*.ko' '*.d' '*.rmeta' '*.cmd' '*.mod' '*.mod.c' bindings_generated.rs; do
		made+=("--exclude=$pattern")
	done
	mkdir -p "$CLONE/build/$1"
	enter rsync -a --delete "${made[@]}" Kbuild fuse_rs "build/$1/"
	quietly checking_make -s "M=/fuse_rs/build/$1" "-j$(nproc)" modules ||
		die "kernel $1: the module does not build"
}
