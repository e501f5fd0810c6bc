# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154
# sshfs: another machine's files over SSH; here the other machine is this one.
mkdir -p "$work/remote" /run/sshd /root/.ssh
# Without PAM, sshd refuses accounts that are locked.
printf 'root:*:1::::::\nsshd:*:1::::::\n' >/etc/shadow
ip link set lo up
ssh-keygen -q -t ed25519 -N '' -f "$work/hostkey"
ssh-keygen -q -t ed25519 -N '' -f "$work/key"
/usr/sbin/sshd -p 2222 -h "$work/hostkey" -o AuthorizedKeysFile="$work/key.pub" \
	-o StrictModes=no -o PermitRootLogin=yes -o UsePAM=no -o PidFile="$work/sshd.pid"
step "mount over loopback" - mounts sshfs -p 2222 -o IdentityFile="$work/key" \
	-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR \
	root@127.0.0.1:"$work/remote" "$work/mnt" || return
write_part
step "compare what is stored" - diff -r $plain/rust "$work/remote/rust"
step "unmount" - umount "$work/mnt"
kill "$(cat "$work/sshd.pid")"
