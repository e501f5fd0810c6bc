// SPDX-License-Identifier: GPL-2.0
/* Dirty pages that are lent to their WRITEs, and copied if the server does not take those soon. */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include "mapped.h"

#define SOON 20
#define NEVER 60000

/* A mount that lends pages for so many milliseconds, on which the server has one WRITE at a time. */
static void start_lending(unsigned int millis)
{
	unsigned int before;

	RS_ONLY("lends pages until there is an answer");
	before = set_limit("copy_after", millis);
	prepare(0);
	fs->init_out.max_background = 1;
	start(8 * PAGE, O_RDWR);
	set_limit("copy_after", before);
	CHECK_EQ(tell(&w, file_map, 8, RW), 0);
}

static long temporary_pages(void)
{
	char dir[64] = "/tmp/test_lend-XXXXXX", path[128];
	struct statx st;
	long pages;
	FILE *f;

	CHECK_EQ(statx(AT_FDCWD, fs->mnt, AT_STATX_DONT_SYNC, 0, &st), 0);
	CHECK(mkdtemp(dir));
	CHECK_EQ(mount("none", dir, "fusectl", 0, NULL), 0);
	snprintf(path, sizeof(path), "%s/%u/temporary_pages", dir, st.stx_dev_minor);
	f = fopen(path, "r");
	CHECK(f);
	CHECK_EQ(fscanf(f, "%ld", &pages), 1);
	fclose(f);
	CHECK_EQ(umount(dir), 0);
	CHECK_EQ(rmdir(dir), 0);
	return pages;
}

/* Waits until what was being written back of a page is not any more. */
static long wait_for_page(long at, long b)
{
	return sync_file_range(the_file, at, PAGE, SYNC_FILE_RANGE_WAIT_BEFORE);
}

/* Stores to a page, whose WRITE is queued behind the one the server holds. */
static void store_and_queue(size_t at, char byte)
{
	store(at, byte);
	CHECK_EQ(tell(&w, file_start, 0, 0), 0);
	CHECK_EQ(held(), 1);
}

/* The server holds one WRITE, another is queued, and another worker waits for the page of that. */
static struct worker another_that_waits(void)
{
	struct worker other;

	start_lending(NEVER);
	other = another(O_RDWR, "file");
	store_and_hold(0, 'x');
	store_and_queue(2 * PAGE, 'y');
	/* That of the first is with the server. */
	CHECK_EQ(tell(&other, wait_for_page, 0, 0), 0);
	begin(&other, wait_for_page, 2 * PAGE, 0);
	CHECK(waits(&other));
	return other;
}

/* The server stores what it was sent, and that is what was stored. */
static void end_with(size_t at, char byte)
{
	let_all_go(fs);
	CHECK_EQ(tell(&w, file_msync, MS_SYNC, 0), 0);
	CHECK_EQ(there(at), byte);
	CHECK_EQ(there(at + 1), old(at));
	CHECK_EQ(temporary_pages(), 0);
	stop();
}

TEST(a_page_is_being_written_back_until_the_server_takes_it)
{
	struct worker other = another_that_waits();

	CHECK_EQ(temporary_pages(), 0);
	let_go(fs, 0, 0);
	EVENTUALLY(held() == 1);
	/* It has the other now, and has not answered. */
	CHECK_EQ(result(&other), 0);
	CHECK_EQ(temporary_pages(), 0);
	let_all_go(fs);
	dismiss(&other);
	end_with(2 * PAGE, 'y');
}

TEST(a_page_that_the_server_does_not_take_is_copied)
{
	start_lending(SOON);
	store_and_hold(0, 'x');
	store_and_queue(2 * PAGE, 'y');
	EVENTUALLY(temporary_pages() == 2);
	CHECK_EQ(tell(&w, wait_for_page, 2 * PAGE, 0), 0);
	CHECK_EQ(held(), 1);
	end_with(2 * PAGE, 'y');
}

TEST(with_no_time_to_lend_pages_are_copied_at_once)
{
	start_lending(0);
	store_and_hold(0, 'x');
	store_and_queue(2 * PAGE, 'y');
	CHECK_EQ(temporary_pages(), 2);
	CHECK_EQ(tell(&w, wait_for_page, 2 * PAGE, 0), 0);
	end_with(2 * PAGE, 'y');
}

