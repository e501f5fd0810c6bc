// SPDX-License-Identifier: GPL-2.0
/* The device file. */
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include "rawfs.h"

/* Mounted, and the handshake is over. */
static struct rawfs *ready_fs(void)
{
	struct rawfs *fs = rawfs_new();
	struct rawfs_req *req = calloc(1, sizeof(*req));

	rawfs_start_manual(fs, "");
	rawfs_handshake(fs);
	free(req);
	return fs;
}

/* A child that calls stat on the file a while later. */
static pid_t stat_later(struct rawfs *fs, int ms)
{
	pid_t pid = fork();

	if (pid == 0) {
		struct stat st;

		close(fs->fd);
		usleep(ms * 1000);
		_exit(stat(rawfs_path(fs, "file"), &st) ? errno : 0);
	}
	return pid;
}

static int msec(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Waits until there is something to read. */
static void await_request(struct rawfs *fs)
{
	struct pollfd p = { .fd = fs->fd, .events = POLLIN };

	CHECK_EQ(poll(&p, 1, ktap_ms(5000)), 1);
	CHECK_EQ(p.revents, POLLIN);
}

/* The server starts, the child's stat succeeds, and so does another. */
static void end_well(struct rawfs *fs, pid_t pid)
{
	struct stat st;

	rawfs_serve(fs);
	CHECK_EQ(exit_of(pid), 0);
	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
	rawfs_stop(fs);
}

/* Memory of which only the first `mapped` bytes, whole pages, are there. */
static char *cut_memory(size_t mapped, size_t all)
{
	char *mem = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(mem != MAP_FAILED);
	CHECK_EQ(mprotect(mem + mapped, all - mapped, PROT_NONE), 0);
	return mem;
}

TEST(unmounted_device_has_nothing)
{
	int fd = rawfs_open();
	char buf[65536];

	CHECK_ERR(read(fd, buf, sizeof(buf)), EPERM);
	CHECK_ERR(write(fd, buf, 16), EPERM);
}

TEST(nonblocking_read)
{
	struct rawfs *fs = ready_fs();
	static char buf[262144];

	fcntl(fs->fd, F_SETFL, O_NONBLOCK);
	CHECK_ERR(read(fs->fd, buf, sizeof(buf)), EAGAIN);
	CHECK_EQ(umount(fs->mnt), 0);
	CHECK_ERR(read(fs->fd, buf, sizeof(buf)), ENODEV);
}

TEST(small_buffer_is_refused)
{
	struct rawfs *fs = ready_fs();
	char buf[8191];

	CHECK_ERR(read(fs->fd, buf, sizeof(buf)), EINVAL);
	/* And one that is too small for a WRITE of max_write bytes. */
	static char larger[131072];

	CHECK_ERR(read(fs->fd, larger, sizeof(larger)), EINVAL);
	CHECK_EQ(umount(fs->mnt), 0);
}

TEST(readv_and_writev)
{
	struct rawfs *fs = ready_fs();
	static struct rawfs_req req;
	struct iovec in[2] = { { &req, 24 }, { (char *)&req + 24, sizeof(req) - 24 } };
	struct fuse_entry_out entry;
	struct fuse_out_header out;
	struct iovec reply[3] = { { &out, 7 },
				  { (char *)&out + 7, sizeof(out) - 7 },
				  { &entry, sizeof(entry) } };
	pid_t pid = stat_in_child(fs, "file");
	ssize_t n = readv(fs->fd, in, 2);

	CHECK(n > (ssize_t)sizeof(req.in));
	CHECK_EQ(req.in.opcode, FUSE_LOOKUP);
	fs->attr_valid = 100;
	rawfs_entry(fs, 2, &entry);
	out = (struct fuse_out_header){ .len = sizeof(out) + sizeof(entry), .unique = req.in.unique };
	CHECK_EQ(writev(fs->fd, reply, 3), out.len);
	CHECK_EQ(exit_of(pid), 0);
	fs->node[2].nlookup++;
	rawfs_serve(fs);
	rawfs_stop(fs);
}

TEST(splice_both_ways)
{
	struct rawfs *fs = ready_fs();
	static struct rawfs_req req;
	struct fuse_entry_out entry;
	int p[2];
	ssize_t n;
	pid_t pid;

	CHECK_EQ(pipe(p), 0);
	CHECK(fcntl(p[0], F_SETPIPE_SZ, 1 << 20) > 0);
	pid = stat_in_child(fs, "file");
	n = splice(fs->fd, NULL, p[1], NULL, 1 << 20, 0);
	CHECK(n > 0);
	CHECK_EQ(read(p[0], &req, sizeof(req)), n);
	CHECK_EQ(req.in.len, n);
	CHECK_EQ(req.in.opcode, FUSE_LOOKUP);
	fs->attr_valid = 100;
	rawfs_entry(fs, 2, &entry);
	struct fuse_out_header out = { .len = sizeof(out) + sizeof(entry), .unique = req.in.unique };

	CHECK_EQ(write(p[1], &out, sizeof(out)), sizeof(out));
	CHECK_EQ(write(p[1], &entry, sizeof(entry)), sizeof(entry));
	CHECK_EQ(splice(p[0], NULL, fs->fd, NULL, out.len, SPLICE_F_MOVE), out.len);
	CHECK_EQ(exit_of(pid), 0);
	rawfs_serve(fs);
	rawfs_stop(fs);
}

TEST(splice_into_a_nonblocking_pipe_waits)
{
	struct rawfs *fs = ready_fs();
	static struct rawfs_req req;
	int p[2], start;
	ssize_t n;
	pid_t pid;

	CHECK_EQ(pipe2(p, O_NONBLOCK), 0);
	CHECK(fcntl(p[0], F_SETPIPE_SZ, 1 << 20) > 0);
	start = msec();
	pid = stat_later(fs, 300);
	n = splice(fs->fd, NULL, p[1], NULL, 1 << 20, SPLICE_F_NONBLOCK);
	CHECK(n > 0);
	CHECK(msec() - start >= 290);
	CHECK_EQ(read(p[0], &req, sizeof(req)), n);
	CHECK_EQ(req.in.opcode, FUSE_LOOKUP);
	rawfs_default(fs, &req);
	end_well(fs, pid);
}

TEST(splice_from_a_nonblocking_device)
{
	struct rawfs *fs = ready_fs();
	int p[2];
	ssize_t n;
	pid_t pid;

	CHECK_EQ(pipe(p), 0);
	CHECK(fcntl(p[0], F_SETPIPE_SZ, 1 << 20) > 0);
	CHECK_EQ(fcntl(fs->fd, F_SETFL, O_NONBLOCK), 0);
	CHECK_ERR(splice(fs->fd, NULL, p[1], NULL, 1 << 20, 0), EAGAIN);
	pid = stat_in_child(fs, "file");
	await_request(fs);
	n = splice(fs->fd, NULL, p[1], NULL, 1 << 20, 0);
	CHECK(n > 0);
	CHECK_EQ(fcntl(fs->fd, F_SETFL, 0), 0);

	static struct rawfs_req req;

	CHECK_EQ(read(p[0], &req, sizeof(req)), n);
	rawfs_default(fs, &req);
	end_well(fs, pid);
}

static void on_alarm(int sig)
{
}

TEST(splice_is_interrupted)
{
	struct rawfs *fs = ready_fs();
	int p[2];
	struct stat st;

	CHECK_EQ(pipe(p), 0);
	CHECK(fcntl(p[0], F_SETPIPE_SZ, 1 << 20) > 0);
	struct sigaction sa = { .sa_handler = on_alarm };

	sigaction(SIGALRM, &sa, NULL);
	ualarm(200000, 0);
	CHECK_ERR(splice(fs->fd, NULL, p[1], NULL, 1 << 20, 0), EINTR);
	rawfs_serve(fs);
	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
	rawfs_stop(fs);
}

/* Fills the pipe until it has this many free buffers, each of a page. */
static void leave_room(int p[2], int buffers)
{
	static char page[4096];
	int slots = fcntl(p[1], F_GETPIPE_SZ) / 4096;

	CHECK(slots > buffers);
	for (int i = 0; i < slots - buffers; i++)
		CHECK_EQ(write(p[1], page, sizeof(page)), sizeof(page));
}

TEST(splice_into_a_pipe_without_room_keeps_the_request)
{
	struct rawfs *fs = ready_fs();
	pid_t pid = stat_in_child(fs, "file");
	int p[2];

	await_request(fs);
	/* No room for a WRITE of max_write bytes: the pipe is too small, or too full. */
	CHECK_EQ(pipe(p), 0);
	CHECK_ERR(splice(fs->fd, NULL, p[1], NULL, 1 << 20, 0), EINVAL);
	CHECK(fcntl(p[0], F_SETPIPE_SZ, 1 << 20) > 0);
	leave_room(p, 1);
	CHECK_ERR(splice(fs->fd, NULL, p[1], NULL, 1 << 20, 0), EINVAL);
	leave_room(p, 255);
	CHECK_ERR(splice(fs->fd, NULL, p[1], NULL, 1 << 20, SPLICE_F_NONBLOCK), EAGAIN);
	/* A length that is too small is no better. */
	CHECK_EQ(pipe(p), 0);
	CHECK(fcntl(p[0], F_SETPIPE_SZ, 1 << 20) > 0);
	CHECK_ERR(splice(fs->fd, NULL, p[1], NULL, 8192, 0), EINVAL);
	end_well(fs, pid);
}

TEST(splice_of_a_request_that_just_fits)
{
	struct rawfs *fs;
	static struct rawfs_req req;
	int p[2], fd;
	pid_t pid;
	ssize_t n;

	RS_ONLY("C needs a buffer per page of data and one more, and else loses the request");
	fs = rawfs_new();
	fs->init_out = (struct fuse_init_out){ .major = 7,
					       .minor = 31,
					       .max_write = 8192,
					       .max_pages = 32,
					       .flags = FUSE_BIG_WRITES | FUSE_MAX_PAGES };
	fs->entry_valid = fs->attr_valid = 1000;
	rawfs_start_manual(fs, "");
	rawfs_handshake(fs);
	pid = fork();
	if (pid == 0) {
		static char data[12288];

		close(fs->fd);
		fd = open(rawfs_path(fs, "file"), O_RDWR);
		/* In the cache first, so that what follows is one WRITE across three pages. */
		_exit(pwrite(fd, data, 12288, 0) != 12288 || pread(fd, data, 12288, 0) != 12288 ||
		      pwrite(fd, data, 8192, 100) != 8192);
	}
	do {
		rawfs_expect(fs, &req, FUSE_WRITE);
		rawfs_default(fs, &req);
	} while (((struct fuse_write_in *)req.body)->offset +
			 ((struct fuse_write_in *)req.body)->size != 12288);
	CHECK_EQ(pipe(p), 0);
	leave_room(p, 3);
	do {
		n = splice(fs->fd, NULL, p[1], NULL, 1 << 20, 0);
		CHECK(n > 0);
		for (int i = 0; i < 13; i++)
			CHECK_EQ(read(p[0], req.body, 4096), 4096);
		CHECK_EQ(read(p[0], &req, sizeof(req)), n);
		CHECK_EQ(req.in.len, n);
		rawfs_default(fs, &req);
		leave_room(p, 3);
	} while (req.in.opcode != FUSE_WRITE);
	CHECK_EQ(((struct fuse_write_in *)req.body)->size, 8192);
	rawfs_serve(fs);
	CHECK_EQ(exit_of(pid), 0);
	rawfs_stop(fs);
}

TEST(spliced_data_does_not_change_later)
{
	struct rawfs *fs;
	struct fuse_write_out out = { .size = 65536 };
	static char data[65536];
	static struct rawfs_req req;
	size_t len;
	pid_t pid;
	int p[2];

	RS_ONLY("C puts the pages of its cache into the pipe");
	fs = ready_fs();
	pid = fork();
	if (pid == 0) {
		int fd;

		close(fs->fd);
		fd = open(rawfs_path(fs, "file"), O_RDWR);
		memset(data, 'a', sizeof(data));
		if (pwrite(fd, data, sizeof(data), 0) != sizeof(data))
			_exit(1);
		memset(data, 'b', sizeof(data));
		if (pwrite(fd, data, sizeof(data), 0) != sizeof(data))
			_exit(2);
		memset(data, 'c', sizeof(data));
		_exit(pread(fd, data, sizeof(data), 0) != sizeof(data) || data[9] != 'b');
	}
	CHECK_EQ(pipe(p), 0);
	CHECK(fcntl(p[0], F_SETPIPE_SZ, 1 << 20) > 0);
	for (;;) {
		CHECK(splice(fs->fd, NULL, p[1], NULL, 1 << 20, 0) > 0);
		CHECK_EQ(read(p[0], &req.in, sizeof(req.in)), sizeof(req.in));
		len = req.in.opcode == FUSE_WRITE ? sizeof(struct fuse_write_in) :
						    req.in.len - sizeof(req.in);
		memset(req.body, 0, 4096);
		CHECK_EQ(len ? read(p[0], req.body, len) : 0, len);
		if (req.in.opcode == FUSE_WRITE)
			break;
		rawfs_default(fs, &req);
	}
	CHECK_EQ(((struct fuse_write_in *)req.body)->size, sizeof(data));
	CHECK_EQ(rawfs_reply(fs->fd, req.in.unique, 0, &out, sizeof(out)),
		 sizeof(struct fuse_out_header) + sizeof(out));
	rawfs_serve(fs);
	CHECK_EQ(exit_of(pid), 0);
	CHECK_EQ(read(p[0], data, sizeof(data)), sizeof(data));
	for (size_t i = 0; i < sizeof(data); i++)
		CHECK_EQ(data[i], 'a');
	rawfs_stop(fs);
}

/* A LOOKUP has been read; `m` is the answer to it. */
struct message {
	struct fuse_out_header out;
	struct fuse_entry_out entry;
};

static pid_t begin_lookup(struct rawfs *fs, struct message *m)
{
	static struct rawfs_req req;
	pid_t pid = stat_in_child(fs, "file");

	CHECK(rawfs_read(fs->fd, &req));
	CHECK_EQ(req.in.opcode, FUSE_LOOKUP);
	fs->attr_valid = 100;
	rawfs_entry(fs, 2, &m->entry);
	m->out = (struct fuse_out_header){ .len = sizeof(*m), .unique = req.in.unique };
	fs->node[2].nlookup++;
	return pid;
}

TEST(splice_of_a_reply_in_pieces)
{
	struct rawfs *fs = ready_fs();
	struct message m;
	char *b = (char *)&m;
	struct iovec piece[] = { { b, 5 }, { b + 5, 10 }, { b + 15, 20 }, { b + 35, 1 },
				 { b + 36, sizeof(m) - 36 } };
	pid_t pid = begin_lookup(fs, &m);
	int p[2];

	CHECK_EQ(pipe(p), 0);
	CHECK_EQ(vmsplice(p[1], piece, 5, 0), sizeof(m));
	CHECK_EQ(splice(p[0], NULL, fs->fd, NULL, sizeof(m), 0), sizeof(m));
	end_well(fs, pid);
}

TEST(splice_takes_one_reply_and_leaves_the_rest)
{
	struct rawfs *fs = ready_fs();
	struct message m;
	pid_t pid = begin_lookup(fs, &m);
	char rest[8];
	int p[2];

	CHECK_EQ(pipe(p), 0);
	CHECK_EQ(write(p[1], &m, sizeof(m)), sizeof(m));
	CHECK_EQ(write(p[1], "the rest", 8), 8);
	CHECK_EQ(splice(p[0], NULL, fs->fd, NULL, sizeof(m), 0), sizeof(m));
	CHECK_EQ(read(p[0], rest, sizeof(rest)), 8);
	CHECK(!memcmp(rest, "the rest", 8));
	end_well(fs, pid);
}

TEST(splice_of_less_than_the_length_is_refused)
{
	struct rawfs *fs = ready_fs();
	struct message m;
	pid_t pid = begin_lookup(fs, &m);
	int p[2], left;

	CHECK_EQ(pipe(p), 0);
	/* It does not wait for the rest. */
	CHECK_ERR(splice(p[0], NULL, fs->fd, NULL, sizeof(m), 0), EINVAL);
	CHECK_EQ(write(p[1], &m, sizeof(m)), sizeof(m));
	CHECK_ERR(splice(p[0], NULL, fs->fd, NULL, sizeof(m) + 1, 0), EINVAL);
	CHECK_EQ(ioctl(p[0], FIONREAD, &left), 0);
	CHECK_EQ(left, sizeof(m));
	CHECK_EQ(splice(p[0], NULL, fs->fd, NULL, sizeof(m), 0), sizeof(m));
	end_well(fs, pid);
}

TEST(splice_of_a_refused_reply_empties_the_pipe)
{
	struct rawfs *fs = ready_fs();
	struct message m, wrong;
	pid_t pid = begin_lookup(fs, &m);
	int p[2], left;

	/* Nothing of it is left in front of the next reply. */
	CHECK_EQ(pipe(p), 0);
	wrong = m;
	wrong.out.unique += 2;
	CHECK_EQ(write(p[1], &wrong, sizeof(wrong)), sizeof(wrong));
	CHECK_ERR(splice(p[0], NULL, fs->fd, NULL, sizeof(wrong), 0), ENOENT);
	CHECK_EQ(ioctl(p[0], FIONREAD, &left), 0);
	CHECK_EQ(left, 0);
	CHECK_EQ(write(p[1], &m, sizeof(m)), sizeof(m));
	CHECK_EQ(splice(p[0], NULL, fs->fd, NULL, sizeof(m), 0), sizeof(m));
	end_well(fs, pid);
}

TEST(splice_on_an_unmounted_device)
{
	int fd = rawfs_open(), p[2];

	CHECK_EQ(pipe(p), 0);
	CHECK(fcntl(p[0], F_SETPIPE_SZ, 1 << 20) > 0);
	CHECK_ERR(splice(fd, NULL, p[1], NULL, 1 << 20, 0), EPERM);
	CHECK_EQ(write(p[1], "0123456789abcdef", 16), 16);
	CHECK_ERR(splice(p[0], NULL, fd, NULL, 16, 0), EPERM);
}

TEST(splice_ends_with_the_connection)
{
	struct rawfs *fs = ready_fs();
	int p[2];

	CHECK_EQ(pipe(p), 0);
	CHECK(fcntl(p[0], F_SETPIPE_SZ, 1 << 20) > 0);
	pid_t pid = fork();

	if (pid == 0) {
		usleep(200000);
		_exit(umount(fs->mnt) ? errno : 0);
	}
	CHECK_ERR(splice(fs->fd, NULL, p[1], NULL, 1 << 20, 0), ENODEV);
	CHECK_EQ(exit_of(pid), 0);
}

/*
 * The data of a READ comes through a pipe in whole pages, which the driver may take for the page
 * cache as they are. What the server does with its memory or file later must not matter.
 */
#define MOVED 8192

static char moved_data[MOVED];

static void moved(bool (*fill)(int pipe, char *memory, int file), unsigned int flags)
{
	struct rawfs *fs = ready_fs();
	static struct rawfs_req req;
	static char buf[MOVED];
	char *memory = mmap(NULL, MOVED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct fuse_out_header out = { .len = sizeof(out) + MOVED };
	struct iovec head = { &out, sizeof(out) };
	int p[2], fd, file = memfd_create("data", 0);
	unsigned long reads;
	pid_t pid;

	for (int i = 0; i < MOVED; i++)
		moved_data[i] = i * 3 + i / 4096;
	memcpy(memory, moved_data, MOVED);
	CHECK_EQ(write(file, moved_data, MOVED), MOVED);
	CHECK_EQ(lseek(file, 0, SEEK_SET), 0);
	fs->open_flags = FOPEN_KEEP_CACHE;
	fs->entry_valid = fs->attr_valid = 1000;
	fs->node[2].size = MOVED;
	pid = fork();
	if (pid == 0) {
		close(fs->fd);
		fd = open(rawfs_path(fs, "file"), O_RDONLY);
		_exit(pread(fd, buf, MOVED, 0) != MOVED || memcmp(buf, moved_data, MOVED));
	}
	rawfs_expect(fs, &req, FUSE_READ);
	CHECK_EQ(((struct fuse_read_in *)req.body)->size, MOVED);
	CHECK_EQ(pipe(p), 0);
	out.unique = req.in.unique;
	CHECK_EQ(vmsplice(p[1], &head, 1, 0), sizeof(out));
	CHECK(fill(p[1], memory, file));
	CHECK_EQ(splice(p[0], NULL, fs->fd, NULL, out.len, flags), out.len);
	memset(memory, 'x', MOVED);
	fs->node[2].data[0] = 'y';
	rawfs_serve(fs);
	CHECK_EQ(exit_of(pid), 0);
	reads = fs->count[FUSE_READ];
	fd = open(rawfs_path(fs, "file"), O_RDONLY);
	CHECK_EQ(pread(fd, buf, MOVED, 0), MOVED);
	CHECK(!memcmp(buf, moved_data, MOVED));
	CHECK_EQ(fs->count[FUSE_READ], reads);
	close(fd);
	CHECK_EQ(pread(file, buf, MOVED, 0), MOVED);
	CHECK(!memcmp(buf, moved_data, MOVED));
	CHECK_EQ(pwrite(file, memory, MOVED, 0), MOVED);
	fd = open(rawfs_path(fs, "file"), O_RDONLY);
	CHECK_EQ(pread(fd, buf, MOVED, 0), MOVED);
	CHECK(!memcmp(buf, moved_data, MOVED));
	close(fd);
	rawfs_stop(fs);
}

static bool fill_gift(int pipe, char *memory, int file)
{
	struct iovec data = { memory, MOVED };

	return vmsplice(pipe, &data, 1, SPLICE_F_GIFT) == MOVED;
}

TEST(vmspliced_reply_is_moved)
{
	moved(fill_gift, SPLICE_F_MOVE);
}

TEST(vmspliced_reply_is_copied)
{
	moved(fill_gift, 0);
}

static bool fill_written(int pipe, char *memory, int file)
{
	return write(pipe, memory, MOVED) == MOVED;
}

TEST(reply_in_pages_of_the_pipe_is_moved)
{
	moved(fill_written, SPLICE_F_MOVE);
}

static bool fill_file(int pipe, char *memory, int file)
{
	return splice(file, NULL, pipe, NULL, MOVED, 0) == MOVED;
}

TEST(reply_spliced_from_a_file_is_moved)
{
	moved(fill_file, SPLICE_F_MOVE);
}

TEST(poll_tells)
{
	struct rawfs *fs = ready_fs();
	struct pollfd p = { .fd = fs->fd, .events = POLLIN | POLLOUT };
	pid_t pid;

	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(p.revents, POLLOUT);
	pid = stat_in_child(fs, "file");
	p.events = POLLIN;
	CHECK_EQ(poll(&p, 1, ktap_ms(5000)), 1);
	CHECK_EQ(p.revents, POLLIN);
	rawfs_serve(fs);
	CHECK_EQ(exit_of(pid), 0);
	rawfs_stop(fs);
}

TEST(poll_of_an_ended_connection)
{
	struct rawfs *fs = ready_fs();
	struct pollfd p = { .fd = fs->fd,
			    .events = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM };
	pid_t pid = stat_in_child(fs, "file");

	await_request(fs);
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(p.revents, POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM);
	umount2(fs->mnt, MNT_FORCE);
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(p.revents, POLLERR);
	CHECK_EQ(exit_of(pid), ECONNABORTED);
	EVENTUALLY(umount(fs->mnt) == 0 || errno == EINVAL);
}

TEST(poll_on_unmounted_device_is_an_error)
{
	struct pollfd p = { .fd = rawfs_open(), .events = POLLIN };

	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK(p.revents & POLLERR);
}

TEST(epoll_wakes_and_tells_of_the_end)
{
	struct rawfs *fs = ready_fs();
	int ep = epoll_create1(0);
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	pid_t pid;

	CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, fs->fd, &ev), 0);
	CHECK_EQ(epoll_wait(ep, &ev, 1, 0), 0);
	pid = stat_in_child(fs, "file");
	CHECK_EQ(epoll_wait(ep, &ev, 1, 5000), 1);
	/* That may have made it idle in time. */
	umount2(fs->mnt, MNT_FORCE);
	CHECK_EQ(epoll_wait(ep, &ev, 1, 5000), 1);
	CHECK(ev.events & EPOLLERR);
	CHECK(exit_of(pid) != 0);
}

