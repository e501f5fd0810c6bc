# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What the files in tools/demo/daemons use. They find `work`, a directory of their own on tmpfs, and
# `work/mnt`, where they mount.

# The sources to work on: all of them, and the small part rust/.
sources=/fuse_rs/build/demo.tar
plain=/tmp/plain
rows=()
failed=0
# How many times longer than on the stock kernel things may take.
slowness=${KTAP_SLOWNESS:-1}

ms() { echo $(($(date +%s%N) / 1000000)); }

row() { # what was done, milliseconds, result
	rows+=("$daemon|$1|$2|$3")
	if [ "$3" = ok ]; then
		echo "ok ${#rows[@]} demo $daemon: $1 ($2 ms)"
	else
		failed=$((failed + 1))
		echo "not ok ${#rows[@]} demo $daemon: $1 ($2 ms): $3"
		return 1
	fi
}

# Runs a step; its output must be what is expected. A dash expects success, whatever is said. Fails
# if the step does.
step() { # what, expected, command...
	local start out what=$1 expected=$2
	shift 2
	start=$(ms)
	out=$("$@" 2>&1)
	local rc=$? took=$(($(ms) - start))
	if [ $rc = 0 ] && { [ "$expected" = - ] || [ "$out" = "$expected" ]; }; then
		row "$what" "$took" ok
	else
		out=${out:0:300}
		row "$what" "$took" "status $rc: ${out//[$'\n|']/ }"
	fi
}

# Mounts, with a daemon that goes to the background by itself, and waits for the mount.
mounts() {
	timeout $((120 * slowness)) "$@" </dev/null >"$work/log" 2>&1 || { cat "$work/log"; return 1; }
	mounted
}

# The same with a daemon that stays in the foreground.
mounts_in_foreground() {
	"$@" </dev/null >"$work/log" 2>&1 &
	mounted
}

mounted() {
	for _ in $(seq $((600 * slowness))); do mountpoint -q "$work/mnt" && return 0; sleep 0.1; done
	cat "$work/log"
	echo "no mount at $work/mnt"
	return 1
}

# Unmounts, and waits until the daemon has written what it holds back.
unmounts() {
	local daemons
	daemons=$(pgrep -f -- "$work") || true
	umount "$work/mnt" || return 1
	for _ in $(seq $((600 * slowness))); do
		[ -z "$daemons" ] || ! kill -0 $daemons 2>/dev/null && return 0
		sleep 0.1
	done
	echo "the daemon does not end"
	return 1
}

# A tree as one checksum: names, types, link targets, data.
checksum() {
	(cd "$1" && find . \( -type f -exec sha256sum {} + \) -o -printf '%y %p %l\n' | sort | sha256sum | cut -c1-16)
}

# How often each Rust source says unsafe, as one checksum.
count_unsafe() { grep -r --include='*.rs' -c unsafe "$1/rust" | sed "s,$1/,," | sort | sha256sum; }

prepare_plain() {
	mkdir -p $plain /tmp/part
	tar -C $plain -xf "$sources"
	cp -a $plain/rust /tmp/part/
	plain_files=$(find $plain -type f | wc -l)
	plain_megabytes=$(du -sm $plain | cut -f1)
	want=$(checksum $plain)
	want_part=$(checksum /tmp/part)
	want_grep=$(count_unsafe $plain)
}

# Work on a mount that shows the part and cannot be written.
read_part() {
	step "checksum of rust/" "$want_part" checksum "$work/mnt"
	step "grep -r" "$want_grep" count_unsafe "$work/mnt"
}

# Work on an empty writable mount; leaves the part in it.
write_part() {
	step "unpack rust/" - tar -C "$work/mnt" --no-same-owner -xf "$sources" rust
	step "compare" - diff -r $plain/rust "$work/mnt/rust"
	step "grep -r" "$want_grep" count_unsafe "$work/mnt"
	step "copy within the mount" - cp -r "$work/mnt/rust/pin-init" "$work/mnt/copy"
	step "rename the copy" - mv "$work/mnt/copy" "$work/mnt/copy2"
	step "compare the copy" - diff -r $plain/rust/pin-init "$work/mnt/copy2"
	step "append and truncate" "$(append_and_truncate /tmp/part)" append_and_truncate "$work/mnt"
	step "remove the copy" - rm -r "$work/mnt/copy2"
}

# Changes one file to and fro; prints what it was in between.
append_and_truncate() {
	local file=$1/rust/macros/lib.rs size
	size=$(stat -c %s "$file")
	echo "one line more" >>"$file" && truncate -s +5000 "$file" && sha256sum <"$file" &&
		truncate -s "$size" "$file" && sha256sum <"$file"
}

# A loop device with an image of so many megabytes; prints its name.
loop_device() {
	modprobe loop
	truncate -s "$1M" "$work/image" && losetup -f --show "$work/image"
}
