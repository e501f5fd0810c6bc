# SPDX-License-Identifier: GPL-2.0
# fuse_rs: what people type. Kbuild is what the kernel's build system reads.

KDIR ?= /lib/modules/$(shell uname -r)/build
LAB := tools/lab/lab
SHELL := /bin/bash -o pipefail
HOST_TARGET := $(CURDIR)/build/host-tests

.PHONY: all check-kdir install demo test vm bench bench-build bench-inflight bench-smp bench-virtiofs bench-dax profile conformance \
	containment dax-device-test rustdoc \
	clippy fmt fmt-check check host-test module selftest selftest-build samples clean help

all: check-kdir
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules

# Says what is missing before the kernel's build system fails in its own words.
check-kdir:
	@tools/check-kdir '$(KDIR)'

# modules_install runs depmod only if the build directory has a System.map; headers have none.
RELEASE = $(shell cat '$(KDIR)/include/config/kernel.release')

install: all
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules_install
	depmod $(if $(INSTALL_MOD_PATH),-b '$(INSTALL_MOD_PATH)') $(RELEASE)
	@echo "Installed for kernel $(RELEASE)$(if $(INSTALL_MOD_PATH), under $(INSTALL_MOD_PATH))."
	@echo "There, 'modprobe fuse_rs' loads it. To have it in place of the built-in FUSE, boot with"
	@echo "  initcall_blacklist=fuse_init,virtio_fs_init"

# --- everything below runs in the lab: any machine with root and a network -------------------

module:
	$(LAB) make modules

# Demo and conformance on a checking kernel: make demo KERNEL=kasan
KERNEL ?=
ON_KERNEL = $(if $(KERNEL),--kernel $(KERNEL))

# All daemons, or some: make demo DAEMONS='bindfs sshfs'
DAEMONS ?=
# What the daemons work on.
DEMO_TREE := fs/ext4 fs/fuse fs/nfs fs/overlayfs fs/proc fs/xfs rust/kernel rust/macros rust/pin-init

demo: module
	@mkdir -p build
	$(LAB) enter tar -C /k/tree -cf /fuse_rs/build/demo.tar --exclude='*.o' --exclude='*.rmeta' --exclude='*.so' $(DEMO_TREE)
	VM_TIMEOUT=$${VM_TIMEOUT:-3600} $(LAB) vm $(ON_KERNEL) bash tools/demo/guest.sh $(DAEMONS)

test:
	tools/lab/run-tests

# One selftest: make selftest T=test_mount
selftest: module selftest-build
	$(LAB) vm tools/testing/selftests/fuse_rs/$(T)

selftest-build:
	$(LAB) enter make -s -C tools/testing/selftests/fuse_rs

samples:
	$(LAB) enter make -s -C samples/hello
	CARGO_TARGET_DIR=$(CURDIR)/build/samples cargo build --release -q --manifest-path samples/memfs/Cargo.toml

# A shell, or one command: make vm CMD='…'
CMD ?= bash -i
# Through the environment and unexpanded, whatever quotes, dollars and line ends are in it.
vm: export VM_COMMAND = $(value CMD)
vm: module
	$(LAB) vm "$$VM_COMMAND"

bench-build: module
	$(LAB) enter make -s -C tools/bench
	$(LAB) enter make -s -C tools/beside

bench: bench-build
	@mkdir -p build/results
	$(LAB) vm --beside --icount bash tools/bench/guest.sh /fuse_rs/build/results/bench.tsv
	tools/bench/report.py build/results/bench.tsv build/results

bench-smp: bench-build
	@mkdir -p build/results
	$(LAB) vm --beside bash tools/bench/guest.sh /fuse_rs/build/results/bench-smp.tsv -w 2 -x 3
	tools/bench/report.py --throughput build/results/bench-smp.tsv build/results

# The same on virtio-fs devices, whose servers are outside the VM: instructions are counted one by one.
bench-virtiofs: bench-build
	@mkdir -p build/results
	VM_CPUS=1 $(LAB) vm --beside --plugin /fuse_rs/tools/bench/blocks.so,out=/fuse_rs/build/results/blocks \
		$(foreach d,c r,--virtiofs $d-auto=/srv/$d/auto,cache=auto,xattr \
			--virtiofs $d-valid=/srv/$d/valid,cache=always \
			--virtiofs $d-direct=/srv/$d/direct,cache=never \
			--virtiofs $d-back=/srv/$d/back,cache=always,writeback) \
		bash tools/bench/virtiofs.sh /fuse_rs/build/results/virtiofs.tsv $(if $(OP),-o "'$(OP)'")
	tools/bench/counted.py build/results virtiofs.tsv >build/results/virtiofs-counted.tsv
	tools/bench/report.py --virtiofs build/results/virtiofs-counted.tsv build/results

# Through a DAX window. Copies are counted byte by byte, for which -icount is needed; what waits for the
# device is counted as above.
BENCH_DAX = $(foreach d,c r,--dax $d-dax=/srv/$d/dax,window=128M --dax $d-daxsmall=/srv/$d/daxsmall,window=16M)

