// SPDX-License-Identifier: GPL-2.0
/* Operations on names, attributes and directories. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "operations.h"

void run_fstat(struct worker *w, int n)
{
	struct stat st;

	for (int i = 0; i < n; i++)
		check(!fstat(w->fd, &st), "fstat");
}

void run_lookup_miss(struct worker *w, int n)
{
	struct stat st;

	for (int i = 0; i < n; i++)
		check(fstatat(w->dir, name_of(w, 'm', i), &st, 0), "stat found a missing file");
}

void run_create(struct worker *w, int n)
{
	for (int i = 0; i < n; i++) {
		int fd = openat(w->dir, name_of(w, 'n', i), O_CREAT | O_EXCL | O_WRONLY, 0644);

		check(write(fd, w->buf, 4096) == 4096, "write");
		close(fd);
	}
}

void run_unlink(struct worker *w, int n)
{
	for (int i = 0; i < n; i++)
		check(!unlinkat(w->dir, name_of(w, 'n', i), 0), "unlink");
}

void prepare_one_file(struct worker *w, int n)
{
	run_create(w, 1);
}

void finish_one_file(struct worker *w, int n)
{
	run_unlink(w, 1);
}

/* There and back; `n` is even. */
void run_rename(struct worker *w, int n)
{
	for (int i = 0; i < n; i++)
		check(!renameat(w->dir, name_of(w, 'n', i % 2), w->dir, name_of(w, 'n', !(i % 2))),
		      "rename");
}

void run_symlink(struct worker *w, int n)
{
	for (int i = 0; i < n; i++)
		check(!symlinkat("target", w->dir, name_of(w, 'n', i)), "symlink");
}

void prepare_xattr(struct worker *w, int n)
{
	open_big(w, O_RDWR);
	check(!fsetxattr(w->fd, "user.bench", "0123456789abcdef", 16, 0), "fsetxattr");
}

void run_getxattr(struct worker *w, int n)
{
	char value[64];

	for (int i = 0; i < n; i++)
		check(fgetxattr(w->fd, "user.bench", value, sizeof(value)) == 16, "fgetxattr");
}

void run_readdir(struct worker *w, int n)
{
	for (int i = 0; i < n; i++) {
		int entries = 0;
		DIR *d = fdopendir(openat(w->dir, ".", O_RDONLY | O_DIRECTORY));

		while (readdir(d))
			entries++;
		closedir(d);
		check(entries == 10002, "entries of the directory");
	}
}

/* So that dentries and inodes have to be made. */
void prepare_drop_caches(struct worker *w, int n)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);

	check(fd >= 0 && write(fd, "2", 1) == 1, "drop_caches");
	close(fd);
}
