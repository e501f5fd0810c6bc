# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Makes the Debian 13 root: build environment, guest file system, stock kernel, prepared tree.
# The result is $ROOT, made under another name and renamed when it is complete.

# What a root takes while it is made.
NEED_GB=8

# The Debian mirror this machine uses.
mirror() {
	local url
	url=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
		grep -v '^#' | grep -oE 'https?://[^ ]*/debian/?( |$)' | head -n 1)
	url=${url%% *}
	echo "${FUSE_RS_MIRROR:-${url:-http://deb.debian.org/debian}}" | sed 's,/*$,,'
}

# A dead network must not cost more than a minute before it is called by its name.
APT_NET=(-o Acquire::Retries=2 -o Acquire::http::Timeout=15 -o Acquire::https::Timeout=15)

# Whether the archive answers: fetches one small file.
archive_answers() {
	local file
	file=$(mktemp)
	quietly timeout 50 /usr/lib/apt/apt-helper "${APT_NET[@]}" \
		download-file "$(mirror)/dists/trixie/InRelease" "$file"
	local rc=$?
	rm -f "$file"
	return $rc
}

no_archive() {
	die "cannot reach the Debian archive at $(mirror) (apt's words are above), and $1:" \
		"the first run needs a network; FUSE_RS_MIRROR names another mirror"
}

# apt for Debian 13 on a machine that may run something else.
lab_apt() {
	local state=$CACHE/apt
	mkdir -p "$state/lists/partial" "$state/archives/partial" "$state/etc"
	: >"$state/status"
	printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' \
		"$(mirror)" trixie "$(mirror)" trixie-backports >"$state/etc/sources.list"
	"$@" -o Dir::State="$state" -o Dir::State::status="$state/status" \
		-o Dir::State::lists="$state/lists" -o Dir::Cache="$state" \
		-o Dir::Etc::sourcelist="$state/etc/sources.list" -o Dir::Etc::sourceparts=/dev/null \
		-o Acquire::Retries=5 -o Acquire::http::Timeout=15 -o Acquire::https::Timeout=15 \
		-o APT::Architecture=amd64
}