bench-dax: bench-build
	@mkdir -p build/results
	VM_CPUS=1 $(LAB) vm --beside --icount --plugin /fuse_rs/tools/bench/blocks.so,out=/fuse_rs/build/results/blocks \
		$(BENCH_DAX) bash tools/bench/virtiofs.sh /fuse_rs/build/results/dax-warm.tsv -o "'*, warm'"
	tools/bench/counted.py build/results dax-warm.tsv >build/results/dax.tsv
	VM_CPUS=1 $(LAB) vm --beside --plugin /fuse_rs/tools/bench/blocks.so,out=/fuse_rs/build/results/blocks \
		$(BENCH_DAX) bash tools/bench/virtiofs.sh /fuse_rs/build/results/dax-cold.tsv -o "'DAX *, cold'"
	tools/bench/counted.py build/results dax-cold.tsv >>build/results/dax.tsv
	tools/bench/report.py --dax build/results/dax.tsv build/results

bench-inflight: bench-build
	@mkdir -p build/results
	$(LAB) enter make -s -C tools/containment
	VM_MEMORY=3G $(LAB) vm --beside --icount bash tools/bench/inflight.sh /fuse_rs/build/results/inflight.tsv
	tools/bench/report.py --flat build/results/inflight.tsv build/results

# Where the instructions of each row of the bench go, or of one: make profile OP='fstat'
OP ?=
profile: bench-build
	@mkdir -p build/results
	$(LAB) vm --beside --icount \
		--plugin /fuse_rs/tools/bench/blocks.so,out=/fuse_rs/build/results/blocks \
		bash tools/bench/guest.sh /fuse_rs/build/results/profile.tsv -r 1 $(if $(OP),-o "'$(OP)'")
	tools/bench/profile.py build/results

# Both drivers in one boot, or ours alone on a checking kernel; PARTS='fsx' for one of them
PARTS ?= $(if $(KERNEL),--short pjdfstest fsx)
conformance: module
	tools/conformance/run $(ON_KERNEL) $(PARTS)

# What a stopped server holds up, both drivers in one boot; STEPS=--short for a few steps on ours alone
STEPS ?=
containment: module
	tools/containment/run $(STEPS)

# tools/dax-device: its parts, and with the built-in driver
dax-device-test:
	tools/dax-device/test

# The kernel's header, for the test of the wire format; touched only when it differs.
UAPI := build/uapi_fuse.rs

host-test:
	@mkdir -p build
	$(LAB) enter bindgen /k/tree/include/uapi/linux/fuse.h --no-layout-tests --no-doc-comments \
		--allowlist-file '.*/uapi/linux/fuse\.h' -o $(UAPI).new
	@if cmp -s $(UAPI).new $(UAPI); then rm $(UAPI).new; else mv $(UAPI).new $(UAPI); fi
	cd tools/host-tests && CARGO_TARGET_DIR=$(HOST_TARGET) cargo test --features uapi

clippy:
	$(LAB) enter sh -c 'find fuse_rs -name "*.o" -delete'
	@mkdir -p build
	$(LAB) make CLIPPY=1 modules 2>&1 | tee build/clippy.log
	@! grep -qE '^(warning|error)' build/clippy.log || { echo 'clippy: there are warnings'; exit 1; }
	$(LAB) enter sh -c 'find fuse_rs -name "*.o" -delete'

RUST_FILES = $(shell git ls-files "fuse_rs/*.rs" "samples/*.rs" "tools/dax-device/*.rs")

fmt:
	$(LAB) enter rustfmt --edition 2021 --config-path /k/tree/.rustfmt.toml $(RUST_FILES)

fmt-check:
	$(LAB) enter rustfmt --check --edition 2021 --config-path /k/tree/.rustfmt.toml $(RUST_FILES)

check:
	tools/check-sources
	tools/check-sources --self-test
	tools/check-rules
	tools/lab/check-dmesg --self-test
	tools/lab/count-results --self-test
	tools/lab/check-panics --self-test

rustdoc: module
	$(LAB) enter tools/rustdoc

clean:
	rm -rf build
	find . -path ./.git -prune -o \( -name '*.o' -o -name '*.ko' -o -name '*.mod' -o -name '*.mod.c' \
		-o -name '.*.cmd' -o -name '*.rmeta' -o -name '*.d' -o -name modules.order \
		-o -name Module.symvers -o -name bindings_generated.rs \) -print0 | xargs -0 rm -f
	-$(MAKE) -s -C tools/testing/selftests/fuse_rs clean
	-$(MAKE) -s -C samples/hello clean
	-$(MAKE) -s -C tools/bench clean
	-$(MAKE) -s -C tools/beside clean
	-$(MAKE) -s -C tools/containment clean
	-$(MAKE) -s -C tools/stress clean

help:
	@sed -n 's/^\([a-z-]*\):.*/\1/p' Makefile | sort -u | tr '\n' ' '; echo
