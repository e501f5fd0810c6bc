#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# `make demo`, in the VM: real daemons on our module do real work on a real source tree, and every
# result is compared with the same work done without FUSE.
set -uo pipefail
cd /fuse_rs || exit 1
tree=build/demo.tar
results=build/results
mkdir -p "$results" /tmp/plain /tmp/demo
rows=()
failed=0

ms() { echo $(($(date +%s%N) / 1000000)); }

# The contents of a tree as one checksum: names, types, link targets, data.
checksum() {
	(cd "$1" && find . \( -type f -exec sha256sum {} + \) -o -printf '%y %p %l\n' | sort | sha256sum | cut -c1-16)
}

row() { # daemon, what was done, milliseconds, result
	rows+=("$1|$2|$3|$4")
	printf '  %-10s %-42s %7s ms  %s\n' "$1" "$2" "$3" "$4"
	[ "$4" = ok ] || failed=1
}

# Runs a step and compares what it prints with what is expected.
step() { # daemon, what, expected, command...
	local start out daemon=$1 what=$2 expected=$3
	shift 3
	start=$(ms)
	out=$("$@" 2>&1)
	local rc=$? took=$(($(ms) - start))
	if [ $rc = 0 ] && { [ "$expected" = - ] || [ "$out" = "$expected" ]; }; then
		row "$daemon" "$what" "$took" ok
	else
		row "$daemon" "$what" "$took" "FAILED ($out)"
	fi
}

mounted() {
	for _ in $(seq 100); do mountpoint -q "$1" && return 0; sleep 0.1; done
	echo "no mount at $1"
	return 1
}

echo "demo: $(uname -r), module $(cat /sys/module/fuse_rs/srcversion 2>/dev/null || echo loaded)"
echo "demo: the same work without FUSE first"
tar -C /tmp/plain -xf "$tree"
want=$(checksum /tmp/plain)
want_grep=$(grep -r --include='*.rs' -c unsafe /tmp/plain/rust | sed 's,/tmp/plain/,,' | sort | sha256sum)
files=$(find /tmp/plain -type f | wc -l)
megabytes=$(du -sm /tmp/plain | cut -f1)
echo "demo: $files files, $megabytes MB, checksum $want"

count_unsafe() { grep -r --include='*.rs' -c unsafe "$1/rust" | sed "s,$1/,," | sort | sha256sum; }

# bindfs: another view of a directory (libfuse 3, high-level interface).
mkdir -p /tmp/store /tmp/bind
step bindfs "mount" - bindfs /tmp/store /tmp/bind
step bindfs "unpack $files files" - tar -C /tmp/bind -xf "$tree"
step bindfs "checksum of all files" "$want" checksum /tmp/bind
step bindfs "checksum of what is stored" "$want" checksum /tmp/store
step bindfs "grep -r" "$want_grep" count_unsafe /tmp/bind
step bindfs "copy rust/ within the mount" - cp -a /tmp/bind/rust /tmp/bind/rust2
step bindfs "compare the copy" - diff -r /tmp/plain/rust /tmp/bind/rust2
step bindfs "remove the copy" - rm -r /tmp/bind/rust2
step bindfs "checksum after removal" "$want" checksum /tmp/store
step bindfs "unmount" - umount /tmp/bind

# squashfuse: a compressed image (low-level interface, readdir and reads).
mkdir -p /tmp/squash
mksquashfs /tmp/plain /tmp/image.sqfs -comp gzip -Xcompression-level 1 -quiet -no-progress >/dev/null
step squashfuse "mount" - squashfuse /tmp/image.sqfs /tmp/squash
step squashfuse "checksum of all files" "$want" checksum /tmp/squash
step squashfuse "grep -r" "$want_grep" count_unsafe /tmp/squash
step squashfuse "unmount" - umount /tmp/squash

# sshfs: another machine's files over SSH; here the other machine is this one.
mkdir -p /tmp/ssh /tmp/remote /run/sshd /root/.ssh
# Without PAM, sshd refuses accounts that are locked.
printf 'root:*:1::::::\nsshd:*:1::::::\n' >/etc/shadow
ip link set lo up
ssh-keygen -q -t ed25519 -N '' -f /tmp/demo/hostkey
ssh-keygen -q -t ed25519 -N '' -f /tmp/demo/key
cp /tmp/demo/key.pub /tmp/demo/authorized
/usr/sbin/sshd -p 2222 -h /tmp/demo/hostkey -o AuthorizedKeysFile=/tmp/demo/authorized \
	-o StrictModes=no -o PermitRootLogin=yes -o UsePAM=no
step sshfs "mount over loopback" - sshfs -p 2222 -o IdentityFile=/tmp/demo/key \
	-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR \
	root@127.0.0.1:/tmp/remote /tmp/ssh
step sshfs "unpack rust/" - tar -C /tmp/ssh -xf "$tree" rust
step sshfs "compare" - diff -r /tmp/plain/rust /tmp/ssh/rust
step sshfs "compare what is stored" - diff -r /tmp/plain/rust /tmp/remote/rust
step sshfs "grep -r" "$want_grep" count_unsafe /tmp/ssh
step sshfs "remove" - rm -r /tmp/ssh/rust
step sshfs "unmount" - umount /tmp/ssh
pkill sshd

echo
printf '%-11s|%-43s|%9s|%s\n' daemon "what was done" "time (ms)" result
printf -- '-----------+-------------------------------------------+---------+-------\n'
for r in "${rows[@]}"; do
	IFS='|' read -r d w t s <<<"$r"
	printf '%-11s|%-43s|%9s|%s\n' "$d" "$w" "$t" "$s"
done
python3 - "${rows[@]}" >"$results/demo.json" <<'PY'
import json, sys
rows = [r.split("|") for r in sys.argv[1:]]
print(json.dumps([{"daemon": d, "step": w, "ms": int(t), "result": s} for d, w, t, s in rows], indent=1))
PY
echo
[ $failed = 0 ] && echo "demo: everything came out as without FUSE"
exit $failed
