// SPDX-License-Identifier: GPL-2.0
/* Servers with a block device (fuseblk): where files lie on it. */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/swap.h>
#include <linux/fs.h>
#include "record.h"

static struct rawfs *fs;

/* Where the first block of files lies; zero for nowhere. */
static uint64_t first_block;
static int bmap_error;

static bool serve_bmap(struct rawfs *server, struct rawfs_req *req)
{
	struct fuse_bmap_in *in = (void *)req->body;
	struct fuse_bmap_out out = { .block = first_block + in->block };

	if (req->in.opcode != FUSE_BMAP)
		return false;
	if (!first_block)
		out.block = 0;
	return reply(server, req, bmap_error, &out, bmap_error ? 0 : sizeof(out));
}

static void start(const char *more)
{
	fs = recording_fs();
	fs->attr_valid = fs->entry_valid = 1000;
	rawfs_start(fs, "");
	rawfs_stop(fs);
	special = serve_bmap;
	nseen = 0;
	rawfs_restart_on_disk(fs, more);
}

static int opened(int flags)
{
	int fd = open(rawfs_path(fs, "file"), flags);

	CHECK(fd >= 0);
	return fd;
}

TEST(the_server_knows_where_blocks_are)
{
	int fd, block = 3;

	start(",blksize=1024");
	first_block = 100;
	fd = opened(O_RDONLY);
	CHECK_EQ(ioctl(fd, FIBMAP, &block), 0);
	CHECK_EQ(block, 103);
	struct fuse_bmap_in *in = last(FUSE_BMAP);

	CHECK_EQ(in->block, 3);
	CHECK_EQ(in->blocksize, 1024);
	first_block = 0;
	CHECK_EQ(ioctl(fd, FIBMAP, &block), 0);
	CHECK_EQ(block, 0);
	bmap_error = EIO;
	first_block = 100;
	block = 3;
	CHECK_EQ(ioctl(fd, FIBMAP, &block), 0);
	CHECK_EQ(block, 0);
	close(fd);
	rawfs_stop(fs);
}

TEST(a_server_that_does_not_know_blocks_is_asked_once)
{
	int fd, block = 3;

	start("");
	bmap_error = ENOSYS;
	fd = opened(O_RDONLY);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(ioctl(fd, FIBMAP, &block), 0);
		CHECK_EQ(block, 0);
	}
	CHECK_EQ(fs->count[FUSE_BMAP], 1);
	close(fd);
	rawfs_stop(fs);
}

TEST(blocks_are_on_the_device)
{
	RS_ONLY("the C driver believes any number");
	int fd, block = 0;

	start("");
	fd = opened(O_RDONLY);
	/* A megabyte has 2048. */
	first_block = 2047;
	CHECK_EQ(ioctl(fd, FIBMAP, &block), 0);
	CHECK_EQ(block, 2047);
	block = 1;
	CHECK_EQ(ioctl(fd, FIBMAP, &block), 0);
	CHECK_EQ(block, 0);
	close(fd);
	rawfs_stop(fs);
}

TEST(without_a_device_nobody_is_asked)
{
	int fd, block = 3;

	fs = recording_fs();
	special = serve_bmap;
	first_block = 100;
	rawfs_start(fs, "");
	fd = opened(O_RDONLY);
	CHECK_EQ(ioctl(fd, FIBMAP, &block), 0);
	CHECK_EQ(block, 0);
	CHECK_EQ(fs->count[FUSE_BMAP], 0);
	close(fd);
	rawfs_stop(fs);
}

/* Makes the file one that swapon(2) takes: 64 pages. */
static void make_swap(void)
{
	struct {
		char boot[1024];
		uint32_t version, last_page, bad_pages;
		char uuid[16], name[16];
	} head = { .version = 1, .last_page = 63 };
	int fd = opened(O_RDWR);

	CHECK_EQ(ftruncate(fd, 256 * 1024), 0);
	CHECK_EQ(pwrite(fd, &head, sizeof(head), 0), sizeof(head));
	CHECK_EQ(pwrite(fd, "SWAPSPACE2", 10, 4086), 10);
	close(fd);
}

TEST(a_file_with_blocks_can_be_swap_space)
{
	int fd;

	start("");
	make_swap();
	first_block = 512;
	if (swapon(rawfs_path(fs, "file"), 0)) {
		if (errno == ENOSYS)
			SKIP("a kernel without swap");
		FAIL("swapon");
	}
	CHECK(fs->count[FUSE_BMAP] > 0);
	/* Nobody may change what it lies on. */
	fd = opened(O_RDWR);
	CHECK_ERR(pwrite(fd, "new", 3, 0), ETXTBSY);
	CHECK_ERR(ftruncate(fd, 0), ETXTBSY);
	close(fd);
	CHECK_EQ(swapoff(rawfs_path(fs, "file")), 0);
	fd = opened(O_RDWR);
	CHECK_EQ(pwrite(fd, "new", 3, 0), 3);
	close(fd);
	rawfs_stop(fs);
}

TEST(a_file_without_blocks_cannot_be_swap_space)
{
	start("");
	make_swap();
	first_block = 0;
	CHECK_ERR(swapon(rawfs_path(fs, "file"), 0), EINVAL);
	/* A server that does not know is the same. */
	bmap_error = ENOSYS;
	CHECK_ERR(swapon(rawfs_path(fs, "file"), 0), EINVAL);
	rawfs_stop(fs);
}