static volatile sig_atomic_t got_sigio;

static void on_sigio(int sig)
{
	got_sigio++;
}

TEST(fasync_signals)
{
	struct rawfs *fs = ready_fs();
	pid_t pid;

	signal(SIGIO, on_sigio);
	CHECK_EQ(fcntl(fs->fd, F_SETOWN, getpid()), 0);
	CHECK_EQ(fcntl(fs->fd, F_SETFL, O_ASYNC), 0);
	pid = stat_in_child(fs, "file");
	EVENTUALLY(got_sigio > 0);
	CHECK_EQ(fcntl(fs->fd, F_SETFL, 0), 0);
	rawfs_serve(fs);
	CHECK_EQ(exit_of(pid), 0);
	rawfs_stop(fs);
}

TEST(aio_poll)
{
	struct rawfs *fs = ready_fs();
	aio_context_t ctx = 0;
	struct iocb cb = { .aio_fildes = fs->fd,
			   .aio_lio_opcode = IOCB_CMD_POLL,
			   .aio_buf = POLLIN },
		    *cbs[] = { &cb };
	struct io_event ev;
	struct timespec five = { .tv_sec = 5 }, none = {};
	pid_t pid;

	CHECK_EQ(syscall(SYS_io_setup, 8, &ctx), 0);
	CHECK_EQ(syscall(SYS_io_submit, ctx, 1, cbs), 1);
	CHECK_EQ(syscall(SYS_io_getevents, ctx, 0, 1, &ev, &none), 0);
	pid = stat_in_child(fs, "file");
	CHECK_EQ(syscall(SYS_io_getevents, ctx, 1, 1, &ev, &five), 1);
	CHECK(ev.res & POLLIN);
	rawfs_serve(fs);
	CHECK_EQ(exit_of(pid), 0);
	rawfs_stop(fs);
}

