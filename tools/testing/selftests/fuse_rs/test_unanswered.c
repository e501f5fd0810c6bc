// SPDX-License-Identifier: GPL-2.0
/* What a server may do while it has a WRITE of pages that it has not answered. */
#include <fcntl.h>
#include <sys/mount.h>
#include "mapped.h"
#include "notify.h"

#define RESENT (1ULL << 63)

/* A page as the server has it, with another first byte. */
static const char *page_of(size_t at, char first)
{
	static char page[PAGE];

	memset(page, old(at), PAGE);
	page[0] = first;
	return page;
}

/* What was sent of the page, in one of the WRITEs that are held. */
static const char *held_page(int which)
{
	struct fuse_write_in *in = held_body(which);

	CHECK_EQ(in->offset, PAGE);
	CHECK_EQ(in->size, PAGE);
	return (char *)(in + 1);
}

static void begin_held(uint64_t flags)
{
	prepare(flags);
	start(4 * PAGE, O_RDWR);
	CHECK_EQ(tell(&w, file_map, 4, RW), 0);
	store_and_hold(PAGE, 'x');
}

/* With data for that page. */
static void store_notice(char first)
{
	CHECK_EQ(notify_store(fs, NODE, PAGE, page_of(PAGE, first), PAGE), 0);
}

TEST(data_that_the_server_stores_is_seen_at_once)
{
	begin_held(0);
	store_notice('s');
	CHECK_EQ(tell(&w, file_load, PAGE, 0), 's');
	CHECK_EQ(tell(&w, file_read, PAGE, 0), 's');
	let_all_go(fs);
	CHECK_EQ(tell(&w, file_fsync, 0, 0), 0);
	CHECK_EQ(tell(&w, file_load, PAGE, 0), 's');
	/* It is the server's own. */
	CHECK_EQ(there(PAGE), 'x');
	CHECK_EQ(fs->count[FUSE_WRITE], 1);
	stop();
}

TEST(data_that_the_server_stores_can_be_stored_to)
{
	struct worker other;

	begin_held(0);
	/* Else an open drops the page. */
	fs->open_flags = FOPEN_KEEP_CACHE;
	other = another(O_RDWR, "file");
	CHECK_EQ(tell(&other, file_map, 4, RW), 0);
	store_notice('s');
	begin(&other, file_store, PAGE + 1, 'y');
	CHECK(waits(&other));
	let_all_go(fs);
	CHECK_EQ(result(&other), 0);
	CHECK_EQ(tell(&w, file_fsync, 0, 0), 0);
	CHECK_EQ(there(PAGE), 's');
	CHECK_EQ(there(PAGE + 1), 'y');
	CHECK_EQ(fs->count[FUSE_WRITE], 2);
	dismiss(&other);
	stop();
}

static char retrieved[PAGE];
static atomic_int nretrieved;

static bool take_retrieved(struct rawfs *server, struct rawfs_req *req)
{
	struct fuse_notify_retrieve_in *in = (void *)req->body;

	if (req->in.opcode != FUSE_NOTIFY_REPLY)
		return false;
	CHECK(in->size <= PAGE);
	memcpy(retrieved, in + 1, in->size);
	nretrieved = in->size;
	return true;
}

TEST(the_server_can_retrieve_the_page)
{
	struct fuse_notify_retrieve_out out = { .notify_unique = 7,
						.nodeid = NODE,
						.offset = PAGE,
						.size = PAGE };

	begin_held(0);
	unheld = take_retrieved;
	CHECK_EQ(notify(fs, FUSE_NOTIFY_RETRIEVE, &out, sizeof(out), NULL, 0), 0);
	EVENTUALLY(nretrieved == PAGE);
	CHECK_EQ(retrieved[0], 'x');
	CHECK_EQ(retrieved[1], old(PAGE));
	CHECK_EQ(held(), 1);
	let_all_go(fs);
	stop();
}

