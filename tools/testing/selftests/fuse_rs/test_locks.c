// SPDX-License-Identifier: GPL-2.0
/* Locks: who keeps them, what the server is told of them, and when they end. */
#include <fcntl.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include "record.h"

#define LOCKS (FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS)

/* How SETLK and SETLKW are answered; KEEP leaves them waiting. */
#define KEEP 1000
static atomic_int answer;
static _Atomic uint64_t kept_unique;
/* The answer to GETLK. */
static struct fuse_lk_out in_the_way = { .lk.type = F_UNLCK };

static bool serve_locks(struct rawfs *fs, struct rawfs_req *req)
{
	switch (req->in.opcode) {
	case FUSE_GETLK:
		return reply(fs, req, answer, &in_the_way, answer ? 0 : sizeof(in_the_way));
	case FUSE_SETLK:
	case FUSE_SETLKW:
		if (answer != KEEP)
			return reply(fs, req, answer, NULL, 0);
		kept_unique = req->in.unique;
		return true;
	case FUSE_INTERRUPT:
		rawfs_reply(fs->fd, kept_unique, EINTR, NULL, 0);
		kept_unique = 0;
		return true;
	}
	return false;
}

static struct rawfs *minor_fs(uint32_t minor, uint32_t flags)
{
	struct rawfs *fs = recording_fs();

	special = serve_locks;
	fs->init_out = (struct fuse_init_out){
		.major = 7,
		.minor = minor,
		.max_readahead = 131072,
		.max_write = 131072,
		.max_pages = 32,
		.flags = FUSE_BIG_WRITES | FUSE_MAX_PAGES | FUSE_ASYNC_READ | flags,
	};
	rawfs_start(fs, "");
	return fs;
}

static struct rawfs *lock_fs(uint32_t flags)
{
	return minor_fs(31, flags);
}

static int open_file(struct rawfs *fs)
{
	int fd = open(rawfs_path(fs, "file"), O_RDWR);

	CHECK(fd >= 0);
	return fd;
}

static int lock_range(int fd, int command, short type, off_t start, off_t len)
{
	struct flock lock = { .l_type = type, .l_start = start, .l_len = len };

	return fcntl(fd, command, &lock);
}

static struct fuse_lk_in *asked_lock(uint32_t opcode)
{
	CHECK_EQ(last_request(opcode)->len, sizeof(struct fuse_lk_in));
	return last(opcode);
}

TEST(the_client_offers_both_sorts_of_locks)
{
	struct rawfs *fs = lock_fs(0);

	EVENTUALLY(fs->init_in.major == 7);
	CHECK_EQ(fs->init_in.flags & LOCKS, LOCKS);
	rawfs_stop(fs);
}