TEST(aio_poll_is_cancelled)
{
	struct rawfs *fs = ready_fs();
	aio_context_t ctx = 0;
	struct iocb cb = { .aio_fildes = fs->fd,
			   .aio_lio_opcode = IOCB_CMD_POLL,
			   .aio_buf = POLLIN },
		    *cbs[] = { &cb };
	struct io_event ev;
	struct timespec five = { .tv_sec = 5 };
	struct stat st;

	CHECK_EQ(syscall(SYS_io_setup, 8, &ctx), 0);
	CHECK_EQ(syscall(SYS_io_submit, ctx, 1, cbs), 1);
	CHECK_ERR(syscall(SYS_io_cancel, ctx, &cb, &ev), EINPROGRESS);
	CHECK_EQ(syscall(SYS_io_getevents, ctx, 1, 1, &ev, &five), 1);
	CHECK_EQ(ev.res, 0);
	/* Another one is ended with its context, which holds the file until then. */
	CHECK_EQ(syscall(SYS_io_submit, ctx, 1, cbs), 1);
	close(fs->fd);
	CHECK_EQ(syscall(SYS_io_destroy, ctx), 0);
	EVENTUALLY(stat(rawfs_path(fs, "file"), &st) == -1 && errno == ENOTCONN);
	CHECK_EQ(umount(fs->mnt), 0);
}