/* A process that tells of stale data: of the page, or of others. */
static pid_t tell_of_stale(size_t at)
{
	pid_t server = fork();

	if (server == 0)
		_exit(notify_inval_inode(fs, NODE, at, PAGE));
	return server;
}

static bool is_over(pid_t pid)
{
	siginfo_t info = {};

	CHECK_EQ(waitid(P_PID, pid, &info, WEXITED | WNOWAIT | WNOHANG), 0);
	return info.si_pid == pid;
}

TEST(other_pages_can_be_called_stale)
{
	pid_t server;

	begin_held(0);
	CHECK_EQ(tell(&w, file_load, 3 * PAGE, 0), old(3 * PAGE));
	fs->node[NODE].data[3 * PAGE] = '!';
	server = tell_of_stale(3 * PAGE);
	EVENTUALLY(is_over(server));
	CHECK_EQ(exit_of(server), 0);
	CHECK_EQ(tell(&w, file_load, 3 * PAGE, 0), '!');
	CHECK_EQ(held(), 1);
	let_all_go(fs);
	stop();
}

TEST(a_page_that_is_called_stale_is_read_after_the_answer)
{
	bool dropped = false;
	pid_t server;

	begin_held(0);
	server = tell_of_stale(PAGE);
	for (int i = 0; i < 100 && !dropped; i++) {
		begin(&w, file_load, PAGE + 1, 0);
		dropped = waits(&w);
		if (!dropped)
			CHECK_EQ(result(&w), old(PAGE));
	}
	/* The C driver drops it when it has the answer. */
	CHECK(dropped || !ktap_is_rs());
	/* What the server makes of the WRITE. */
	((char *)held_body(0))[sizeof(struct fuse_write_in) + 1] = '!';
	let_all_go(fs);
	CHECK_EQ(exit_of(server), 0);
	if (dropped)
		CHECK_EQ(result(&w), '!');
	CHECK_EQ(tell(&w, file_load, PAGE + 1, 0), '!');
	CHECK_EQ(tell(&w, file_load, PAGE, 0), 'x');
	stop();
}

static int resend(void)
{
	return notify(fs, FUSE_NOTIFY_RESEND, NULL, 0, NULL, 0);
}

/* It comes again with what it had, whatever is cached by then. */
static void comes_again(void)
{
	CHECK_EQ(resend(), 0);
	EVENTUALLY(held() == 2);
	CHECK(!memcmp(held_page(0), held_page(1), PAGE));
	CHECK_EQ(held_page(1)[0], 'x');
	CHECK(last_request(FUSE_WRITE)->in.unique & RESENT);
	/* The second one. */
	hold(0);
	let_go(fs, 1, 0);
	CHECK_EQ(tell(&w, file_fsync, 0, 0), 0);
	CHECK_EQ(there(PAGE), 'x');
	CHECK_EQ(there(PAGE + 1), old(PAGE));
	stop();
}

TEST(it_can_be_sent_again)
{
	begin_held(FUSE_HAS_RESEND);
	comes_again();
}

TEST(it_is_sent_again_as_it_was_when_the_page_has_changed)
{
	RS_ONLY("the page is sent, as it is by then");
	begin_held(FUSE_HAS_RESEND);
	store_notice('s');
	comes_again();
}

TEST(it_is_sent_again_as_it_was_when_the_page_is_gone)
{
	begin_held(FUSE_HAS_RESEND);
	CHECK_EQ(tell(&w, file_unfault, 0, 0), 0);
	CHECK_EQ(tell(&w, file_uncache, 0, 0), 0);
	drop_caches("3");
	comes_again();
}

/* A server that splices. It leaves the data of a WRITE in the pipe until the case takes it. */
static int ends[2];
static struct {
	struct fuse_in_header in;
	struct fuse_write_in write;
} left;
static atomic_int nleft, taken;

static void take_from_pipe(void *to, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = read(ends[0], (char *)to + done, len - done);

		CHECK(n > 0);
		done += n;
	}
}