TEST(locks_are_local_if_the_server_keeps_none)
{
	struct rawfs *fs = lock_fs(0);
	int fd = open_file(fs), other = open_file(fs);

	CHECK_EQ(lock_range(fd, F_SETLK, F_WRLCK, 0, 10), 0);
	CHECK_EQ(IN_CHILD(lock_range(fd, F_SETLK, F_WRLCK, 5, 1)), EAGAIN);
	CHECK_EQ(IN_CHILD(lock_range(fd, F_SETLK, F_WRLCK, 10, 1)), 0);
	CHECK_EQ(flock(fd, LOCK_EX), 0);
	CHECK_ERR(flock(other, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	CHECK_EQ(fs->count[FUSE_SETLK] + fs->count[FUSE_SETLKW] + fs->count[FUSE_GETLK], 0);
	/* They end with the close. */
	close(other);
	close(fd);
	fd = open_file(fs);
	CHECK_EQ(IN_CHILD(lock_range(fd, F_SETLK, F_WRLCK, 0, 10)), 0);
	CHECK_EQ(flock(fd, LOCK_EX | LOCK_NB), 0);
	close(fd);
	rawfs_stop(fs);
}

TEST(a_local_lock_is_waited_for)
{
	struct rawfs *fs = lock_fs(0);
	int fd = open_file(fs), status;
	pid_t pid;

	CHECK_EQ(lock_range(fd, F_SETLK, F_WRLCK, 0, 10), 0);
	pid = fork();
	if (pid == 0)
		_exit(lock_range(fd, F_SETLKW, F_WRLCK, 0, 10) ? errno : 0);
	usleep(50000);
	CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);
	CHECK_EQ(lock_range(fd, F_SETLK, F_UNLCK, 0, 10), 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	close(fd);
	rawfs_stop(fs);
}

TEST(a_record_lock_is_a_setlk)
{
	struct rawfs *fs = lock_fs(LOCKS);
	int fd = open_file(fs);
	struct fuse_lk_in *in;
	uint64_t owner;

	CHECK_EQ(lock_range(fd, F_SETLK, F_WRLCK, 7, 10), 0);
	in = asked_lock(FUSE_SETLK);
	owner = in->owner;
	CHECK_EQ(last_request(FUSE_SETLK)->in.nodeid, 2);
	CHECK_EQ(in->fh, 2);
	CHECK_EQ(in->lk.start, 7);
	CHECK_EQ(in->lk.end, 16);
	CHECK_EQ(in->lk.type, F_WRLCK);
	CHECK_EQ(in->lk.pid, getpid());
	CHECK_EQ(in->lk_flags, 0);
	CHECK_EQ(lock_range(fd, F_SETLK, F_RDLCK, 0, 0), 0);
	in = asked_lock(FUSE_SETLK);
	CHECK_EQ(in->owner, owner);
	CHECK_EQ(in->lk.start, 0);
	CHECK_EQ(in->lk.end, INT64_MAX);
	CHECK_EQ(in->lk.type, F_RDLCK);
	CHECK_EQ(lock_range(fd, F_SETLK, F_UNLCK, 8, 1), 0);
	in = asked_lock(FUSE_SETLK);
	CHECK_EQ(in->owner, owner);
	CHECK_EQ(in->lk.start, 8);
	CHECK_EQ(in->lk.end, 8);
	CHECK_EQ(in->lk.type, F_UNLCK);
	CHECK_EQ(in->lk.pid, 0);
	CHECK_EQ(fs->count[FUSE_SETLKW], 0);
	close(fd);
	rawfs_stop(fs);
}

TEST(a_lock_that_is_waited_for_is_a_setlkw)
{
	struct rawfs *fs = lock_fs(LOCKS);
	int fd = open_file(fs);

	CHECK_EQ(lock_range(fd, F_SETLKW, F_WRLCK, 0, 1), 0);
	CHECK_EQ(asked_lock(FUSE_SETLKW)->lk.end, 0);
	CHECK_EQ(asked_lock(FUSE_SETLKW)->lk.pid, getpid());
	CHECK_EQ(fs->count[FUSE_SETLK], 0);
	close(fd);
	rawfs_stop(fs);
}

TEST(the_server_refuses_a_lock)
{
	struct rawfs *fs = lock_fs(LOCKS);
	int fd = open_file(fs);

	answer = EAGAIN;
	CHECK_ERR(lock_range(fd, F_SETLK, F_WRLCK, 0, 1), EAGAIN);
	CHECK_ERR(flock(fd, LOCK_EX | LOCK_NB), EAGAIN);
	answer = EDEADLK;
	CHECK_ERR(lock_range(fd, F_SETLKW, F_WRLCK, 0, 1), EDEADLK);
	answer = ENOLCK;
	CHECK_ERR(flock(fd, LOCK_EX), ENOLCK);
	answer = 0;
	close(fd);
	rawfs_stop(fs);
}

TEST(the_server_knows_of_locks_in_the_way)
{
	struct rawfs *fs = lock_fs(LOCKS);
	int fd = open_file(fs);
	struct flock lock = { .l_type = F_WRLCK, .l_start = 5, .l_len = 5 };
	struct fuse_lk_in *in;

	in_the_way.lk = (struct fuse_file_lock){ .start = 6, .end = 8, .type = F_RDLCK, .pid = getpid() };
	CHECK_EQ(fcntl(fd, F_GETLK, &lock), 0);
	in = asked_lock(FUSE_GETLK);
	CHECK_EQ(in->fh, 2);
	CHECK_EQ(in->lk.start, 5);
	CHECK_EQ(in->lk.end, 9);
	CHECK_EQ(in->lk.type, F_WRLCK);
	CHECK_EQ(in->lk_flags, 0);
	CHECK_EQ(lock.l_type, F_RDLCK);
	CHECK_EQ(lock.l_start, 6);
	CHECK_EQ(lock.l_len, 3);
	CHECK_EQ(lock.l_pid, getpid());
	in_the_way.lk = (struct fuse_file_lock){ .type = F_UNLCK };
	lock = (struct flock){ .l_type = F_RDLCK, .l_len = 1 };
	CHECK_EQ(fcntl(fd, F_GETLK, &lock), 0);
	CHECK_EQ(lock.l_type, F_UNLCK);
	/* To the end of all files. */
	in_the_way.lk = (struct fuse_file_lock){ .end = INT64_MAX, .type = F_WRLCK };
	lock = (struct flock){ .l_type = F_RDLCK, .l_len = 1 };
	CHECK_EQ(fcntl(fd, F_GETLK, &lock), 0);
	CHECK_EQ(lock.l_type, F_WRLCK);
	CHECK_EQ(lock.l_len, 0);
	close(fd);
	rawfs_stop(fs);
}

TEST(what_is_no_lock_is_not_believed)
{
	static const struct fuse_file_lock bad[] = {
		{ .start = 2, .end = 1, .type = F_RDLCK },
		{ .start = 0, .end = 1ull << 63, .type = F_WRLCK },
		{ .start = -1ull, .end = -1ull, .type = F_WRLCK },
		{ .start = 0, .end = 1, .type = 3 },
		{ .start = 0, .end = 1, .type = 0x100 },
	};
	struct rawfs *fs = lock_fs(LOCKS);
	int fd = open_file(fs);

	for (int i = 0; i < 5; i++) {
		in_the_way.lk = bad[i];
		CHECK_ERR(lock_range(fd, F_GETLK, F_WRLCK, 0, 1), EIO);
	}
	close(fd);
	rawfs_stop(fs);
}

/* Runs `run` as process 1 of a process namespace of its own; it returns an exit status. */
static int in_pid_namespace(int (*run)(int), int arg)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (unshare(CLONE_NEWPID))
			_exit(255);
		pid = fork();
		if (pid == 0)
			_exit(getpid() == 1 ? run(arg) : 254);
		waitpid(pid, &status, 0);
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 253);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int lock_one(int fd)
{
	return lock_range(fd, F_SETLK, F_WRLCK, 0, 1) ? errno : 0;
}

static int who_locks(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_len = 1 };

	return fcntl(fd, F_GETLK, &lock) ? 255 : lock.l_pid;
}