TEST(aio_poll_tells_of_the_end)
{
	struct rawfs *fs = ready_fs();
	aio_context_t ctx = 0;
	struct iocb cb = { .aio_fildes = fs->fd,
			   .aio_lio_opcode = IOCB_CMD_POLL,
			   .aio_buf = POLLIN },
		    *cbs[] = { &cb };
	struct io_event ev;
	struct timespec five = { .tv_sec = 5 };

	CHECK_EQ(syscall(SYS_io_setup, 8, &ctx), 0);
	CHECK_EQ(syscall(SYS_io_submit, ctx, 1, cbs), 1);
	CHECK_EQ(umount(fs->mnt), 0);
	CHECK_EQ(syscall(SYS_io_getevents, ctx, 1, 1, &ev, &five), 1);
	CHECK_EQ(ev.res, POLLERR);
}

TEST(aio_read_and_write)
{
	struct rawfs *fs = ready_fs();
	static struct rawfs_req req;
	aio_context_t ctx = 0;
	struct message m;
	struct iocb rd = { .aio_fildes = fs->fd,
			   .aio_lio_opcode = IOCB_CMD_PREAD,
			   .aio_buf = (uintptr_t)&req,
			   .aio_nbytes = sizeof(req) },
		    wr = { .aio_fildes = fs->fd,
			   .aio_lio_opcode = IOCB_CMD_PWRITE,
			   .aio_buf = (uintptr_t)&m,
			   .aio_nbytes = sizeof(m) },
		    *cbs[] = { &rd };
	struct io_event ev;
	struct timespec five = { .tv_sec = 5 };
	pid_t pid = stat_in_child(fs, "file");

	CHECK_EQ(syscall(SYS_io_setup, 8, &ctx), 0);
	CHECK_EQ(syscall(SYS_io_submit, ctx, 1, cbs), 1);
	CHECK_EQ(syscall(SYS_io_getevents, ctx, 1, 1, &ev, &five), 1);
	CHECK_EQ(req.in.opcode, FUSE_LOOKUP);
	CHECK_EQ(ev.res, req.in.len);
	fs->attr_valid = 100;
	rawfs_entry(fs, 2, &m.entry);
	m.out = (struct fuse_out_header){ .len = sizeof(m), .unique = req.in.unique };
	fs->node[2].nlookup++;
	cbs[0] = &wr;
	CHECK_EQ(syscall(SYS_io_submit, ctx, 1, cbs), 1);
	CHECK_EQ(syscall(SYS_io_getevents, ctx, 1, 1, &ev, &five), 1);
	CHECK_EQ(ev.res, sizeof(m));
	end_well(fs, pid);
}

