// SPDX-License-Identifier: GPL-2.0
/* Replies no server may send harm only themselves. */
#include <fcntl.h>
#include <sys/mount.h>
#include "rawfs.h"

struct setup {
	struct rawfs *fs;
	struct rawfs_req *req;
	struct fuse_entry_out entry;
	pid_t pid;
};

/* A LOOKUP of a child's has been read and waits for its answer. */
static struct setup begin(void)
{
	struct setup s = { rawfs_new(), calloc(1, sizeof(struct rawfs_req)), {}, 0 };

	rawfs_start_manual(s.fs, "");
	rawfs_handshake(s.fs);
	s.pid = stat_in_child(s.fs, "file");
	rawfs_expect(s.fs, s.req, FUSE_LOOKUP);
	s.fs->attr_valid = 100;
	rawfs_entry(s.fs, 2, &s.entry);
	return s;
}

/* The request is still answered properly, and the server goes on. */
static void end_well(struct setup *s)
{
	struct stat st;

	CHECK(rawfs_reply(s->fs->fd, s->req->in.unique, 0, &s->entry, sizeof(s->entry)) > 0);
	CHECK_EQ(exit_of(s->pid), 0);
	rawfs_serve(s->fs);
	CHECK_EQ(stat(rawfs_path(s->fs, "file"), &st), 0);
	rawfs_stop(s->fs);
}

/* The request has failed with EIO, and the server goes on. */
static void end_eio(struct setup *s)
{
	struct stat st;

	CHECK_EQ(exit_of(s->pid), EIO);
	rawfs_serve(s->fs);
	CHECK_EQ(stat(rawfs_path(s->fs, "file"), &st), 0);
	rawfs_stop(s->fs);
}

TEST(wrong_unique)
{
	struct setup s = begin();

	CHECK_ERR(rawfs_reply(s.fs->fd, s.req->in.unique + 2, 0, &s.entry, sizeof(s.entry)), ENOENT);
	CHECK_ERR(rawfs_reply(s.fs->fd, 1ull << 62, 0, &s.entry, sizeof(s.entry)), ENOENT);
	end_well(&s);
}

TEST(short_header)
{
	struct setup s = begin();
	struct fuse_out_header out = { .len = 8, .unique = s.req->in.unique };

	CHECK_ERR(write(s.fs->fd, &out, 8), EINVAL);
	CHECK_ERR(write(s.fs->fd, &out, 15), EINVAL);
	end_well(&s);
}

TEST(length_that_lies)
{
	struct setup s = begin();
	struct {
		struct fuse_out_header out;
		struct fuse_entry_out entry;
	} m = { { .len = sizeof(m) + 1, .unique = s.req->in.unique }, s.entry };

	CHECK_ERR(write(s.fs->fd, &m, sizeof(m)), EINVAL);
	m.out.len = UINT32_MAX;
	CHECK_ERR(write(s.fs->fd, &m, sizeof(m)), EINVAL);
	m.out.len = 0;
	CHECK_ERR(write(s.fs->fd, &m, sizeof(m)), EINVAL);
	end_well(&s);
}

TEST(errno_out_of_range)
{
	struct setup s = begin();

	CHECK_ERR(rawfs_reply(s.fs->fd, s.req->in.unique, -5, NULL, 0), EINVAL);
	CHECK_ERR(rawfs_reply(s.fs->fd, s.req->in.unique, 512, NULL, 0), EINVAL);
	CHECK_ERR(rawfs_reply(s.fs->fd, s.req->in.unique, 4096, NULL, 0), EINVAL);
	end_well(&s);
}

TEST(largest_errno)
{
	struct setup s = begin();

	CHECK(rawfs_reply(s.fs->fd, s.req->in.unique, 133, NULL, 0) > 0);
	CHECK_EQ(exit_of(s.pid), 133);
	rawfs_serve(s.fs);
	rawfs_stop(s.fs);
}

TEST(body_too_long)
{
	struct setup s = begin();
	char body[300] = {};

	memcpy(body, &s.entry, sizeof(s.entry));
	CHECK_ERR(rawfs_reply(s.fs->fd, s.req->in.unique, 0, body, sizeof(body)), EINVAL);
	end_eio(&s);
}

TEST(body_too_short)
{
	struct setup s = begin();

	CHECK_ERR(rawfs_reply(s.fs->fd, s.req->in.unique, 0, &s.entry, 100), EINVAL);
	end_eio(&s);
}

TEST(no_body)
{
	struct setup s = begin();

	CHECK_ERR(rawfs_reply(s.fs->fd, s.req->in.unique, 0, NULL, 0), EINVAL);
	end_eio(&s);
}

TEST(error_with_a_body)
{
	struct setup s = begin();

	CHECK_ERR(rawfs_reply(s.fs->fd, s.req->in.unique, ENOENT, &s.entry, sizeof(s.entry)),
		  EINVAL);
	end_eio(&s);
}