TEST(process_ids_are_those_of_the_mounts_namespace)
{
	struct rawfs *fs = lock_fs(LOCKS);
	int fd = open_file(fs);
	struct flock lock = { .l_type = F_WRLCK, .l_len = 1 };

	CHECK_EQ(in_pid_namespace(lock_one, fd), 0);
	CHECK(asked_lock(FUSE_SETLK)->lk.pid > 1);
	/* The namespace inside does not know the process outside. */
	in_the_way.lk = (struct fuse_file_lock){ .type = F_WRLCK, .pid = getpid() };
	CHECK_EQ(in_pid_namespace(who_locks, fd), 0);
	/* No such process. */
	in_the_way.lk.pid = 0x7fffffff;
	CHECK_EQ(fcntl(fd, F_GETLK, &lock), 0);
	CHECK_EQ(lock.l_type, F_WRLCK);
	CHECK_EQ(lock.l_pid, 0);
	close(fd);
	rawfs_stop(fs);
}

static uint64_t owner_of(int fd)
{
	CHECK_EQ(lock_range(fd, F_SETLK, F_WRLCK, 0, 1), 0);
	return asked_lock(FUSE_SETLK)->owner;
}

static void *thread_owner(void *fd)
{
	return (void *)owner_of(*(int *)fd);
}