install_host_tools() {
	local missing=()
	command -v mmdebstrap >/dev/null || missing+=(mmdebstrap)
	[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing+=(debian-archive-keyring)
	[ ${#missing[@]} = 0 ] && return
	say "installing ${missing[*]} on this machine"
	quietly apt-get -o Acquire::Retries=5 update || die "apt-get update failed: is there a network?"
	quietly env DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=5 install -y \
		"${missing[@]}" || die "cannot install ${missing[*]}"
}

# Prints the ABI name of the newest stock kernel of the series. Asked at most once a day.
kernel_abi() {
	local stamp=$CACHE/kernel-abi found
	if [ -s "$stamp" ] && [ -n "$(find "$stamp" -mtime -1)" ]; then
		cat "$stamp"
		return
	fi
	say "asking the archive for the newest $SERIES kernel"
	if ! archive_answers || ! quietly lab_apt apt-get update; then
		[ -s "$stamp" ] || no_archive "no kernel is known from before"
		say "no network: going on with the kernel known from before"
		# Ask again in an hour.
		touch -d '23 hours ago' "$stamp"
		cat "$stamp"
		return
	fi
	found=$(lab_apt apt-cache search --names-only '^linux-binary-unsigned-[0-9.]+.*-amd64$' |
		sed -nE 's/^linux-binary-unsigned-([^ ]+).*/\1/p' | grep -vE 'cloud|rt-amd64' | sort -V)
	if ! grep -qE "^${SERIES/./\\.}\." <<<"$found"; then
		found="the archive has no $SERIES kernel any more; it has: $(sed -E 's/^([0-9]+\.[0-9]+).*/\1/' \
			<<<"$found" | sort -uV | xargs); supported: $SERIES"
		[ -s "$stamp" ] || die "$found"
		say "$found; going on with the kernel known from before"
		touch -d '23 hours ago' "$stamp"
		cat "$stamp"
		return
	fi
	grep -E "^${SERIES/./\\.}\." <<<"$found" | tail -n 1 >"$stamp.new"
	mv "$stamp.new" "$stamp"
	cat "$stamp"
}

# Files whose damage would make the root useless: their checksums are compared at each use.
key_files() {
	printf '%s\n' "usr/lib/modules/$ABI/vmlinuz.unsigned" k/tree/Module.symvers \
		k/tree/rust/libkernel.rmeta k/tree/rust/libmacros.so usr/bin/qemu-system-x86_64 \
		usr/bin/rustc usr/bin/bindgen usr/bin/vng
}

# The sizes of all files that builds and boots use; 27 000 files in a tenth of a second.
file_sizes() {
	(cd "$1" && find k/tree/arch/x86 k/tree/include k/tree/rust k/tree/scripts usr/bin usr/lib usr/sbin \
		usr/share/qemu -xdev -type f ! -name '*.pyc' -printf '%s %p\n') 2>/dev/null | LC_ALL=C sort
}

# Whether the root is as it was made; says what is not. Files that were added do no harm.
root_is_good() {
	local bad
	[ -e "$ROOT" ] || return 1
	if ! [ -s "$ROOT/.manifest" ] || ! [ -s "$ROOT/.sizes" ]; then
		bad="its list of files is missing"
	elif ! bad=$(cd "$ROOT" && sha256sum --quiet -c .manifest 2>&1); then
		bad=${bad%%$'\n'*}
	else
		bad=$(file_sizes "$ROOT" | LC_ALL=C comm -23 "$ROOT/.sizes" - | sed -n '1s/^[0-9]* //p')
		[ -n "$bad" ] || return 0
		bad="$bad is missing or has another size"
	fi
	say "the cached root is damaged ($bad): making it anew"
	return 1
}

# Every run that uses a root holds a shared lock on its list of files: nobody removes it meanwhile.
use_root() {
	exec 8<"$ROOT/.manifest"
	flock -s 8
}

in_use() {
	[ -e "$1/.manifest" ] && ! flock -n "$1/.manifest" true
}

in_new_root() {
	unshare -m --propagation private bash -c '
		set -e
		root=$1; shift
		for d in proc sys dev dev/pts; do mount --rbind "/$d" "$root/$d" 2>/dev/null || true; done
		exec chroot "$root" "$@"' - "$@"
}

make_root() {
	local new=$CACHE/root.partial.$$ packages
	# Left-overs of runs that were killed.
	rm -rf --one-file-system "$CACHE"/root.partial.*
	local free
	free=$(($(df --output=avail -B1M "$CACHE" | tail -n 1)))
	[ "$free" -ge $((NEED_GB * 1024)) ] ||
		die "$CACHE has $((free / 1024)) GB free and the lab takes $NEED_GB GB: make room there, or" \
			"name another place with FUSE_RS_CACHE"
	archive_answers || no_archive "there is no good root in $CACHE"
	packages=$(grep -v '^#' "$LAB_DIR/packages.txt" | tr '\n' ' ')
	say "1/4 base system (mmdebstrap)"
	quietly unshare -m --propagation private mmdebstrap --variant=minbase \
		--include=ca-certificates,apt --aptopt='Acquire::Retries "5"' \
		--aptopt='Acquire::http::Timeout "15"' trixie "$new" \
		"deb $(mirror) trixie main" "deb $(mirror) trixie-backports main" ||
		die "mmdebstrap failed: is $(mirror) reachable?"
	echo 'Acquire::Retries "5"; Acquire::http::Timeout "15"; Acquire::https::Timeout "15";' \
		>"$new/etc/apt/apt.conf.d/99lab"
	say "2/4 packages (about a minute)"
	# shellcheck disable=SC2086
	{
		quietly in_new_root "$new" apt-get update &&
			quietly in_new_root "$new" env DEBIAN_FRONTEND=noninteractive apt-get install -y \
				--no-install-recommends $packages &&
			quietly in_new_root "$new" env DEBIAN_FRONTEND=noninteractive apt-get install -y \
				--no-install-recommends -t trixie-backports qemu-system-x86 \
				"linux-headers-$ABI" "linux-modules-$ABI" "linux-binary-unsigned-$ABI" \
				"linux-source-$SERIES"
	} || die "installing packages failed; see the messages above"
	in_new_root "$new" apt-get clean
	say "3/4 kernel tree with Rust metadata (about 90 seconds)"
	mkdir "$new/k"
	tar -C "$new/k" -xf "$new/usr/src/linux-source-$SERIES.tar.xz"
	mv "$new/k/linux-source-$SERIES" "$new/k/tree"
	rm "$new/usr/src/linux-source-$SERIES.tar.xz"
	cp "$new/usr/src/linux-headers-$ABI/.config" "$new/k/tree/.config"
	local make=(make -C /k/tree CC=x86_64-linux-gnu-gcc-14 "KERNELRELEASE=$ABI")
	quietly in_new_root "$new" "${make[@]}" olddefconfig || die "olddefconfig failed"
	cmp -s "$new/usr/src/linux-headers-$ABI/.config" "$new/k/tree/.config" ||
		die "source and headers of the kernel do not belong together: their configurations differ"
	quietly in_new_root "$new" "${make[@]}" "-j$(nproc)" modules_prepare ||
		die "preparing the kernel tree failed"
	cp "$new/usr/src/linux-headers-$ABI/Module.symvers" "$new/k/tree/"
	mkdir "$new/fuse_rs"
	say "4/4 checksums"
	(cd "$new" && key_files | xargs sha256sum >.manifest) || die "the new root is not complete"
	file_sizes "$new" >"$new/.sizes"
	if in_use "$ROOT"; then
		say "the damaged root is in use; waiting for the run that uses it"
		flock "$ROOT/.manifest" true
	fi
	rm -rf --one-file-system "$ROOT"
	mv "$new" "$ROOT"
	say "the root is ready: $ROOT ($(du -sh "$ROOT" | cut -f1))"
}

# Makes sure there is a good root; sets ROOT and ABI.
prepare() {
	need_root
	mkdir -p "$CACHE"
	exec 9>"$CACHE/lock"
	if ! flock -n 9; then
		say "another run is preparing the lab; waiting for it"
		flock 9
	fi
	install_host_tools
	ABI=$(kernel_abi)
	local key old
	key=$({
		grep -v '^#' "$LAB_DIR/packages.txt"
		sed -n '/^make_root()/,/^}/p' "$LAB_DIR/root.sh"
		echo "$ABI"
	} | sha256sum | cut -c1-12)
	ROOT=$CACHE/root-$key
	if ! root_is_good; then
		make_root
		# The one before last is of no use any more.
		find "$CACHE" -maxdepth 1 -name 'root-*' ! -path "$ROOT" -printf '%T@ %p\n' |
			sort -rn | tail -n +2 | cut -d' ' -f2- |
			while read -r old; do in_use "$old" || mv "$old" "${old/root-/gone-}"; done
	fi
	use_root
	flock -u 9
	exec 9>&-
	# Takes minutes on a slow disk, and others may wait for the lock. What is left, the next run
	# removes.
	(rm -rf --one-file-system "$CACHE"/gone-* &) >/dev/null 2>&1
}
