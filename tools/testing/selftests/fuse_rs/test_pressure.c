// SPDX-License-Identifier: GPL-2.0
/*
 * Writing back when there is no memory: allocations that fail, on kernels with fault injection, and
 * control groups with less memory than is dirty. Nothing is lost, and nobody hangs.
 */
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include "faults.h"
#include "mapped.h"
#include "notify.h"

/* A file of so many pages, of which some are dirty: two runs, which are WRITEs of their own. */
#define PAGES 8
static const int dirty[] = { 0, 1, 2, 5, 6 };
#define DIRTY (sizeof(dirty) / sizeof(dirty[0]))


/* What the server has, for the worker to see. */
static char *at_server;
/* What the worker has put into the dirty pages. */
static char mark = 'a';

static void start_shared(uint64_t flags)
{
	faults_prepare();
	prepare(flags);
	rawfs_start(fs, "");
	at_server = fs->node[NODE].data = ktap_shared(RAWFS_DATA);
	fs->node[NODE].size = PAGES * PAGE;
	w = another(O_RDWR, "file");
}

/* The last byte of a dirty page. */
static size_t place(unsigned int which)
{
	return (dirty[which] + 1) * PAGE - 1;
}

static bool are_there(void)
{
	for (unsigned int i = 0; i < DIRTY; i++)
		if (at_server[place(i)] != mark)
			return false;
	return true;
}

static void next_mark(void)
{
	mark = mark == 'z' ? 'a' : mark + 1;
}

static void store_marks(struct rawfs *server)
{
	next_mark();
	for (unsigned int i = 0; i < DIRTY; i++)
		the_map[place(i)] = mark;
}

static void write_marks(struct rawfs *server)
{
	next_mark();
	for (unsigned int i = 0; i < DIRTY; i++)
		CHECK_EQ(pwrite(the_file, &mark, 1, place(i)), 1);
}

static int do_msync(struct rawfs *server)
{
	if (file_msync(MS_SYNC, 0))
		return -1;
	CHECK(are_there());
	return 0;
}

static int do_fsync(struct rawfs *server)
{
	if (fsync(the_file))
		return -1;
	CHECK(are_there());
	return 0;
}

/* What has failed has failed once. */
static void fsync_again(struct rawfs *server)
{
	CHECK_EQ(do_fsync(server), 0);
}

/* A worker's step. */
static long check(long work, long b)
{
	faults_prepare();
	if (the_map)
		CHECK_EQ(munlock((void *)the_map, PAGES * PAGE), 0);
	at_every_allocation(NULL, *(struct work *)work);
	return 0;
}

static void check_mapped(struct work work)
{
	start_shared(0);
	CHECK_EQ(tell(&w, file_map, PAGES, RW), 0);
	CHECK_EQ(tell(&w, check, (long)&work, 0), 0);
	stop();
}

static void check_cached(struct work work)
{
	start_shared(FUSE_WRITEBACK_CACHE);
	CHECK_EQ(tell(&w, check, (long)&work, 0), 0);
	stop();
}

TEST(msync)
{
	check_mapped((struct work){ .call = do_msync, .before = store_marks, .after = fsync_again });
}

TEST(fsync)
{
	check_mapped((struct work){ .call = do_fsync, .before = store_marks, .after = fsync_again });
}

TEST(fsync_of_cached_writes)
{
	check_cached((struct work){ .call = do_fsync, .before = write_marks, .after = fsync_again });
}

static int do_start(struct rawfs *server)
{
	return file_start(0, 0);
}

TEST(writing_that_is_started)
{
	check_mapped((struct work){ .call = do_start, .before = store_marks, .after = fsync_again });
}

TEST(writing_of_cached_writes_that_is_started)
{
	check_cached((struct work){ .call = do_start, .before = write_marks, .after = fsync_again });
}

static int do_close(struct rawfs *server)
{
	return close(the_file);
}

/* The open finds what the close has left. */
static void reopen(struct rawfs *server)
{
	the_file = open(rawfs_path(fs, "file"), O_RDWR);
	CHECK(the_file >= 0);
	fsync_again(server);
}

TEST(close_of_cached_writes)
{
	check_cached((struct work){ .call = do_close, .before = write_marks, .after = reopen });
}

static void drop_pages(struct rawfs *server)
{
	CHECK_EQ(file_unfault(0, 0), 0);
	CHECK_EQ(file_uncache(0, 0), 0);
}

static int do_fault(struct rawfs *server)
{
	return madvise((void *)the_map, PAGES * PAGE, MADV_POPULATE_WRITE);
}

