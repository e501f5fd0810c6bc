#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Loading and unloading. Needs FUSE_RS_MODULE, the path of the module.
n=0
failed=0
result() {
	n=$((n + 1))
	if [ "$1" = 0 ]; then echo "ok $n $2"; else
		echo "not ok $n $2"
		failed=1
	fi
}
module=${FUSE_RS_MODULE:-}
echo "TAP version 13"
if [ ! -e "$module" ]; then
	echo "1..1"
	echo "ok 1 module # SKIP no FUSE_RS_MODULE"
	exit 4
fi
was_loaded=0
[ -d /sys/module/fuse_rs ] && was_loaded=1 && rmmod fuse_rs
before=$(cat /proc/filesystems)
gone() {
	! [ -d /sys/module/fuse_rs ] && ! grep -q fuse_rs_inode /proc/slabinfo &&
		[ "$(cat /proc/filesystems)" = "$before" ]
}
echo "1..11"

ok=0
for _ in $(seq 100); do
	insmod "$module" && rmmod fuse_rs && gone || { ok=1; break; }
done
result $ok "a hundred times loaded and unloaded"

ok=1
for step in $(seq 1 20); do
	if insmod "$module" fail_registration="$step" 2>/dev/null; then
		rmmod fuse_rs
		[ "$step" -gt 4 ] && ok=0
		break
	fi
	gone || { echo "# step $step left something behind"; break; }
done
result $ok "a failure at each step undoes the others"

insmod "$module"
dev=/dev/fuse
[ -e /dev/fuse_rs ] && dev=/dev/fuse_rs
exec 7<>"$dev"
rmmod fuse_rs 2>/dev/null
[ $? != 0 ]
result $? "an open device keeps the module"
exec 7>&-
rmmod fuse_rs && gone
result $? "and its close releases it"

# Without -i, mount(8) would start a helper for the type.
insmod "$module"
type=fuse
ctl=fusectl
[ -e /dev/fuse_rs ] && type=fuse_rs ctl=fusectl_rs
mnt=$(mktemp -d)
exec 7<>"$dev"
mount -i -t $type -o fd=7,rootmode=40000,user_id=0,group_id=0 none "$mnt" || echo "# no mount"
rmmod fuse_rs 2>/dev/null
[ $? != 0 ] && [ -d /sys/module/fuse_rs ]
result $? "a mount keeps the module"
exec 7>&-
rmmod fuse_rs 2>/dev/null
[ $? != 0 ] && grep -q " $mnt $type" /proc/mounts
result $? "also one whose server is gone"
umount "$mnt" && rmmod fuse_rs && gone
result $? "and its end releases it"

insmod "$module"
exec 7<>"$dev"
mount -i -t $type -o fd=7,rootmode=40000,user_id=0,group_id=0 none "$mnt"
# Without a server, umount(8) would wait for the attributes of the mount point.
python3 -c 'import ctypes, sys; sys.exit(ctypes.CDLL(None).umount2(sys.argv[1].encode(), 0))' "$mnt"
grep -q " $mnt $type" /proc/mounts && echo "# still mounted"
rmmod fuse_rs 2>/dev/null
[ $? != 0 ]
result $? "the device of a mount that is gone keeps the module"
exec 7>&-
mount -t $ctl none "$mnt" && ! rmmod fuse_rs 2>/dev/null && umount "$mnt" && rmmod fuse_rs && gone
result $? "so does the control file system"
rmdir "$mnt"

insmod "$module" names=2 && grep -q fuse_rs /proc/filesystems && [ -e /dev/fuse_rs ] && rmmod fuse_rs && gone
result $? "own names can be chosen"

insmod "$module" names=9 2>/dev/null
[ $? != 0 ] && gone
result $? "names that do not exist are refused"

[ $was_loaded = 1 ] && insmod "$module"
exit $failed
