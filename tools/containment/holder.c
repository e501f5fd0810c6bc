// SPDX-License-Identifier: GPL-2.0
/*
 * holder [-o writeback] [libfuse options] MOUNTPOINT: a server that keeps WRITEs.
 *
 *   data     a file of a GiB of zeroes; what is written to it is dropped
 *   control  not cached. What is written to it: `hold`, from then on no WRITE of data is answered;
 *            `stop N`, the same, and with the Nth the server stops (SIGSTOP); `release`, all are
 *            answered. What is read from it: the number of WRITEs it holds, and `writeback` if the
 *            driver has that and it was asked for.
 */
#define FUSE_USE_VERSION 312
#include <errno.h>
#include <fuse_lowlevel.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE (1l << 30)
#define VALID 3600.0

enum { DATA = FUSE_ROOT_ID + 1, CONTROL };

static const char *const names[] = { [DATA] = "data", [CONTROL] = "control" };

struct held {
	fuse_req_t req;
	size_t size;
};

static struct held *held;
static size_t held_count, held_room;
/* The number of held WRITEs at which to stop; 0 for never. */
static size_t stop_at;
static bool holding;
static struct {
	int wanted;
	bool granted;
} writeback;

static struct stat attr_of(fuse_ino_t ino)
{
	return (struct stat) {
		.st_ino = ino,
		.st_mode = ino == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0644,
		.st_nlink = 1,
		.st_size = ino == DATA ? SIZE : 0,
		.st_blksize = 4096,
	};
}

static void do_init(void *userdata, struct fuse_conn_info *conn)
{
	conn->no_interrupt = 1;
	writeback.granted = writeback.wanted &&
			    fuse_set_feature_flag(conn, FUSE_CAP_WRITEBACK_CACHE);
}

static void do_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = { .attr_timeout = VALID, .entry_timeout = VALID };

	for (fuse_ino_t ino = DATA; ino <= CONTROL; ino++)
		if (!strcmp(name, names[ino])) {
			e.ino = ino;
			e.attr = attr_of(ino);
			fuse_reply_entry(req, &e);
			return;
		}
	fuse_reply_err(req, ENOENT);
}

static void do_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat attr = attr_of(ino);

	fuse_reply_attr(req, &attr, VALID);
}

static void do_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		       struct fuse_file_info *fi)
{
	do_getattr(req, ino, fi);
}

static void do_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fi->direct_io = ino == CONTROL;
	fi->keep_cache = 1;
	fuse_reply_open(req, fi);
}

static void do_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	static const char zeroes[1 << 20];
	char text[64];
	int len;

	if (ino == DATA) {
		fuse_reply_buf(req, zeroes, size < sizeof(zeroes) ? size : sizeof(zeroes));
		return;
	}
	len = snprintf(text, sizeof(text), "%zu %s\n", held_count,
		       writeback.granted ? "writeback" : "");
	fuse_reply_buf(req, text, off ? 0 : len);
}

static void hold(fuse_req_t req, size_t size)
{
	if (held_count == held_room) {
		held_room = held_room ? 2 * held_room : 1024;
		held = realloc(held, held_room * sizeof(*held));
		if (!held)
			abort();
	}
	held[held_count++] = (struct held) { req, size };
	if (held_count == stop_at)
		raise(SIGSTOP);
}

static void control(const char *what, size_t size)
{
	char text[32];

	snprintf(text, sizeof(text), "%.*s", (int)size, what);
	stop_at = 0;
	holding = sscanf(text, "stop %zu", &stop_at) == 1 || !strcmp(text, "hold");
	if (holding)
		return;
	for (size_t i = 0; i < held_count; i++)
		fuse_reply_write(held[i].req, held[i].size);
	held_count = 0;
}

static void do_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	if (ino == DATA && holding) {
		hold(req, size);
		return;
	}
	if (ino == CONTROL)
		control(buf, size);
	fuse_reply_write(req, size);
}

static void do_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	fuse_reply_err(req, 0);
}

static const struct fuse_lowlevel_ops ops = {
	.init = do_init,
	.lookup = do_lookup,
	.getattr = do_getattr,
	.setattr = do_setattr,
	.open = do_open,
	.read = do_read,
	.write = do_write,
	.fsync = do_fsync,
};

int main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	const struct fuse_opt opts[] = {
		{ "writeback", 0, 1 },
		FUSE_OPT_END,
	};
	struct fuse_cmdline_opts cmdline;
	struct fuse_session *session;
	int ret;

	if (fuse_opt_parse(&args, &writeback.wanted, opts, NULL) ||
	    fuse_parse_cmdline(&args, &cmdline))
		return 2;
	session = fuse_session_new(&args, &ops, sizeof(ops), NULL);
	if (!session || fuse_session_mount(session, cmdline.mountpoint) ||
	    fuse_daemonize(cmdline.foreground))
		return 1;
	ret = fuse_session_loop(session);
	fuse_session_unmount(session);
	fuse_session_destroy(session);
	return ret;
}