static void store_and_fsync(struct rawfs *server)
{
	store_marks(server);
	fsync_again(server);
}

TEST(fault)
{
	check_mapped((struct work){ .call = do_fault, .before = drop_pages, .after = store_and_fsync });
}

/* What write(2) has taken. */
static ssize_t taken;

static int do_write(struct rawfs *server)
{
	char data[3 * PAGE];

	next_mark();
	memset(data, mark, sizeof(data));
	taken = pwrite(the_file, data, sizeof(data), PAGE / 2);
	return taken < 0 ? -1 : 0;
}

static void taken_is_there(struct rawfs *server)
{
	CHECK_EQ(fsync(the_file), 0);
	for (ssize_t i = 0; i < taken; i++)
		CHECK_EQ(at_server[PAGE / 2 + i], mark);
	CHECK_EQ(file_uncache(0, 0), 0);
}

TEST(cached_write)
{
	check_cached((struct work){ .call = do_write, .after = taken_is_there });
}

/* Here it is the server's call that allocates, while the worker's pages are dirty. */
static long have_marks(long cached, long b)
{
	if (cached)
		write_marks(NULL);
	else
		store_marks(NULL);
	return 0;
}

static long fsync_marks(long a, long b)
{
	fsync_again(NULL);
	return 0;
}

static void dirty_some(struct rawfs *server)
{
	CHECK_EQ(tell(&w, have_marks, 0, 0), 0);
}

static void have_all(struct rawfs *server)
{
	CHECK_EQ(tell(&w, fsync_marks, 0, 0), 0);
}

static int do_inval(struct rawfs *server)
{
	errno = notify_inval_inode(fs, NODE, 0, 0);
	return errno ? -1 : 0;
}

TEST(notification_that_drops_dirty_pages)
{
	struct work work = { .call = do_inval, .before = dirty_some, .after = have_all };

	start_shared(0);
	CHECK_EQ(tell(&w, file_map, PAGES, RW), 0);
	at_every_allocation(fs, work);
	stop();
}

/* For a while no allocation of the worker's works. */
static long fsync_in_need(long a, long b)
{
	int result;

	faults_prepare();
	faults_here(true);
	result = fsync(the_file);
	faults_here(false);
	CHECK(result ? errno == ENOMEM : are_there());
	return 0;
}

static void check_need(bool cached)
{
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(tell(&w, have_marks, cached, 0), 0);
		faults_begin(4);
		CHECK_EQ(tell(&w, fsync_in_need, 0, 0), 0);
		CHECK(faults_end() > 0);
		have_all(NULL);
	}
	stop();
}

TEST(fsync_when_many_allocations_fail)
{
	start_shared(0);
	CHECK_EQ(tell(&w, file_map, PAGES, RW), 0);
	check_need(false);
}

TEST(fsync_of_cached_writes_when_many_allocations_fail)
{
	start_shared(FUSE_WRITEBACK_CACHE);
	check_need(true);
}

static long sync_all(long a, long b)
{
	sync();
	return 0;
}

static long marks_are_there(long a, long b)
{
	return are_there();
}

/* The kernel's workers write, and none of their allocations works. */
static void check_the_flusher(bool cached)
{
	faults_begin(20);
	for (int i = 0; i < 100 && !faults_so_far(); i++) {
		faults_of_kworkers(true);
		CHECK_EQ(tell(&w, have_marks, cached, 0), 0);
		CHECK_EQ(tell(&w, sync_all, 0, 0), 0);
		usleep(20000);
	}
	faults_of_kworkers(false);
	CHECK(faults_end() > 0);
	CHECK_EQ(tell(&w, sync_all, 0, 0), 0);
	EVENTUALLY(tell(&w, marks_are_there, 0, 0));
	have_all(NULL);
	stop();
}

TEST(what_the_flusher_has_no_memory_for_is_written_later)
{
	start_shared(0);
	CHECK_EQ(tell(&w, file_map, PAGES, RW), 0);
	check_the_flusher(false);
}

TEST(cached_writes_the_flusher_has_no_memory_for_are_written_later)
{
	start_shared(FUSE_WRITEBACK_CACHE);
	check_the_flusher(true);
}

static atomic_bool stalled;

/* The server gets no further than its first WRITE for now. */
static bool stall(struct rawfs *server, struct rawfs_req *req)
{
	while (stalled && req->in.opcode == FUSE_WRITE)
		usleep(1000);
	return false;
}