TEST(a_page_with_the_server_cannot_be_stored_to)
{
	struct worker other;

	start_lending(NEVER);
	other = another(O_RDWR, "file");
	CHECK_EQ(tell(&other, file_map, 8, RW), 0);
	store_and_hold(0, 'x');
	begin(&other, file_store, 0, 'z');
	CHECK(waits(&other));
	CHECK_EQ(temporary_pages(), 0);
	let_all_go(fs);
	CHECK_EQ(result(&other), 0);
	CHECK_EQ(there(0), 'x');
	dismiss(&other);
	end_with(0, 'z');
}

TEST(pages_that_have_to_wait_for_a_truncation_are_copied_at_once)
{
	struct worker other;

	start_lending(NEVER);
	other = another(O_RDWR, "file");
	store_and_hold(0, 'x');
	hold(FUSE_SETATTR);
	/* Waits for the first WRITE, then for SETATTR; what is stored meanwhile is queued. */
	begin(&other, file_truncate, 2 * PAGE + 10, 0);
	CHECK(waits(&other));
	let_go(fs, 0, 0);
	EVENTUALLY(held() == 1);
	store(2 * PAGE, 'y');
	store(3 * PAGE, 'z');
	CHECK_EQ(tell(&w, file_start, 0, 0), 0);
	CHECK_EQ(temporary_pages(), 2);
	let_go(fs, 0, 0);
	CHECK_EQ(result(&other), 0);
	CHECK_EQ(tell(&w, file_msync, MS_SYNC, 0), 0);
	look_at_writes();
	CHECK_EQ(nwrote, 2);
	was(1, 2 * PAGE, 10);
	CHECK_EQ(there(2 * PAGE), 'y');
	dismiss(&other);
	stop();
}

/* A read of the device whose buffer does not come. */
static void *read_into_nowhere(void *nowhere)
{
	if (read(fs->fd, nowhere, RAWFS_BUFFER) < 0)
		printf("# the WRITE was not read\n");
	return NULL;
}

TEST(a_server_whose_memory_does_not_come_keeps_no_page)
{
	struct rawfs_req *req = ktap_shared(sizeof(*req));
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg;
	pthread_t thread;
	void *nowhere;
	int uffd;

	RS_ONLY("lends pages until there is an answer");
	uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	CHECK(uffd >= 0);
	CHECK_EQ(ioctl(uffd, UFFDIO_API, &api), 0);
	nowhere = mmap(NULL, RAWFS_BUFFER, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	reg = (struct uffdio_register){ .range = { (unsigned long)nowhere + PAGE,
						   RAWFS_BUFFER / PAGE * PAGE - PAGE },
					.mode = UFFDIO_REGISTER_MODE_MISSING };
	CHECK_EQ(ioctl(uffd, UFFDIO_REGISTER, &reg), 0);
	prepare(0);
	rawfs_start_manual(fs, "");
	fs->node[NODE].size = 2 * PAGE;
	rawfs_handshake(fs);
	w = worker(fs);
	begin(&w, file_open, O_RDWR, (long)"file");
	rawfs_expect(fs, req, FUSE_LOOKUP);
	rawfs_default(fs, req);
	rawfs_expect(fs, req, FUSE_OPEN);
	rawfs_default(fs, req);
	CHECK_EQ(result(&w), 0);
	CHECK_EQ(tell(&w, file_map, 2, RW), 0);
	begin(&w, file_store, PAGE, 'x');
	for (;;) {
		CHECK(rawfs_read(fs->fd, req));
		rawfs_default(fs, req);
		if (req->in.opcode == FUSE_READ)
			break;
	}
	CHECK_EQ(result(&w), 0);
	CHECK_EQ(tell(&w, file_start, 0, 0), 0);
	CHECK_EQ(pthread_create(&thread, NULL, read_into_nowhere, nowhere), 0);
	EVENTUALLY(temporary_pages() >= 1);
	CHECK_EQ(tell(&w, wait_for_page, PAGE, 0), 0);
	/* Now the memory comes. */
	CHECK_EQ(ioctl(uffd, UFFDIO_UNREGISTER, &reg.range), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_EQ(((struct fuse_in_header *)nowhere)->opcode, FUSE_WRITE);
	CHECK_EQ(((char *)nowhere)[sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in)],
		 'x');
	kill_worker(&w);
	close(fs->fd);
	CHECK_EQ(umount2(fs->mnt, MNT_DETACH), 0);
}

TEST(a_killed_server_gives_pages_back)
{
	struct worker other = another_that_waits();

	CHECK_EQ(umount2(fs->mnt, MNT_FORCE), -1);
	CHECK(result(&other) <= 0);
	CHECK(tell(&w, file_msync, MS_SYNC, 0) < 0);
	dismiss(&other);
	dismiss(&w);
	CHECK_EQ(umount2(fs->mnt, MNT_DETACH), 0);
}