TEST(clone_shares_requests_but_not_replies)
{
	struct rawfs *fs = ready_fs();
	static struct rawfs_req req;
	struct fuse_entry_out entry;
	uint32_t fd = fs->fd;
	int clone = rawfs_open();
	pid_t pid;

	CHECK_EQ(ioctl(clone, FUSE_DEV_IOC_CLONE, &fd), 0);
	CHECK_ERR(ioctl(clone, FUSE_DEV_IOC_CLONE, &fd), EINVAL);
	pid = stat_in_child(fs, "file");
	CHECK(rawfs_read(clone, &req));
	CHECK_EQ(req.in.opcode, FUSE_LOOKUP);
	rawfs_entry(fs, 2, &entry);
	entry.attr_valid = 100;
	CHECK_ERR(rawfs_reply(fs->fd, req.in.unique, 0, &entry, sizeof(entry)), ENOENT);
	CHECK(rawfs_reply(clone, req.in.unique, 0, &entry, sizeof(entry)) > 0);
	CHECK_EQ(exit_of(pid), 0);
	close(clone);
	rawfs_serve(fs);
	rawfs_stop(fs);
}

TEST(clone_of_something_else_is_refused)
{
	int dev = rawfs_open();
	uint32_t null = open("/dev/null", O_RDWR), unmounted = rawfs_open();

	CHECK_ERR(ioctl(dev, FUSE_DEV_IOC_CLONE, &null), EINVAL);
	CHECK_ERR(ioctl(dev, FUSE_DEV_IOC_CLONE, &unmounted), EPERM);
	CHECK_ERR(ioctl(dev, 0x1234, &null), ENOTTY);
}

