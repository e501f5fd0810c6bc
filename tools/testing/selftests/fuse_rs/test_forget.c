// SPDX-License-Identifier: GPL-2.0
/* Lookups are given back, in batches where the server knows them. */
#include <fcntl.h>
#include <sys/mount.h>
#include "rawfs.h"

static void many_lookups(struct rawfs *fs)
{
	char name[32];

	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		int fd = open(rawfs_path(fs, name), O_CREAT | O_WRONLY, 0644);

		CHECK(fd >= 0);
		close(fd);
	}
	for (int i = 0; i < 200; i++) {
		struct stat st;

		snprintf(name, sizeof(name), "f%d", i);
		CHECK_EQ(stat(rawfs_path(fs, name), &st), 0);
	}
}

static void sum_up(uint32_t minor, bool batches)
{
	struct rawfs *fs = rawfs_new();

	fs->init_out = (struct fuse_init_out){ .major = 7,
					       .minor = minor,
					       .max_write = 65536,
					       .flags = FUSE_BIG_WRITES };
	rawfs_start(fs, "");
	many_lookups(fs);
	CHECK(fs->looked_up >= 400);
	drop_caches("2");
	EVENTUALLY(fs->forgotten == fs->looked_up);
	for (uint64_t i = 2; i < RAWFS_NODES; i++)
		CHECK_EQ(fs->node[i].nlookup, 0);
	if (batches)
		CHECK(fs->count[FUSE_BATCH_FORGET] > 0);
	else
		CHECK_EQ(fs->count[FUSE_BATCH_FORGET], 0);
	rawfs_stop(fs);
}

TEST(lookups_and_forgets_add_up)
{
	sum_up(31, true);
}

TEST(old_servers_get_single_forgets)
{
	sum_up(15, false);
}

TEST(open_files_keep_their_lookups)
{
	struct rawfs *fs = rawfs_new();
	int fd;

	rawfs_start(fs, "");
	fd = open(rawfs_path(fs, "file"), O_RDONLY);
	CHECK(fd >= 0);
	drop_caches("2");
	usleep(100000);
	CHECK(fs->node[2].nlookup > 0);
	close(fd);
	drop_caches("2");
	EVENTUALLY(fs->node[2].nlookup == 0);
	rawfs_stop(fs);
}

TEST(requests_get_their_turn_among_forgets)
{
	static struct rawfs_req req;
	struct rawfs *fs = rawfs_new();
	int forgets = 0;
	pid_t pid;

	fs->init_out = (struct fuse_init_out){ .major = 7,
					       .minor = 15,
					       .max_write = 65536,
					       .flags = FUSE_BIG_WRITES };
	rawfs_start_manual(fs, "");
	rawfs_handshake(fs);
	pid = fork();
	if (pid == 0) {
		struct stat st;

		many_lookups(fs);
		drop_caches("2");
		_exit(stat(rawfs_path(fs, "file"), &st) ? 1 : 0);
	}
	/* Serve until the forgets begin; then count how many come before the request. */
	while (rawfs_read(fs->fd, &req)) {
		if (req.in.opcode == FUSE_FORGET) {
			if (!forgets)
				usleep(300000); /* let everything queue up */
			forgets++;
		} else if (forgets) {
			break;
		}
		rawfs_default(fs, &req);
	}
	CHECK_EQ(req.in.opcode, FUSE_LOOKUP);
	CHECK(forgets <= 32);
	rawfs_default(fs, &req);
	rawfs_serve(fs);
	int status;

	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	rawfs_stop(fs);
}
