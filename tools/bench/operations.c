// SPDX-License-Identifier: GPL-2.0
/* The rows, and what operations share. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "operations.h"

/*
 * auto, direct, valid, list, listcache, listplus, back and mapped are the mounts guest.sh makes; the
 * last two only for drivers with WRITEBACK_CACHE and writable shared mappings. On backcopy and
 * mappedcopy ours copies dirty pages at once. dax and daxsmall have a window, the latter one that is
 * smaller than the file.
 */
const struct operation operations[] = {
	{ "fstat", "auto", 200, 0, prepare_open, run_fstat, close_fd },
	{ "lookup miss", "auto", 200, 0, NULL, run_lookup_miss, NULL },
	{ "create+write 4 KiB+close", "auto", 50, 0, NULL, run_create, run_unlink },
	{ "unlink", "auto", 50, 0, run_create, run_unlink, NULL },
	{ "rename", "auto", 50, 0, prepare_one_file, run_rename, finish_one_file },
	{ "symlink", "auto", 50, 0, NULL, run_symlink, run_unlink },
	{ "xattr get", "auto", 200, 0, prepare_xattr, run_getxattr, close_fd },
	{ "readdir 10 000", "list", 1, 0, NULL, run_readdir, NULL },
	{ "readdir 10 000, cached", "listcache", 1, 0, run_readdir, run_readdir, NULL },
	{ "readdirplus 10 000", "listplus", 1, 0, NULL, run_readdir, NULL },
	{ "readdirplus 10 000, new", "listplus", 1, 1, prepare_drop_caches, run_readdir, NULL },
	{ "write 1 MiB", "auto", 8, 0, prepare_open, run_write_1m, close_fd },
	{ "read 1 MiB cold", "auto", 8, BIG_MIB, prepare_cold, run_read_1m, close_fd },
	{ "read 4 KiB cold, random", "auto", 200, 600, prepare_cold, run_read_scattered, close_fd },
	{ "read 4 KiB cached", "valid", 1000, 0, prepare_cached, run_read_4k, close_fd },
	{ "read 4 KiB cached, GETATTR", "auto", 200, 0, prepare_cached, run_read_4k, close_fd },
	{ "direct read 4 KiB", "direct", 200, 0, prepare_open, run_read_4k, close_fd },
	{ "direct write 4 KiB", "direct", 200, 0, prepare_open, run_write_4k, close_fd },
	{ "direct read 1 MiB", "direct", 8, 0, prepare_open, run_read_1m, close_fd },
	{ "direct write 1 MiB", "direct", 8, 0, prepare_open, run_write_1m, close_fd },
	{ "write-back 1 MiB, fsync", "back", 8, 0, prepare_cached, run_write_1m_fsync, close_fd },
	{ "write-back 64 times 4 KiB, fsync", "back", 8, 0, prepare_cached,
	  run_write_scattered_fsync, close_fd },
	{ "write-back create+write 4 KiB+close", "back", 50, 0, NULL, run_create, run_unlink },
	{ "mapped stores to 256 pages, msync", "mapped", 8, 0, prepare_mapped, run_store_msync,
	  close_fd },
	{ "write-back 1 MiB, copied", "backcopy", 8, 0, prepare_cached, run_write_1m_fsync, close_fd },
	{ "write-back 64 times 4 KiB, copied", "backcopy", 8, 0, prepare_cached,
	  run_write_scattered_fsync, close_fd },
	{ "mapped stores, copied", "mappedcopy", 8, 0, prepare_mapped, run_store_msync, close_fd },
	{ "copy 1 MiB, warm", "dax", 8, 0, prepare_copy, run_copy_1m, NULL },
	{ "DAX read 1 MiB, warm", "dax", 8, 0, prepare_cached, run_read_1m, close_fd },
	{ "DAX write 1 MiB, warm", "dax", 8, 0, prepare_cached, run_write_1m, close_fd },
	{ "DAX read 4 KiB, warm", "dax", 200, 0, prepare_cached, run_read_4k, close_fd },
	{ "DAX write 4 KiB, warm", "dax", 200, 0, prepare_cached, run_write_4k, close_fd },
	{ "DAX read 1 MiB, cold", "dax", 8, BIG_MIB, prepare_open_new, run_read_1m, close_fd },
	{ "DAX write 1 MiB, cold", "dax", 8, BIG_MIB, prepare_open_new, run_write_1m, close_fd },
	{ "DAX 64 MiB mapped, cold", "dax", 1, 1, prepare_mapped_huge, run_look_at_pages, close_fd },
	{ "DAX read 4 KiB, random, cold", "daxsmall", 200, 0, prepare_huge, run_read_all_over,
	  close_fd },
	{ NULL },
};

void check(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

const char *name_of(const struct worker *w, char kind, int i)
{
	static char names[2][8];
	static int turn;
	char *name = names[turn ^= 1];

	name[0] = kind;
	name[1] = '0' + w->id;
	for (int at = 6; at > 1; at--, i /= 10)
		name[at] = '0' + i % 10;
	return name;
}

void open_big(struct worker *w, int flags)
{
	char name[8];

	snprintf(name, sizeof(name), "big%d", w->id);
	w->fd = openat(w->dir, name, flags);
	check(w->fd >= 0, "open");
}

void close_fd(struct worker *w, int n)
{
	close(w->fd);
}