TEST(a_process_owns_its_record_locks)
{
	struct rawfs *fs = lock_fs(LOCKS);
	int fd = open_file(fs), other = open_file(fs);
	uint64_t owner = owner_of(fd);
	struct flock lock = { .l_type = F_WRLCK, .l_len = 1 };
	pthread_t thread;
	void *threads;

	CHECK_EQ(owner_of(other), owner);
	CHECK(!pthread_create(&thread, NULL, thread_owner, &fd));
	pthread_join(thread, &threads);
	CHECK((uint64_t)threads == owner);
	CHECK_EQ(IN_CHILD(lock_range(fd, F_SETLK, F_WRLCK, 0, 1)), 0);
	CHECK(asked_lock(FUSE_SETLK)->owner != owner);
	/* The open file owns these. */
	CHECK_EQ(fcntl(fd, F_OFD_SETLK, &lock), 0);
	CHECK(asked_lock(FUSE_SETLK)->owner != owner);
	owner = asked_lock(FUSE_SETLK)->owner;
	CHECK_EQ(IN_CHILD(fcntl(fd, F_OFD_SETLK, &lock)), 0);
	CHECK(asked_lock(FUSE_SETLK)->owner == owner);
	CHECK_EQ(fcntl(other, F_OFD_SETLK, &lock), 0);
	CHECK(asked_lock(FUSE_SETLK)->owner != owner);
	close(other);
	close(fd);
	rawfs_stop(fs);
}

TEST(a_close_flushes_with_the_owner_of_the_locks)
{
	struct rawfs *fs = lock_fs(LOCKS);
	int fd = open_file(fs);
	uint64_t owner = owner_of(fd);

	close(dup(fd));
	CHECK_EQ(fs->count[FUSE_FLUSH], 1);
	CHECK(((struct fuse_flush_in *)last(FUSE_FLUSH))->lock_owner == owner);
	CHECK_EQ(((struct fuse_flush_in *)last(FUSE_FLUSH))->fh, 2);
	close(fd);
	rawfs_stop(fs);
}

static void on_signal(int number)
{
}

TEST(a_signal_ends_the_wait_for_a_lock)
{
	struct rawfs *fs = lock_fs(LOCKS);
	int fd = open_file(fs), status;
	pid_t pid;

	for (int i = 0; i < 2; i++) {
		answer = KEEP;
		pid = fork();
		if (pid == 0) {
			struct sigaction act = { .sa_handler = on_signal };

			sigaction(SIGUSR1, &act, NULL);
			if (i)
				_exit(lock_range(fd, F_SETLKW, F_WRLCK, 0, 1) ? errno : 0);
			_exit(flock(fd, LOCK_EX) ? errno : 0);
		}
		EVENTUALLY(kept_unique);
		CHECK_EQ(kill(pid, SIGUSR1), 0);
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		CHECK_EQ(status, EINTR << 8);
		CHECK_EQ(fs->count[FUSE_INTERRUPT], i + 1);
		CHECK_EQ(fs->count[FUSE_SETLKW], i + 1);
	}
	answer = 0;
	close(fd);
	rawfs_stop(fs);
}