TEST(close_of_a_clone_ends_what_it_took)
{
	struct rawfs *fs = ready_fs();
	static struct rawfs_req req;
	uint32_t fd = fs->fd;
	int clone = rawfs_open();
	struct stat st;
	pid_t pid;

	CHECK_EQ(ioctl(clone, FUSE_DEV_IOC_CLONE, &fd), 0);
	pid = fork();
	if (pid == 0) {
		close(clone);
		close(fs->fd);
		_exit(stat(rawfs_path(fs, "file"), &st) ? errno : 0);
	}
	CHECK(rawfs_read(clone, &req));
	close(clone);
	CHECK_EQ(exit_of(pid), ECONNABORTED);
	rawfs_serve(fs);
	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
	rawfs_stop(fs);
}

TEST(last_of_several_devices_ends_the_connection)
{
	struct rawfs *fs = ready_fs();
	static struct rawfs_req first, second;
	uint32_t fd = fs->fd;
	int a = rawfs_open(), b = rawfs_open();
	struct stat st;
	pid_t pids[3];

	CHECK_EQ(ioctl(a, FUSE_DEV_IOC_CLONE, &fd), 0);
	/* A clone can be cloned. */
	fd = a;
	CHECK_EQ(ioctl(b, FUSE_DEV_IOC_CLONE, &fd), 0);
	for (int i = 0; i < 3; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			close(fs->fd);
			close(a);
			close(b);
			_exit(stat(fs->mnt, &st) ? errno : 0);
		}
	}
	CHECK(rawfs_read(fs->fd, &first));
	CHECK(rawfs_read(b, &second));
	CHECK_EQ(first.in.opcode, FUSE_GETATTR);
	CHECK_EQ(second.in.opcode, FUSE_GETATTR);
	/* The one that was mounted with is not special: only what it took ends. */
	close(fs->fd);
	pid_t ended = waitpid(-1, (int[1]){}, 0);
	int seen = 0;

	for (int i = 0; i < 3; i++)
		seen += pids[i] == ended;
	CHECK_EQ(seen, 1);
	usleep(100000);
	CHECK_EQ(waitpid(-1, NULL, WNOHANG), 0);
	/* What nobody had taken is there for the others. */
	CHECK(rawfs_read(a, &first));
	CHECK_EQ(first.in.opcode, FUSE_GETATTR);
	CHECK_ERR(rawfs_reply(a, second.in.unique, EPERM, NULL, 0), ENOENT);
	CHECK_ERR(rawfs_reply(b, first.in.unique, EPERM, NULL, 0), ENOENT);
	CHECK(rawfs_reply(a, first.in.unique, EPERM, NULL, 0) > 0);
	int status;

	CHECK(waitpid(-1, &status, 0) > 0);
	CHECK_EQ(WEXITSTATUS(status), EPERM);
	close(a);
	usleep(100000);
	CHECK_EQ(waitpid(-1, NULL, WNOHANG), 0);
	close(b);
	CHECK(waitpid(-1, &status, 0) > 0);
	CHECK_EQ(WEXITSTATUS(status), ECONNABORTED);
	CHECK_ERR(stat(fs->mnt, &st), ENOTCONN);
	CHECK_EQ(umount(fs->mnt), 0);
}

