#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The samples do what their descriptions say.
cd "$(dirname "$0")/../../../.." || exit 1
n=0
failed=0
result() {
	n=$((n + 1))
	if [ "$1" = 0 ]; then echo "ok $n $2"; else
		echo "not ok $n $2"
		failed=1
	fi
}
mnt=$(mktemp -d)
mounted() { for _ in $(seq 100); do mountpoint -q "$mnt" && return 0; sleep 0.1; done; return 1; }
echo "TAP version 13"
echo "1..4"
samples/hello/hello "$mnt" &
pid=$!
mounted && [ "$(cat "$mnt/hello")" = "Hello, world!" ] && [ "$(ls "$mnt")" = hello ]
result $? "hello says hello"
umount "$mnt" && wait $pid
result $? "hello ends with its mount"
build/samples/release/memfs "$mnt" &
pid=$!
mounted && mkdir "$mnt/d" && echo text >"$mnt/d/f" && [ "$(cat "$mnt/d/f")" = text ] &&
	mv "$mnt/d/f" "$mnt/g" && [ "$(ls "$mnt")" = "$(printf 'd\ng')" ] && rm "$mnt/g" && rmdir "$mnt/d" &&
	dd if=/dev/urandom of="$mnt/big" bs=100k count=10 status=none && cp "$mnt/big" /tmp/big &&
	cmp /tmp/big "$mnt/big"
result $? "memfs holds files"
umount "$mnt" && wait $pid
result $? "memfs ends with its mount"
rmdir "$mnt"
exit $failed