static void *splicing(void *server)
{
	struct rawfs_req *req = malloc(sizeof(*req));

	while (splice(fs->fd, NULL, ends[1], NULL, sizeof(*req), 0) > 0) {
		take_from_pipe(&req->in, sizeof(req->in));
		req->len = req->in.len - sizeof(req->in);
		if (req->in.opcode == FUSE_WRITE) {
			left.in = req->in;
			take_from_pipe(&left.write, sizeof(left.write));
			nleft++;
			while (taken < nleft)
				usleep(1000);
		} else {
			take_from_pipe(req->body, req->len);
			req->body[req->len] = 0;
			rawfs_default(fs, req);
		}
	}
	free(req);
	return NULL;
}

static void start_splicing(uint64_t flags)
{
	fs = rawfs_wanting(flags);
	rawfs_start_manual(fs, "");
	rawfs_handshake(fs);
	CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
	CHECK(fcntl(ends[1], F_SETPIPE_SZ, 1 << 20) > 0);
	for (size_t i = 0; i < 4 * PAGE; i++)
		fs->node[NODE].data[i] = old(i);
	fs->node[NODE].size = 4 * PAGE;
	fs->running = true;
	CHECK(!pthread_create(&fs->thread, NULL, splicing, NULL));
	w = another(O_RDWR, "file");
}

static void answer_what_is_left(void)
{
	struct fuse_write_out out = { .size = left.write.size };

	CHECK(rawfs_reply(fs->fd, left.in.unique, 0, &out, sizeof(out)) > 0);
}

/* The data of the WRITE is this, in a page that has what it had else. */
static void take_what_is_left(char first)
{
	char page[PAGE];

	CHECK_EQ(left.write.offset, PAGE);
	CHECK_EQ(left.write.size, PAGE);
	take_from_pipe(page, PAGE);
	CHECK(!memcmp(page, page_of(PAGE, first), PAGE));
	memcpy(fs->node[NODE].data + PAGE, page, PAGE);
	taken++;
}

/* Changes the first byte of the page. */
static void change(bool cached, char byte)
{
	if (cached)
		CHECK_EQ(tell(&w, file_write, PAGE, 1), 1);
	else
		store(PAGE, byte);
}

static void data_in_the_pipe_stays(bool cached)
{
	char first = cached ? 'w' : 'x';
	unsigned int before;

	RS_ONLY("the page itself is in the pipe");
	before = set_limit("copy_after", 0);
	start_splicing(cached ? FUSE_WRITEBACK_CACHE : 0);
	set_limit("copy_after", before);
	CHECK_EQ(tell(&w, file_map, 4, RW), 0);
	change(cached, 'x');
	CHECK_EQ(tell(&w, file_start, 0, 0), 0);
	EVENTUALLY(nleft == 1);
	answer_what_is_left();
	/* The page is nobody's any more. */
	store(PAGE, 'y');
	take_what_is_left(first);
	begin(&w, file_fsync, 0, 0);
	EVENTUALLY(nleft == 2);
	take_what_is_left('y');
	answer_what_is_left();
	CHECK_EQ(result(&w), 0);
	CHECK_EQ(there(PAGE), 'y');
	stop();
}

TEST(spliced_copies_do_not_change_with_the_page)
{
	RS_ONLY("the page itself is in the pipe");
	data_in_the_pipe_stays(false);
}

TEST(spliced_copies_of_a_cached_write_do_not_change_with_the_page)
{
	RS_ONLY("the page itself is in the pipe");
	data_in_the_pipe_stays(true);
}