TEST(clone_of_an_ended_connection)
{
	struct rawfs *fs = ready_fs();
	static struct rawfs_req req;
	uint32_t fd = fs->fd;
	int clone = rawfs_open();

	CHECK_EQ(umount(fs->mnt), 0);
	CHECK_EQ(ioctl(clone, FUSE_DEV_IOC_CLONE, &fd), 0);
	CHECK_ERR(read(clone, &req, sizeof(req)), ENODEV);
	close(fs->fd);
	CHECK_ERR(read(clone, &req, sizeof(req)), ENODEV);
}

TEST(clone_argument)
{
	struct rawfs *fs = ready_fs();
	uint32_t closed = 999, fd = fs->fd;
	int dev = rawfs_open();

	CHECK_ERR(ioctl(dev, FUSE_DEV_IOC_CLONE, &closed), EINVAL);
	CHECK_ERR(ioctl(dev, FUSE_DEV_IOC_CLONE, nowhere), EFAULT);
	/* It is no worse for that. */
	CHECK_EQ(ioctl(dev, FUSE_DEV_IOC_CLONE, &fd), 0);
	rawfs_serve(fs);
	rawfs_stop(fs);
}

TEST(fdinfo_names_the_connection)
{
	struct rawfs *fs = ready_fs();
	char path[64], line[256];
	struct stat st;
	unsigned int id = 0;
	bool found = false;
	FILE *f;

	rawfs_serve(fs);
	CHECK_EQ(stat(fs->mnt, &st), 0);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fs->fd);
	f = fopen(path, "r");
	while (fgets(line, sizeof(line), f))
		found |= sscanf(line, "fuse_connection:\t%u", &id) == 1;
	fclose(f);
	CHECK(found);
	CHECK_EQ(id, st.st_dev);
	rawfs_stop(fs);
}

TEST(close_ends_the_connection)
{
	struct rawfs *fs = ready_fs();
	static struct rawfs_req req;
	struct stat st;
	pid_t pid = stat_in_child(fs, "file");

	CHECK(rawfs_read(fs->fd, &req));
	close(fs->fd);
	CHECK_EQ(exit_of(pid), ECONNABORTED);
	CHECK_ERR(stat(rawfs_path(fs, "file"), &st), ENOTCONN);
	CHECK_EQ(umount(fs->mnt), 0);
}

TEST(forced_umount_ends_waiters)
{
	struct rawfs *fs = ready_fs();
	static struct rawfs_req req;
	pid_t pid = stat_in_child(fs, "file");

	CHECK(rawfs_read(fs->fd, &req));
	umount2(fs->mnt, MNT_FORCE);
	CHECK_EQ(exit_of(pid), ECONNABORTED);
	EVENTUALLY(umount(fs->mnt) == 0 || errno == EINVAL);
	CHECK(!rawfs_read(fs->fd, &req));
}

static void *reader(void *arg)
{
	struct rawfs *fs = arg;
	struct rawfs_req *req = malloc(sizeof(*req));

	while (rawfs_read(fs->fd, req))
		rawfs_default(fs, req);
	free(req);
	return NULL;
}

TEST(several_readers)
{
	struct rawfs *fs = ready_fs();
	pthread_t t[3];
	pid_t pids[4];

	for (int i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, reader, fs);
	rawfs_serve(fs);
	for (int i = 0; i < 4; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			struct stat st;

			for (int k = 0; k < 500; k++)
				if (stat(rawfs_path(fs, "file"), &st))
					_exit(1);
			_exit(0);
		}
	}
	for (int i = 0; i < 4; i++)
		CHECK_EQ(exit_of(pids[i]), 0);
	rawfs_stop(fs);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
}

TEST(bad_destination_loses_only_the_request)
{
	struct rawfs *fs = ready_fs();
	struct stat st;
	pid_t pid = stat_in_child(fs, "file");
	struct pollfd p = { .fd = fs->fd, .events = POLLIN };

	CHECK_EQ(poll(&p, 1, ktap_ms(5000)), 1);
	CHECK_ERR(read(fs->fd, nowhere, 1 << 20), EFAULT);
	CHECK_EQ(exit_of(pid), EIO);
	rawfs_serve(fs);
	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
	rawfs_stop(fs);
}

TEST(destination_that_ends_in_the_request)
{
	struct rawfs *fs = ready_fs();
	char *mem = cut_memory(4096, 1 << 20);
	struct stat st;
	pid_t pid = stat_in_child(fs, "file");

	await_request(fs);
	/* Not even the header fits before the hole. */
	CHECK_ERR(read(fs->fd, mem + 4096 - 10, (1 << 20) - 4096), EFAULT);
	CHECK_EQ(exit_of(pid), EIO);
	/* The header fits, the name does not. */
	pid = stat_in_child(fs, "file");
	await_request(fs);
	CHECK_ERR(read(fs->fd, mem + 4096 - 42, (1 << 20) - 4096), EFAULT);
	CHECK_EQ(exit_of(pid), EIO);
	rawfs_serve(fs);
	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
	rawfs_stop(fs);
}

TEST(destination_that_ends_behind_the_request)
{
	struct rawfs *fs = ready_fs();
	char *mem = cut_memory(4096, 1 << 20);
	static struct rawfs_req req;
	pid_t pid = stat_in_child(fs, "file");
	ssize_t n;

	await_request(fs);
	n = read(fs->fd, mem, 1 << 20);
	CHECK(n > 40);
	memcpy(&req, mem, n);
	CHECK_EQ(req.in.len, n);
	CHECK_EQ(req.in.opcode, FUSE_LOOKUP);
	rawfs_default(fs, &req);
	end_well(fs, pid);
}

