// SPDX-License-Identifier: GPL-2.0
#include <fcntl.h>
#include <sys/sysmacros.h>
#include "mapped.h"

struct rawfs *fs;
struct worker w;
struct fuse_write_in wrote[RECORD_MAX];
int nwrote;

char old(size_t at)
{
	return 'A' + at / PAGE % 19;
}

char there(size_t at)
{
	return fs->node[NODE].data[at];
}

static bool number_handles(struct rawfs *server, struct rawfs_req *req)
{
	static uint64_t next = 100;
	struct fuse_open_out out = { .fh = next, .open_flags = server->open_flags };

	if (req->in.opcode != FUSE_OPEN)
		return false;
	next++;
	return reply(server, req, 0, &out, sizeof(out));
}

void prepare(uint64_t flags)
{
	fs = holding(rawfs_wanting(flags));
	unheld = number_handles;
}

void start(size_t size, int flags)
{
	rawfs_start(fs, "");
	for (size_t i = 0; i < size; i++)
		fs->node[NODE].data[i] = old(i);
	fs->node[NODE].size = size;
	w = another(flags, "file");
}

void start_mapped(size_t size)
{
	prepare(0);
	start(size, O_RDWR);
	CHECK_EQ(tell(&w, file_map, (size + PAGE - 1) / PAGE, RW), 0);
}

void stop(void)
{
	dismiss(&w);
	rawfs_stop(fs);
}

struct worker another(int flags, const char *name)
{
	struct worker other = worker(fs);

	CHECK_EQ(tell(&other, file_open, flags, (long)name), 0);
	return other;
}

void store(size_t at, char byte)
{
	CHECK_EQ(tell(&w, file_store, at, byte), 0);
}

void store_and_hold(size_t at, char byte)
{
	int before = held();

	hold(FUSE_WRITE);
	store(at, byte);
	CHECK_EQ(tell(&w, file_start, 0, 0), 0);
	EVENTUALLY(held() == before + 1);
}

const char *bdi(void)
{
	static char name[32];
	struct stat st;

	CHECK_EQ(stat(fs->mnt, &st), 0);
	snprintf(name, sizeof(name), "%u:%u", major(st.st_dev), minor(st.st_dev));
	return name;
}

static int by_offset(const void *a, const void *b)
{
	const struct fuse_write_in *x = a, *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

void look_at_writes(void)
{
	nwrote = 0;
	for (int i = 0; i < nseen; i++)
		if (seen[i].in.opcode == FUSE_WRITE)
			memcpy(&wrote[nwrote++], seen[i].body, sizeof(wrote[0]));
	qsort(wrote, nwrote, sizeof(wrote[0]), by_offset);
}

void was(int which, uint64_t offset, uint32_t size)
{
	CHECK(which < nwrote);
	CHECK_EQ(wrote[which].offset, offset);
	CHECK_EQ(wrote[which].size, size);
}
