// SPDX-License-Identifier: GPL-2.0
/*
 * preload.so: lets an unmodified program that opens /dev/fuse and mounts by itself use a driver with
 * other names.
 *
 *   FUSE_DEV=/dev/fuse_rs FUSE_FSTYPE=fuse_rs LD_PRELOAD=preload.so sshfs ...
 *
 * Types fuse.NAME, fuseblk and fuseblk.NAME change with it. Programs that are linked statically or
 * call fusermount3 are not reached.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *setting(const char *name, const char *fallback)
{
	const char *value = getenv(name);

	return value ? value : fallback;
}

static int open_renamed(const char *path, int flags, mode_t mode)
{
	if (path && !strcmp(path, "/dev/fuse"))
		path = setting("FUSE_DEV", "/dev/fuse");
	return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

#define OPEN(name)						\
int name(const char *path, int flags, ...)			\
{								\
	mode_t mode = 0;					\
	va_list arguments;					\
								\
	va_start(arguments, flags);				\
	if (flags & (O_CREAT | __O_TMPFILE))			\
		mode = va_arg(arguments, mode_t);		\
	va_end(arguments);					\
	return open_renamed(path, flags, mode);			\
}

OPEN(open)
OPEN(open64)

/* What fortified programs call. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);

int __open_2(const char *path, int flags)
{
	return open_renamed(path, flags, 0);
}

int __open64_2(const char *path, int flags)
{
	return open_renamed(path, flags, 0);
}

/* The name of the type as the driver has it: of fuse_rs, the block type is fuseblk_rs. */
static void rename_type(char *out, size_t size, const char *type)
{
	const char *ours = setting("FUSE_FSTYPE", "fuse"), *rest = type + strlen("fuse");
	const char *block = "";

	if (!strncmp(rest, "blk", 3)) {
		block = "blk";
		rest += 3;
	}
	snprintf(out, size, "fuse%s%s%s", block, ours + strlen("fuse"), rest);
}

int mount(const char *source, const char *target, const char *type, unsigned long flags,
	  const void *data)
{
	char renamed[64];

	if (type && !strncmp(type, "fuse", 4)) {
		rename_type(renamed, sizeof(renamed), type);
		type = renamed;
	}
	return syscall(SYS_mount, source, target, type, flags, data);
}