TEST(doubled)
{
	struct setup s = begin();
	uint64_t unique = s.req->in.unique;

	CHECK(rawfs_reply(s.fs->fd, unique, 0, &s.entry, sizeof(s.entry)) > 0);
	CHECK_ERR(rawfs_reply(s.fs->fd, unique, 0, &s.entry, sizeof(s.entry)), ENOENT);
	CHECK_EQ(exit_of(s.pid), 0);
	rawfs_serve(s.fs);
	rawfs_stop(s.fs);
}

TEST(before_it_was_read)
{
	struct setup s = begin();
	pid_t pid = fork();
	struct stat st;

	if (pid == 0)
		_exit(stat(rawfs_path(s.fs, "dir"), &st) ? errno : 0);
	usleep(200000);
	/* The next request of the connection has the next id. */
	for (int i = 1; i < 8; i++)
		CHECK_ERR(rawfs_reply(s.fs->fd, s.req->in.unique + 2 * i, 0, &s.entry,
				      sizeof(s.entry)),
			  ENOENT);
	CHECK(rawfs_reply(s.fs->fd, s.req->in.unique, 0, &s.entry, sizeof(s.entry)) > 0);
	rawfs_serve(s.fs);
	CHECK_EQ(exit_of(s.pid), 0);
	CHECK_EQ(exit_of(pid), 0);
	rawfs_stop(s.fs);
}

TEST(after_the_caller_was_killed)
{
	struct setup s;

	RS_ONLY("C does not let a caller go whose request is with the server");
	s = begin();
	kill_child(s.pid);
	/* The late reply is taken, and the lookup in it given back. */
	CHECK(rawfs_reply(s.fs->fd, s.req->in.unique, 0, &s.entry, sizeof(s.entry)) > 0);
	rawfs_expect(s.fs, s.req, FUSE_FORGET);
	CHECK_EQ(s.req->in.nodeid, 2);
	rawfs_serve(s.fs);
	rawfs_stop(s.fs);
}

TEST(bad_source_memory)
{
	struct setup s = begin();

	CHECK_ERR(write(s.fs->fd, nowhere, 144), EFAULT);
	end_well(&s);
}

static struct fuse_entry_out bad_entry;

static bool answer_badly(struct rawfs *fs, struct rawfs_req *req)
{
	if (req->in.opcode != FUSE_LOOKUP || strcmp(req->body, "bad"))
		return false;
	rawfs_reply(fs->fd, req->in.unique, 0, &bad_entry, sizeof(bad_entry));
	return true;
}

static void bad_lookup(void (*spoil)(struct fuse_entry_out *))
{
	struct rawfs *fs = rawfs_new();
	struct stat st;

	fs->hook = answer_badly;
	rawfs_start(fs, "");
	rawfs_entry(fs, 2, &bad_entry);
	spoil(&bad_entry);
	CHECK_ERR(stat(rawfs_path(fs, "bad"), &st), EIO);
	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
	rawfs_stop(fs);
}

static void no_type(struct fuse_entry_out *e)
{
	e->attr.mode = 0644;
}

TEST(entry_without_a_type)
{
	bad_lookup(no_type);
}

static void huge(struct fuse_entry_out *e)
{
	e->attr.size = 1ull << 63;
}

TEST(entry_with_a_negative_size)
{
	bad_lookup(huge);
}

static void root(struct fuse_entry_out *e)
{
	e->nodeid = 1;
	e->attr.mode = S_IFDIR | 0755;
}

TEST(entry_that_is_the_root)
{
	bad_lookup(root);
}

static bool answer_long(struct rawfs *fs, struct rawfs_req *req)
{
	static char big[RAWFS_DATA];
	struct fuse_read_in *in = (void *)req->body;

	if (req->in.opcode != FUSE_READ)
		return false;
	if (rawfs_reply(fs->fd, req->in.unique, 0, big, in->size + 1) == -1 && errno == EINVAL)
		fs->arg = fs;
	return true;
}

TEST(more_data_than_asked_for)
{
	struct rawfs *fs = rawfs_new();
	char buf[64];
	int fd;

	fs->hook = answer_long;
	rawfs_start(fs, "");
	fd = open(rawfs_path(fs, "file"), O_RDONLY);
	CHECK(fd >= 0);
	CHECK_ERR(read(fd, buf, sizeof(buf)), EIO);
	CHECK(fs->arg);
	close(fd);
	rawfs_stop(fs);
}

static bool write_too_much(struct rawfs *fs, struct rawfs_req *req)
{
	struct fuse_write_out out = { .size = UINT32_MAX };

	if (req->in.opcode != FUSE_WRITE)
		return false;
	rawfs_reply(fs->fd, req->in.unique, 0, &out, sizeof(out));
	return true;
}

TEST(more_written_than_sent)
{
	struct rawfs *fs = rawfs_new();
	int fd;

	fs->hook = write_too_much;
	rawfs_start(fs, "");
	fd = open(rawfs_path(fs, "file"), O_WRONLY);
	CHECK_ERR(write(fd, "abc", 3), EIO);
	close(fd);
	rawfs_stop(fs);
}
