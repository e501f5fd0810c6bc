// SPDX-License-Identifier: GPL-2.0
/*
 * listing [-o plus] [-o cache] [libfuse options] MOUNTPOINT: a server of one directory of 10 000
 * files. Its replies to READDIR are made beforehand, so that what a listing costs is what the kernel
 * does. With -o plus it has READDIRPLUS and nothing else, without it only READDIR. With -o cache the
 * kernel may keep the listing.
 */
#define FUSE_USE_VERSION 312
#include <errno.h>
#include <fuse_lowlevel.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILES 10000
#define ENTRIES (FILES + 2)
#define VALID 3600.0

static char *listing;
/* Where each entry starts; the last is the end. */
static size_t start[ENTRIES + 1];

static struct stat attr_of(fuse_ino_t ino)
{
	return (struct stat) {
		.st_ino = ino,
		.st_mode = ino == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0644,
		.st_nlink = 1,
	};
}

static struct fuse_entry_param entry_of(fuse_ino_t ino)
{
	return (struct fuse_entry_param) {
		.ino = ino,
		.attr = attr_of(ino),
		.attr_timeout = VALID,
		.entry_timeout = VALID,
	};
}

static void make_listing(int plus)
{
	/* Names of this length make entries of less than 256 bytes. */
	size_t size = ENTRIES * 256;

	listing = calloc(1, size);
	if (!listing)
		abort();
	for (int i = 0; i < ENTRIES; i++) {
		char name[16];
		fuse_ino_t ino = i < 2 ? FUSE_ROOT_ID : i;
		struct fuse_entry_param e = entry_of(ino);
		char *p = listing + start[i];
		size_t left = size - start[i];

		if (i < 2)
			strcpy(name, i ? ".." : ".");
		else
			snprintf(name, sizeof(name), "file%05d", i - 2);
		/* Of these two the kernel takes no inode. */
		if (i < 2)
			e.ino = 0;
		start[i + 1] = start[i] +
			(plus ? fuse_add_direntry_plus(NULL, p, left, name, &e, i + 1) :
				fuse_add_direntry(NULL, p, left, name, &e.attr, i + 1));
	}
}

static void do_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	unsigned int i;
	struct fuse_entry_param e;

	if (sscanf(name, "file%05u", &i) != 1 || i >= FILES) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	e = entry_of(i + 2);
	fuse_reply_entry(req, &e);
}

static void do_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat attr = attr_of(ino);

	fuse_reply_attr(req, &attr, VALID);
}

static void do_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fi->cache_readdir = 1;
	fi->keep_cache = 1;
	fuse_reply_open(req, fi);
}

static void do_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	int end = off;

	while (end < ENTRIES && start[end + 1] - start[off] <= size)
		end++;
	fuse_reply_buf(req, listing + start[off], start[end] - start[off]);
}

static struct fuse_lowlevel_ops ops = {
	.lookup = do_lookup,
	.getattr = do_getattr,
};

int main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	struct {
		int plus, cache;
	} given = { 0 };
	const struct fuse_opt opts[] = {
		{ "plus", offsetof(typeof(given), plus), 1 },
		{ "cache", offsetof(typeof(given), cache), 1 },
		FUSE_OPT_END,
	};
	struct fuse_cmdline_opts cmdline;
	struct fuse_session *session;
	int ret;

	if (fuse_opt_parse(&args, &given, opts, NULL) || fuse_parse_cmdline(&args, &cmdline))
		return 2;
	make_listing(given.plus);
	if (given.cache)
		ops.opendir = do_opendir;
	if (given.plus)
		ops.readdirplus = do_readdir;
	else
		ops.readdir = do_readdir;
	session = fuse_session_new(&args, &ops, sizeof(ops), NULL);
	if (!session || fuse_session_mount(session, cmdline.mountpoint) ||
	    fuse_daemonize(cmdline.foreground))
		return 1;
	ret = fuse_session_loop(session);
	fuse_session_unmount(session);
	fuse_session_destroy(session);
	return ret;
}