TEST(what_the_server_does_not_take_in_need_is_not_lost)
{
	start_shared(0);
	unheld = stall;
	stalled = true;
	CHECK_EQ(tell(&w, file_map, PAGES, RW), 0);
	faults_of_kworkers(true);
	faults_begin(20);
	CHECK_EQ(tell(&w, have_marks, false, 0), 0);
	CHECK_EQ(tell(&w, file_start, 0, 0), 0);
	/* It depends on when pages are copied whether there are any. */
	for (int i = 0; i < 50 && !faults_so_far(); i++)
		usleep(10000);
	faults_end();
	faults_of_kworkers(false);
	stalled = false;
	have_all(NULL);
	stop();
}

/* Control groups. The file is several times as large as the memory there is. */
#define MEMORY "8M"
/* With a server that has some itself. */
#define MORE_MEMORY "16M"
/* What of it may be dirty, however much memory the machine has. */
#define MAY_BE_DIRTY "3145728"
#define PART (1 << 20)
#define LARGE (24 * PART)

static char group[128];

static const char *groups(void)
{
	static char path[64] = "/sys/fs/cgroup";

	if (!access("/sys/fs/cgroup/cgroup.controllers", F_OK))
		return path;
	snprintf(path, sizeof(path), "/tmp/rawfs-%d-cgroup", getppid());
	mkdir(path, 0755);
	if (mount("none", path, "cgroup2", 0, NULL))
		SKIP("no control groups");
	return path;
}

static const char *in_group(const char *name)
{
	static char path[192];

	snprintf(path, sizeof(path), "%s/%s", group, name);
	return path;
}

static void make_group(void)
{
	const char *parent = groups();

	snprintf(group, sizeof(group), "%s/cgroup.subtree_control", parent);
	if (access(group, W_OK))
		SKIP("no control groups");
	write_file(group, "+memory");
	snprintf(group, sizeof(group), "%s/fuse_rs-%d", parent, getpid());
	CHECK_EQ(mkdir(group, 0755), 0);
	write_file(in_group("memory.max"), MEMORY);
	/* Huge pages under the server's buffers, of which it uses little, would fill the group. */
	CHECK_EQ(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), 0);
}

static long enter_group(long a, long b)
{
	write_file(in_group("cgroup.procs"), "0");
	return 0;
}

static long events(const char *name)
{
	char line[64];
	long count = -1;
	FILE *f = fopen(in_group("memory.events"), "r");

	CHECK(f);
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, name, strlen(name)))
			sscanf(line + strlen(name), "%ld", &count);
	fclose(f);
	return count;
}

/* Memory is short, and nobody was killed for that. */
static void leave_group(void)
{
	CHECK(events("max ") > 0);
	CHECK_EQ(events("oom_kill "), 0);
	rmdir(group);
}

/* How much memory the server needs for a WRITE. */
static size_t need;

static bool take_write(struct rawfs *server, struct rawfs_req *req)
{
	struct fuse_write_in *in = (void *)req->body;
	struct fuse_write_out out = { .size = in->size };

	if (req->in.opcode != FUSE_WRITE)
		return false;
	if (need) {
		char *memory = mmap(NULL, need, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		CHECK(memory != MAP_FAILED);
		memset(memory, 1, need);
		munmap(memory, need);
	}
	CHECK(in->offset + in->size <= LARGE);
	memcpy(server->node[NODE].data + in->offset, in + 1, in->size);
	return reply(server, req, 0, &out, sizeof(out));
}

/* READs are answered at once, each WRITE after a while. */
static void *take_slowly(void *server)
{
	for (;;) {
		usleep(2000);
		if (!stalled && held())
			let_go(server, 0, 0);
	}
	return NULL;
}

static void limit_dirty_pages(void)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/class/bdi/%s/max_bytes", bdi());
	write_file(path, MAY_BE_DIRTY);
}

static void start_large(uint64_t flags)
{
	pthread_t slow;

	make_group();
	prepare(flags);
	unheld = take_write;
	rawfs_start(fs, "");
	fs->node[NODE].data = ktap_shared(LARGE);
	/* Of nobody's memory that is measured. */
	memset(fs->node[NODE].data, 0, LARGE);
	fs->node[NODE].size = LARGE;
	limit_dirty_pages();
	hold(FUSE_WRITE);
	CHECK(!pthread_create(&slow, NULL, take_slowly, fs));
}

static void start_worker(void)
{
	w = worker(fs);
	CHECK_EQ(tell(&w, enter_group, 0, 0), 0);
	CHECK_EQ(tell(&w, file_open, O_RDWR, (long)"file"), 0);
}