TEST(spliced_data_outlives_the_page)
{
	start_splicing(0);
	CHECK_EQ(tell(&w, file_map, 4, RW), 0);
	store(PAGE, 'x');
	CHECK_EQ(tell(&w, file_start, 0, 0), 0);
	EVENTUALLY(nleft == 1);
	answer_what_is_left();
	CHECK_EQ(tell(&w, file_unfault, 0, 0), 0);
	CHECK_EQ(tell(&w, file_uncache, 0, 0), 0);
	drop_caches("3");
	take_what_is_left('x');
	CHECK_EQ(tell(&w, file_load, PAGE, 0), 'x');
	stop();
}

static long sync_it(long a, long b)
{
	return syncfs(the_file);
}

/* On a block device, with a worker that has the file mapped. */
static void start_on_disk(uint64_t flags)
{
	prepare(flags);
	rawfs_start(fs, "");
	rawfs_stop(fs);
	rawfs_restart_on_disk(fs, "");
	fs->node[NODE].size = 4 * PAGE;
	w = another(O_RDWR, "file");
	CHECK_EQ(tell(&w, file_map, 4, RW), 0);
}

static void stop_on_disk(void)
{
	dismiss(&w);
	CHECK_EQ(umount(fs->mnt), 0);
}

static void is_there_before_syncfs(void)
{
	CHECK(waits(&w));
	CHECK_EQ(fs->count[FUSE_SYNCFS], 0);
	let_all_go(fs);
	CHECK_EQ(result(&w), 0);
	CHECK_EQ(fs->count[FUSE_SYNCFS], 1);
	CHECK(last_request(FUSE_WRITE) < last_request(FUSE_SYNCFS));
	stop_on_disk();
}

TEST(a_sync_of_a_device_is_told_behind_the_data)
{
	start_on_disk(0);
	store_and_hold(PAGE, 'x');
	begin(&w, sync_it, 0, 0);
	is_there_before_syncfs();
}

TEST(a_sync_of_a_device_writes_the_data)
{
	start_on_disk(FUSE_WRITEBACK_CACHE);
	CHECK_EQ(tell(&w, file_write, PAGE, PAGE), PAGE);
	hold(FUSE_WRITE);
	begin(&w, sync_it, 0, 0);
	EVENTUALLY(held() == 1);
	is_there_before_syncfs();
}

TEST(a_sync_of_a_device_is_told_behind_times)
{
	start_on_disk(FUSE_WRITEBACK_CACHE);
	CHECK_EQ(tell(&w, file_write, PAGE, PAGE), PAGE);
	hold(FUSE_SETATTR);
	begin(&w, sync_it, 0, 0);
	EVENTUALLY(held() == 1);
	is_there_before_syncfs();
	CHECK(last_request(FUSE_SETATTR) < last_request(FUSE_SYNCFS));
}

TEST(a_sync_of_a_device_does_not_wait_for_what_comes_later)
{
	struct worker other;

	start_on_disk(0);
	other = another(O_RDWR, "file");
	CHECK_EQ(tell(&other, file_map, 4, RW), 0);
	store_and_hold(PAGE, 'x');
	begin(&w, sync_it, 0, 0);
	CHECK(waits(&w));
	CHECK_EQ(tell(&other, file_store, 3 * PAGE, 'y'), 0);
	CHECK_EQ(tell(&other, file_start, 0, 0), 0);
	EVENTUALLY(held() == 2);
	let_go(fs, 0, 0);
	CHECK_EQ(result(&w), 0);
	CHECK_EQ(fs->count[FUSE_SYNCFS], 1);
	CHECK_EQ(held(), 1);
	let_all_go(fs);
	dismiss(&other);
	stop_on_disk();
}

TEST(a_kill_ends_a_sync_of_a_device)
{
	struct worker other;

	RS_ONLY("waits unkillably");
	start_on_disk(0);
	other = another(O_RDONLY, "file");
	store_and_hold(PAGE, 'x');
	begin(&other, sync_it, 0, 0);
	CHECK(waits(&other));
	kill_worker(&other);
	CHECK_EQ(fs->count[FUSE_SYNCFS], 0);
	let_all_go(fs);
	stop_on_disk();
}