TEST(destination_that_ends_in_the_data)
{
	struct rawfs *fs = ready_fs();
	char *mem = cut_memory(8192, 1 << 20);
	static struct rawfs_req req;
	pid_t pid = fork();
	int fd;

	if (pid == 0) {
		static char data[16384];

		close(fs->fd);
		fd = open(rawfs_path(fs, "file"), O_WRONLY);
		_exit(write(fd, data, sizeof(data)) == -1 ? errno : 0);
	}
	CHECK(rawfs_read(fs->fd, &req));
	rawfs_default(fs, &req);
	CHECK(rawfs_read(fs->fd, &req));
	CHECK_EQ(req.in.opcode, FUSE_OPEN);
	fs->open_flags = FOPEN_NOFLUSH;
	rawfs_default(fs, &req);
	for (;;) {
		struct pollfd p = { .fd = fs->fd, .events = POLLIN };
		ssize_t n;

		CHECK_EQ(poll(&p, 1, ktap_ms(5000)), 1);
		n = read(fs->fd, mem, 1 << 20);
		if (n < 0)
			break;
		/* It may ask for the capability attribute first. */
		memcpy(&req, mem, n);
		rawfs_default(fs, &req);
	}
	CHECK_EQ(errno, EFAULT);
	rawfs_serve(fs);
	CHECK_EQ(exit_of(pid), EIO);
	rawfs_stop(fs);
}

TEST(destination_of_a_forget)
{
	struct rawfs *fs = ready_fs();
	char *mem = cut_memory(4096, 1 << 20);
	struct pollfd p = { .fd = fs->fd, .events = POLLIN };
	static struct rawfs_req req;
	struct stat st;
	pid_t pid = stat_in_child(fs, "file");

	rawfs_expect(fs, &req, FUSE_LOOKUP);
	fs->attr_valid = 1000;
	rawfs_default(fs, &req);
	CHECK_EQ(exit_of(pid), 0);
	pid = fork();
	if (pid == 0) {
		int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);

		_exit(write(fd, "2", 1) != 1);
	}
	CHECK_EQ(poll(&p, 1, ktap_ms(5000)), 1);
	CHECK_ERR(read(fs->fd, mem + 4096 - 10, (1 << 20) - 4096), EFAULT);
	/* It is lost; the connection is not. */
	CHECK_EQ(poll(&p, 1, 100), 0);
	CHECK_EQ(exit_of(pid), 0);
	rawfs_serve(fs);
	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
	rawfs_stop(fs);
}

TEST(source_that_ends_in_the_header)
{
	struct rawfs *fs = ready_fs();
	char *mem = cut_memory(4096, 8192);
	struct message m;
	pid_t pid = begin_lookup(fs, &m);

	memcpy(mem + 4096 - 10, &m, 10);
	CHECK_ERR(write(fs->fd, mem + 4096 - 10, sizeof(m)), EFAULT);
	/* Nobody was meant, so nobody is harmed. */
	CHECK_EQ(write(fs->fd, &m, sizeof(m)), sizeof(m));
	end_well(fs, pid);
}

TEST(source_that_ends_in_the_body)
{
	struct rawfs *fs = ready_fs();
	char *mem = cut_memory(4096, 8192);
	struct message m;
	struct stat st;
	pid_t pid = begin_lookup(fs, &m);

	memcpy(mem + 4096 - 20, &m, 20);
	CHECK_ERR(write(fs->fd, mem + 4096 - 20, sizeof(m)), EFAULT);
	CHECK_EQ(exit_of(pid), EIO);
	CHECK_ERR(write(fs->fd, &m, sizeof(m)), ENOENT);
	rawfs_serve(fs);
	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
	rawfs_stop(fs);
}

TEST(empty_segments)
{
	struct rawfs *fs = ready_fs();
	static struct rawfs_req req;
	struct message m;
	char *b = (char *)&m, *r = (char *)&req;
	struct iovec in[] = { { nowhere, 0 }, { r, 16 }, { NULL, 0 }, { r + 16, 0 },
			      { r + 16, sizeof(req) - 16 }, { nowhere, 0 } };
	struct iovec out[] = { { NULL, 0 }, { b, 16 }, { nowhere, 0 }, { b + 16, 1 },
			       { b + 17, 0 }, { b + 17, sizeof(m) - 17 }, { nowhere, 0 } };
	pid_t pid = stat_in_child(fs, "file");
	ssize_t n = readv(fs->fd, in, 6);

	CHECK(n > 40);
	CHECK_EQ(req.in.len, n);
	CHECK_EQ(req.in.opcode, FUSE_LOOKUP);
	CHECK(!strcmp(req.body, "file"));
	fs->attr_valid = 100;
	rawfs_entry(fs, 2, &m.entry);
	m.out = (struct fuse_out_header){ .len = sizeof(m), .unique = req.in.unique };
	fs->node[2].nlookup++;
	CHECK_EQ(writev(fs->fd, out, 7), sizeof(m));
	end_well(fs, pid);
}

TEST(nothing_at_all)
{
	struct rawfs *fs = ready_fs();
	struct iovec none[2] = {};
	struct message m;
	pid_t pid = begin_lookup(fs, &m);

	CHECK_ERR(read(fs->fd, &m, 0), EINVAL);
	CHECK_ERR(write(fs->fd, &m, 0), EINVAL);
	CHECK_EQ(readv(fs->fd, none, 2), 0);
	CHECK_EQ(writev(fs->fd, none, 2), 0);
	CHECK_EQ(write(fs->fd, &m, sizeof(m)), sizeof(m));
	end_well(fs, pid);
}