/* What a place in the file is to have in this round. */
static long value(size_t at, long round)
{
	return at * 31 + round;
}

static long store_part(long at, long round)
{
	for (long *place = (long *)(the_map + at); place < (long *)(the_map + at + PART); place += 64)
		*place = value((char *)place - the_map, round);
	return 0;
}

static long write_part(long at, long round)
{
	static long data[PART / sizeof(long)];

	for (size_t i = 0; i < PART; i += 64 * sizeof(long))
		data[i / sizeof(long)] = value(at + i, round);
	return pwrite(the_file, data, PART, at) == PART ? 0 : -1;
}

static bool has(const long *data, size_t at, long round)
{
	for (size_t i = 0; i < PART; i += 64 * sizeof(long))
		if (data[i / sizeof(long)] != value(at + i, round))
			return false;
	return true;
}

/* Whether the file has that there. */
static long look_at_part(long at, long round)
{
	static long data[PART / sizeof(long)];

	return pread(the_file, data, PART, at) == PART && has(data, at, round);
}

/* What the group has cached goes, as far as it is clean. */
static void reclaim(void)
{
	int file = open(in_group("memory.reclaim"), O_WRONLY);

	if (file < 0)
		return;
	/* Some of it may be in use. */
	CHECK(write(file, MEMORY, strlen(MEMORY)) > 0 || errno == EAGAIN);
	close(file);
}

static void server_has(long round)
{
	for (long at = 0; at < LARGE; at += PART)
		CHECK(has((long *)(fs->node[NODE].data + at), at, round));
}

/*
 * Changes all of the file, twice, and looks at it: at each part also when it has just been changed,
 * and is partly with the server and no longer in memory.
 */
static void change(step step)
{
	for (long at = 0; at < LARGE; at += PART)
		CHECK_EQ(tell(&w, step, at, 1), 0);
	for (long at = LARGE - PART; at >= 0; at -= PART) {
		CHECK_EQ(tell(&w, step, at, 2), 0);
		CHECK_EQ(tell(&w, file_start, 0, 0), 0);
		reclaim();
		CHECK_EQ(tell(&w, look_at_part, at, 2), 1);
	}
	for (long at = 0; at < LARGE; at += PART)
		CHECK_EQ(tell(&w, look_at_part, at, 2), 1);
	CHECK_EQ(tell(&w, file_fsync, 0, 0), 0);
	server_has(2);
	stop();
	leave_group();
}

TEST(stores_to_more_than_there_is_memory)
{
	start_large(0);
	start_worker();
	CHECK_EQ(tell(&w, file_map, LARGE / PAGE, RW), 0);
	change(store_part);
}

TEST(cached_writes_of_more_than_there_is_memory)
{
	start_large(FUSE_WRITEBACK_CACHE);
	start_worker();
	change(write_part);
}

/* What the server needs is taken from where the pages are that wait for it. */
static void share_memory_with_server(void)
{
	need = 1 << 20;
	write_file(in_group("memory.max"), MORE_MEMORY);
	enter_group(0, 0);
	start_worker();
}

TEST(stores_with_a_server_in_the_same_group)
{
	start_large(0);
	share_memory_with_server();
	CHECK_EQ(tell(&w, file_map, LARGE / PAGE, RW), 0);
	change(store_part);
}

TEST(cached_writes_with_a_server_in_the_same_group)
{
	start_large(FUSE_WRITEBACK_CACHE);
	share_memory_with_server();
	change(write_part);
}

static long store_all(long a, long round)
{
	for (long at = 0; at < LARGE; at += PART)
		store_part(at, round);
	return 0;
}

static long use_memory(long len, long b)
{
	char *memory = malloc(len);

	memset(memory, 1, len);
	free(memory);
	return 0;
}

TEST(others_in_the_group_have_memory_while_the_server_holds_pages)
{
	struct worker other;

	start_large(0);
	start_worker();
	CHECK_EQ(tell(&w, file_map, LARGE / PAGE, RW), 0);
	other = worker(fs);
	CHECK_EQ(tell(&other, enter_group, 0, 0), 0);
	stalled = true;
	begin(&w, store_all, 0, 1);
	EVENTUALLY(held() > 1);
	for (int i = 0; i < 20; i++)
		CHECK_EQ(tell(&other, use_memory, 3 * PART, 0), 0);
	stalled = false;
	CHECK_EQ(result(&w), 0);
	CHECK_EQ(tell(&w, file_fsync, 0, 0), 0);
	server_has(1);
	dismiss(&other);
	stop();
	leave_group();
}