TEST(a_wait_for_a_lock_is_resumed_after_a_signal_that_restarts)
{
	struct rawfs *fs = lock_fs(LOCKS);
	int fd = open_file(fs), status;
	uint64_t first;
	pid_t pid;

	answer = KEEP;
	pid = fork();
	if (pid == 0) {
		struct sigaction act = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

		sigaction(SIGUSR1, &act, NULL);
		_exit(lock_range(fd, F_SETLKW, F_WRLCK, 0, 1) ? errno : 0);
	}
	EVENTUALLY(kept_unique);
	first = kept_unique;
	CHECK_EQ(kill(pid, SIGUSR1), 0);
	EVENTUALLY(kept_unique && kept_unique != first);
	rawfs_reply(fs->fd, kept_unique, 0, NULL, 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	answer = 0;
	close(fd);
	rawfs_stop(fs);
}

/* Ignores INTERRUPT. */
static bool serve_stubbornly(struct rawfs *fs, struct rawfs_req *req)
{
	return req->in.opcode == FUSE_INTERRUPT || serve_locks(fs, req);
}

TEST(a_lock_granted_to_a_killed_process_is_given_back)
{
	RS_ONLY("a kill does not end the wait there");
	struct rawfs *fs = lock_fs(LOCKS);
	int fd = open_file(fs), status;
	struct fuse_lk_in *in;
	uint64_t owner;
	pid_t pid;

	special = serve_stubbornly;
	for (int i = 0; i < 2; i++) {
		answer = KEEP;
		kept_unique = 0;
		pid = fork();
		if (pid == 0)
			_exit(i ? flock(fd, LOCK_SH) : lock_range(fd, F_SETLKW, F_WRLCK, 3, 4));
		EVENTUALLY(kept_unique);
		owner = asked_lock(FUSE_SETLKW)->owner;
		CHECK_EQ(kill(pid, SIGKILL), 0);
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		CHECK_EQ(status, SIGKILL);
		CHECK_EQ(fs->count[FUSE_SETLK], i);
		answer = 0;
		rawfs_reply(fs->fd, kept_unique, 0, NULL, 0);
		EVENTUALLY(fs->count[FUSE_SETLK] == (unsigned long)i + 1);
		in = asked_lock(FUSE_SETLK);
		CHECK(in->owner == owner);
		CHECK_EQ(in->fh, 2);
		CHECK_EQ(in->lk.type, F_UNLCK);
		CHECK_EQ(in->lk.start, i ? 0 : 3);
		CHECK_EQ(in->lk.end, i ? INT64_MAX : 6);
		CHECK_EQ(in->lk_flags, i);
	}
	/* What was refused is not given back. */
	answer = KEEP;
	kept_unique = 0;
	pid = fork();
	if (pid == 0)
		_exit(lock_range(fd, F_SETLKW, F_WRLCK, 3, 4));
	EVENTUALLY(kept_unique);
	CHECK_EQ(kill(pid, SIGKILL), 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	rawfs_reply(fs->fd, kept_unique, EDEADLK, NULL, 0);
	answer = 0;
	close(fd);
	EVENTUALLY(fs->count[FUSE_RELEASE] == 1);
	CHECK_EQ(fs->count[FUSE_SETLK], 2);
	rawfs_stop(fs);
}

TEST(flock_is_a_setlk_of_the_open_file)
{
	struct rawfs *fs = lock_fs(LOCKS);
	int fd = open_file(fs), other = open_file(fs);
	struct fuse_lk_in *in;
	uint64_t owner;

	CHECK_EQ(flock(fd, LOCK_SH | LOCK_NB), 0);
	in = asked_lock(FUSE_SETLK);
	owner = in->owner;
	CHECK_EQ(in->lk_flags, FUSE_LK_FLOCK);
	CHECK_EQ(in->fh, 2);
	CHECK_EQ(in->lk.type, F_RDLCK);
	CHECK_EQ(in->lk.start, 0);
	CHECK_EQ(in->lk.end, INT64_MAX);
	CHECK_EQ(in->lk.pid, getpid());
	CHECK_EQ(flock(fd, LOCK_EX), 0);
	in = asked_lock(FUSE_SETLKW);
	CHECK_EQ(in->lk_flags, FUSE_LK_FLOCK);
	CHECK_EQ(in->lk.type, F_WRLCK);
	CHECK(in->owner == owner);
	CHECK_EQ(IN_CHILD(flock(fd, LOCK_UN)), 0);
	in = asked_lock(FUSE_SETLKW);
	CHECK_EQ(in->lk_flags, FUSE_LK_FLOCK);
	CHECK_EQ(in->lk.type, F_UNLCK);
	CHECK(in->owner == owner);
	CHECK_EQ(flock(other, LOCK_EX | LOCK_NB), 0);
	CHECK(asked_lock(FUSE_SETLK)->owner != owner);
	close(other);
	close(fd);
	rawfs_stop(fs);
}

TEST(a_release_ends_the_lock_of_flock)
{
	struct rawfs *fs = lock_fs(LOCKS);
	int fd = open_file(fs);
	struct fuse_release_in *in;
	uint64_t owner;

	CHECK_EQ(flock(fd, LOCK_EX | LOCK_NB), 0);
	owner = asked_lock(FUSE_SETLK)->owner;
	close(fd);
	EVENTUALLY(fs->count[FUSE_RELEASE] == 1);
	in = last(FUSE_RELEASE);
	CHECK_EQ(in->release_flags, FUSE_RELEASE_FLOCK_UNLOCK);
	CHECK(in->lock_owner == owner);
	/* There is no lock to end. */
	fd = open_file(fs);
	CHECK_EQ(lock_range(fd, F_SETLK, F_WRLCK, 0, 1), 0);
	answer = EAGAIN;
	CHECK_ERR(flock(fd, LOCK_EX | LOCK_NB), EAGAIN);
	answer = 0;
	close(fd);
	EVENTUALLY(fs->count[FUSE_RELEASE] == 2);
	in = last(FUSE_RELEASE);
	CHECK_EQ(in->release_flags, 0);
	CHECK_EQ(in->lock_owner, 0);
	rawfs_stop(fs);
}

TEST(the_two_sorts_of_locks_are_agreed_upon_apart)
{
	struct rawfs *fs = lock_fs(FUSE_POSIX_LOCKS);
	int fd = open_file(fs);

	CHECK_EQ(flock(fd, LOCK_EX | LOCK_NB), 0);
	CHECK_EQ(fs->count[FUSE_SETLK], 0);
	CHECK_EQ(lock_range(fd, F_SETLK, F_WRLCK, 0, 1), 0);
	CHECK_EQ(fs->count[FUSE_SETLK], 1);
	close(fd);
	rawfs_stop(fs);
	fs = lock_fs(FUSE_FLOCK_LOCKS);
	fd = open_file(fs);
	CHECK_EQ(lock_range(fd, F_SETLK, F_WRLCK, 0, 1), 0);
	CHECK_EQ(lock_range(fd, F_GETLK, F_WRLCK, 0, 1), 0);
	CHECK_EQ(fs->count[FUSE_SETLK] + fs->count[FUSE_GETLK], 0);
	CHECK_EQ(flock(fd, LOCK_EX | LOCK_NB), 0);
	CHECK_EQ(fs->count[FUSE_SETLK], 1);
	close(fd);
	rawfs_stop(fs);
}

TEST(servers_before_7_17_keep_both_sorts_or_none)
{
	struct rawfs *fs = minor_fs(16, FUSE_POSIX_LOCKS);
	int fd = open_file(fs);

	CHECK_EQ(flock(fd, LOCK_EX | LOCK_NB), 0);
	CHECK_EQ(fs->count[FUSE_SETLK], 1);
	close(fd);
	rawfs_stop(fs);
}

TEST(a_server_without_setlk_leaves_locks_to_the_kernel)
{
	RS_ONLY("fcntl fails with ENOSYS");
	struct rawfs *fs = lock_fs(LOCKS);
	int fd = open_file(fs), other = open_file(fs);

	answer = ENOSYS;
	CHECK_EQ(lock_range(fd, F_SETLKW, F_WRLCK, 0, 1), 0);
	CHECK_EQ(lock_range(fd, F_SETLK, F_WRLCK, 0, 2), 0);
	CHECK_EQ(fs->count[FUSE_SETLKW] + fs->count[FUSE_SETLK], 1);
	CHECK_EQ(IN_CHILD(lock_range(fd, F_SETLK, F_WRLCK, 0, 1)), EAGAIN);
	CHECK_EQ(lock_range(fd, F_GETLK, F_WRLCK, 0, 1), 0);
	CHECK_EQ(fs->count[FUSE_GETLK], 0);
	/* The other sort is another matter. */
	answer = 0;
	CHECK_EQ(flock(fd, LOCK_EX | LOCK_NB), 0);
	CHECK_EQ(fs->count[FUSE_SETLK], 1);
	answer = ENOSYS;
	CHECK_EQ(flock(fd, LOCK_EX | LOCK_NB), 0);
	CHECK_ERR(flock(other, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	CHECK_EQ(fs->count[FUSE_SETLK], 2);
	close(other);
	close(fd);
	rawfs_stop(fs);
}

TEST(direct_io_names_the_owner_of_locks)
{
	struct rawfs *fs = lock_fs(LOCKS);
	struct fuse_write_in *out;
	struct fuse_read_in *in;
	char byte;
	int fd = open_file(fs);
	uint64_t owner = owner_of(fd);

	/* What is cached is for all. */
	CHECK_EQ(pread(fd, &byte, 1, 0), 1);
	in = last(FUSE_READ);
	CHECK_EQ(in->read_flags, 0);
	CHECK_EQ(in->lock_owner, 0);
	CHECK_EQ(pwrite(fd, "x", 1, 0), 1);
	out = last(FUSE_WRITE);
	CHECK_EQ(out->write_flags & FUSE_WRITE_LOCKOWNER, 0);
	CHECK_EQ(out->lock_owner, 0);
	close(fd);
	fs->open_flags = FOPEN_DIRECT_IO;
	fd = open_file(fs);
	CHECK_EQ(pread(fd, &byte, 1, 0), 1);
	in = last(FUSE_READ);
	CHECK_EQ(in->read_flags, FUSE_READ_LOCKOWNER);
	CHECK(in->lock_owner == owner);
	CHECK_EQ(pwrite(fd, "x", 1, 0), 1);
	out = last(FUSE_WRITE);
	CHECK_EQ(out->write_flags & FUSE_WRITE_LOCKOWNER, FUSE_WRITE_LOCKOWNER);
	CHECK(out->lock_owner == owner);
	close(fd);
	rawfs_stop(fs);
}

TEST(a_truncation_names_the_owner_of_locks)
{
	struct rawfs *fs = lock_fs(LOCKS);
	int fd = open_file(fs);
	uint64_t owner = owner_of(fd);
	struct fuse_setattr_in *in;

	CHECK_EQ(ftruncate(fd, 3), 0);
	in = last(FUSE_SETATTR);
	CHECK(in->valid & FATTR_LOCKOWNER);
	CHECK(in->lock_owner == owner);
	CHECK_EQ(fchmod(fd, 0600), 0);
	in = last(FUSE_SETATTR);
	CHECK(!(in->valid & FATTR_LOCKOWNER));
	CHECK_EQ(in->lock_owner, 0);
	close(fd);
	rawfs_stop(fs);
}

TEST(locks_on_directories_are_local)
{
	struct rawfs *fs = lock_fs(LOCKS);
	int fd = open(rawfs_path(fs, "dir"), O_RDONLY), other = open(rawfs_path(fs, "dir"), O_RDONLY);

	CHECK_EQ(flock(fd, LOCK_EX), 0);
	CHECK_ERR(flock(other, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	CHECK_EQ(fs->count[FUSE_SETLK] + fs->count[FUSE_SETLKW], 0);
	close(fd);
	CHECK_EQ(flock(other, LOCK_EX | LOCK_NB), 0);
	close(other);
	rawfs_stop(fs);
}
