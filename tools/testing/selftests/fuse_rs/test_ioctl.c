// SPDX-License-Identifier: GPL-2.0
/* ioctl(2): what the server is asked, and what of its answers reaches the caller. */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <linux/fs.h>
#include "record.h"

#define C_NONE _IO('F', 1)
#define C_WRITE _IOW('F', 2, char[5])
#define C_READ _IOR('F', 3, char[5])
#define C_BOTH _IOWR('F', 4, char[5])
#define C_LARGE _IOWR('F', 5, char[9000])

/* The answer to IOCTL. */
static struct {
	struct fuse_ioctl_out out;
	char data[9001];
} ioctl_reply;
static size_t ioctl_len;
static int ioctl_error;
/* What the latest request brought. */
static char ioctl_data[9000];

static bool serve_ioctl(struct rawfs *fs, struct rawfs_req *req)
{
	struct fuse_ioctl_in *in = (void *)req->body;

	if (req->in.opcode != FUSE_IOCTL)
		return false;
	if (in->in_size <= sizeof(ioctl_data))
		memcpy(ioctl_data, in + 1, in->in_size);
	return reply(fs, req, ioctl_error, &ioctl_reply,
		     ioctl_error ? 0 : sizeof(ioctl_reply.out) + ioctl_len);
}

static void answer(int result, const void *data, size_t len)
{
	ioctl_reply.out = (struct fuse_ioctl_out){ .result = result };
	ioctl_error = 0;
	memcpy(ioctl_reply.data, data, len);
	ioctl_len = len;
}

static struct rawfs *ioctl_fs(const char *options)
{
	struct rawfs *fs = recording_fs();

	special = serve_ioctl;
	answer(0, "", 0);
	rawfs_start(fs, options);
	return fs;
}

static struct fuse_ioctl_in *asked_ioctl(void)
{
	struct fuse_ioctl_in *in = last(FUSE_IOCTL);

	CHECK_EQ(last_request(FUSE_IOCTL)->len, sizeof(*in) + in->in_size);
	return in;
}

TEST(ioctls_on_directories_are_offered)
{
	struct rawfs *fs = ioctl_fs("");

	EVENTUALLY(fs->init_in.major == 7);
	CHECK(fs->init_in.flags & FUSE_HAS_IOCTL_DIR);
	rawfs_stop(fs);
}

TEST(a_commands_number_says_what_goes_in_and_out)
{
	static const struct {
		unsigned int command;
		size_t in, out;
	} commands[] = { { C_NONE, 0, 0 }, { C_WRITE, 5, 0 }, { C_READ, 0, 5 }, { C_BOTH, 5, 5 } };
	struct rawfs *fs = ioctl_fs("");
	int fd = open(rawfs_path(fs, "file"), O_RDWR);
	struct fuse_ioctl_in *in;

	for (int i = 0; i < 4; i++) {
		char buffer[8] = "12345678";

		answer(i * 3, "abcde", commands[i].out);
		CHECK_EQ(ioctl(fd, commands[i].command, buffer), i * 3);
		in = asked_ioctl();
		CHECK_EQ(last_request(FUSE_IOCTL)->in.nodeid, 2);
		CHECK_EQ(in->fh, 2);
		CHECK_EQ(in->flags, 0);
		CHECK_EQ(in->cmd, commands[i].command);
		CHECK_EQ(in->arg, (uintptr_t)buffer);
		CHECK_EQ(in->in_size, commands[i].in);
		CHECK_EQ(in->out_size, commands[i].out);
		CHECK(!memcmp(ioctl_data, "12345", commands[i].in));
		CHECK(!memcmp(buffer, commands[i].out ? "abcde678" : "12345678", 8));
	}
	/* Less may come out. */
	answer(0, "xy", 2);
	char buffer[8] = "12345678";
	CHECK_EQ(ioctl(fd, C_READ, buffer), 0);
	CHECK(!memcmp(buffer, "xy345678", 8));
	close(fd);
	rawfs_stop(fs);
}

TEST(an_ioctl_may_have_several_pages)
{
	struct rawfs *fs = ioctl_fs("");
	int fd = open(rawfs_path(fs, "file"), O_RDWR);
	static char buffer[9000], out[9000];

	for (int i = 0; i < 9000; i++) {
		buffer[i] = i % 251;
		out[i] = i % 241;
	}
	answer(0, out, 9000);
	CHECK_EQ(ioctl(fd, C_LARGE, buffer), 0);
	for (int i = 0; i < 9000; i++)
		CHECK_EQ(ioctl_data[i], (char)(i % 251));
	CHECK(!memcmp(buffer, out, 9000));
	close(fd);
	rawfs_stop(fs);
}

TEST(an_ioctl_has_no_more_pages_than_other_requests)
{
	struct rawfs *fs = recording_fs();
	static char buffer[9000];
	int fd;

	special = serve_ioctl;
	fs->init_out = (struct fuse_init_out){ .major = 7,
					       .minor = 31,
					       .max_write = 4096,
					       .max_pages = 2,
					       .flags = FUSE_BIG_WRITES | FUSE_MAX_PAGES };
	rawfs_start(fs, "");
	fd = open(rawfs_path(fs, "file"), O_RDWR);
	CHECK_ERR(ioctl(fd, C_LARGE, buffer), ENOMEM);
	CHECK_EQ(fs->count[FUSE_IOCTL], 0);
	CHECK_EQ(ioctl(fd, C_BOTH, buffer), 0);
	close(fd);
	rawfs_stop(fs);
}

TEST(the_server_refuses_an_ioctl)
{
	struct rawfs *fs = ioctl_fs("");
	int fd = open(rawfs_path(fs, "file"), O_RDWR);
	char buffer[6] = "12345";

	ioctl_error = EPERM;
	CHECK_ERR(ioctl(fd, C_BOTH, buffer), EPERM);
	/* What comes out does so all the same. */
	answer(-ENODATA, "abcde", 5);
	CHECK_ERR(ioctl(fd, C_BOTH, buffer), ENODATA);
	CHECK(!memcmp(buffer, "abcde", 5));
	close(fd);
	rawfs_stop(fs);
}

TEST(a_server_without_ioctl_has_no_such_command)
{
	struct rawfs *fs = ioctl_fs("");
	int fd = open(rawfs_path(fs, "file"), O_RDWR);

	ioctl_error = ENOSYS;
	CHECK_ERR(ioctl(fd, C_NONE, 0), ENOTTY);
	CHECK_ERR(ioctl(fd, C_NONE, 0), ENOTTY);
	/* Another command may be known. */
	CHECK_EQ(fs->count[FUSE_IOCTL], 2);
	answer(-ENOSYS, "", 0);
	CHECK_ERR(ioctl(fd, C_NONE, 0), ENOTTY);
	close(fd);
	rawfs_stop(fs);
}

TEST(a_server_gets_no_other_memory_of_the_caller)
{
	struct rawfs *fs = ioctl_fs("");
	int fd = open(rawfs_path(fs, "file"), O_RDWR);
	char buffer[6] = "12345";

	answer(0, "abcde", 5);
	ioctl_reply.out.flags = FUSE_IOCTL_RETRY;
	ioctl_reply.out.in_iovs = 1;
	CHECK_ERR(ioctl(fd, C_BOTH, buffer), EIO);
	CHECK(!memcmp(buffer, "12345", 5));
	CHECK_EQ(fs->count[FUSE_IOCTL], 1);
	close(fd);
	rawfs_stop(fs);
}

TEST(no_more_comes_out_than_the_caller_has_room_for)
{
	struct rawfs *fs = ioctl_fs("");
	int fd = open(rawfs_path(fs, "file"), O_RDWR);
	char buffer[8] = "12345678";

	answer(0, "abcdef", 6);
	CHECK_ERR(ioctl(fd, C_BOTH, buffer), EIO);
	CHECK(!memcmp(buffer, "12345678", 8));
	answer(0, "a", 1);
	CHECK_ERR(ioctl(fd, C_WRITE, buffer), EIO);
	CHECK(!memcmp(buffer, "12345678", 8));
	close(fd);
	rawfs_stop(fs);
}

TEST(results_are_values_or_errnos)
{
	RS_ONLY("every number is passed on");
	static const int bad[] = { -512, -516, -4095, -4096, INT32_MIN };
	struct rawfs *fs = ioctl_fs("");
	int fd = open(rawfs_path(fs, "file"), O_RDWR);

	for (int i = 0; i < 5; i++) {
		answer(bad[i], "", 0);
		CHECK_ERR(ioctl(fd, C_NONE, 0), EIO);
	}
	answer(INT32_MAX, "", 0);
	CHECK_EQ(ioctl(fd, C_NONE, 0), INT32_MAX);
	close(fd);
	rawfs_stop(fs);
}

TEST(memory_that_is_not_there_is_noticed)
{
	struct rawfs *fs = ioctl_fs("");
	int fd = open(rawfs_path(fs, "file"), O_RDWR);

	CHECK_ERR(ioctl(fd, C_WRITE, nowhere), EFAULT);
	CHECK_EQ(fs->count[FUSE_IOCTL], 0);
	answer(0, "abcde", 5);
	CHECK_ERR(ioctl(fd, C_READ, nowhere), EFAULT);
	CHECK_EQ(fs->count[FUSE_IOCTL], 1);
	close(fd);
	rawfs_stop(fs);
}

TEST(ioctls_on_directories_say_so)
{
	struct rawfs *fs = ioctl_fs("");
	int fd = open(rawfs_path(fs, "dir"), O_RDONLY | O_DIRECTORY);

	answer(4, "", 0);
	CHECK_EQ(ioctl(fd, C_NONE, 9), 4);
	CHECK_EQ(asked_ioctl()->flags, FUSE_IOCTL_DIR);
	CHECK_EQ(asked_ioctl()->arg, 9);
	CHECK_EQ(last_request(FUSE_IOCTL)->in.nodeid, 3);
	close(fd);
	rawfs_stop(fs);
}

TEST(servers_before_7_18_have_no_ioctls_on_directories)
{
	struct rawfs *fs = recording_fs();
	int fd;

	special = serve_ioctl;
	fs->init_out = (struct fuse_init_out){ .major = 7, .minor = 17, .max_write = 4096 };
	rawfs_start(fs, "");
	fd = open(rawfs_path(fs, "dir"), O_RDONLY | O_DIRECTORY);
	CHECK_ERR(ioctl(fd, C_NONE, 9), ENOTTY);
	CHECK_EQ(fs->count[FUSE_IOCTL], 0);
	close(fd);
	rawfs_stop(fs);
}

TEST(others_may_not_use_ioctls)
{
	struct rawfs *fs = ioctl_fs("");
	int fd = open(rawfs_path(fs, "file"), O_RDWR);

	CHECK_EQ(AS_NOBODY(ioctl(fd, C_NONE, 0)), EACCES);
	CHECK_EQ(fs->count[FUSE_IOCTL], 0);
	close(fd);
	rawfs_stop(fs);
}

#ifdef __x86_64__
static int compat_ioctl(int fd, unsigned int command, unsigned int argument)
{
	int result;

	asm volatile("int $0x80"
		     : "=a"(result)
		     : "a"(54), "b"(fd), "c"(command), "d"(argument)
		     : "memory", "r8", "r9", "r10", "r11");
	return result;
}

static void no_compat(int signal)
{
	_exit(1);
}

/* Whether the kernel has system calls of 32-bit programs; else they are a fault. */
static bool has_compat(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		signal(SIGSEGV, no_compat);
		compat_ioctl(-1, 0, 0);
		_exit(0);
	}
	return exit_of(pid) == 0;
}

TEST(ioctls_of_32_bit_programs_say_so)
{
	char *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1,
			 0);
	struct rawfs *fs;
	int fd;

	if (!has_compat())
		SKIP("a kernel without 32-bit programs");
	fs = ioctl_fs("");
	fd = open(rawfs_path(fs, "file"), O_RDWR);
	CHECK(low != MAP_FAILED);
	memcpy(low, "12345", 5);
	answer(7, "abcde", 5);
	CHECK_EQ(compat_ioctl(fd, C_BOTH, (uintptr_t)low), 7);
	CHECK_EQ(asked_ioctl()->flags, FUSE_IOCTL_COMPAT | FUSE_IOCTL_32BIT);
	CHECK_EQ(asked_ioctl()->arg, (uintptr_t)low);
	CHECK(!memcmp(ioctl_data, "12345", 5));
	CHECK(!memcmp(low, "abcde", 5));
	close(fd);
	rawfs_stop(fs);
}
#endif

TEST(flags_of_files_are_private_ioctls)
{
	struct rawfs *fs = ioctl_fs("");
	int fd = open(rawfs_path(fs, "file"), O_RDWR), flags = FS_NOATIME_FL;
	struct fuse_ioctl_in *in;

	answer(0, &flags, sizeof(flags));
	flags = 0;
	CHECK_EQ(ioctl(fd, FS_IOC_GETFLAGS, &flags), 0);
	CHECK_EQ(flags, FS_NOATIME_FL);
	/* The inode is opened for it. */
	CHECK_EQ(fs->count[FUSE_OPEN], 2);
	EVENTUALLY(fs->count[FUSE_RELEASE] == 1);
	in = asked_ioctl();
	CHECK_EQ(last_request(FUSE_IOCTL)->in.nodeid, 2);
	CHECK_EQ(in->fh, 2);
	CHECK_EQ(in->cmd, FS_IOC_GETFLAGS);
	CHECK_EQ(in->flags, 0);
	CHECK_EQ(in->arg, 0);
	CHECK_EQ(in->in_size, 0);
	CHECK_EQ(in->out_size, sizeof(flags));
	/* An answer that is too short. */
	ioctl_len = 3;
	CHECK_ERR(ioctl(fd, FS_IOC_GETFLAGS, &flags), EIO);
	ioctl_error = EPERM;
	CHECK_ERR(ioctl(fd, FS_IOC_GETFLAGS, &flags), EPERM);
	ioctl_error = ENOSYS;
	CHECK_ERR(ioctl(fd, FS_IOC_GETFLAGS, &flags), ENOTTY);
	close(fd);
	rawfs_stop(fs);
}

/* Has flags that are what was set last. */
static uint32_t stored_flags;
static struct fsxattr stored_xattr;

static bool serve_flags(struct rawfs *fs, struct rawfs_req *req)
{
	struct fuse_ioctl_in *in = (void *)req->body;

	if (req->in.opcode != FUSE_IOCTL)
		return false;
	answer(0, "", 0);
	switch (in->cmd) {
	case FS_IOC_GETFLAGS:
		answer(0, &stored_flags, sizeof(stored_flags));
		break;
	case FS_IOC_SETFLAGS:
		memcpy(&stored_flags, in + 1, sizeof(stored_flags));
		break;
	case FS_IOC_FSGETXATTR:
		answer(0, &stored_xattr, sizeof(stored_xattr));
		break;
	case FS_IOC_FSSETXATTR:
		memcpy(&stored_xattr, in + 1, sizeof(stored_xattr));
		break;
	}
	return serve_ioctl(fs, req);
}

TEST(flags_of_files_and_directories_are_set)
{
	static const char *const names[] = { "file", "dir" };
	struct rawfs *fs = ioctl_fs("");

	special = serve_flags;
	for (int i = 0; i < 2; i++) {
		int fd = open(rawfs_path(fs, names[i]), O_RDONLY), flags = FS_NODUMP_FL;
		struct fsxattr xattr;

		CHECK_EQ(ioctl(fd, FS_IOC_SETFLAGS, &flags), 0);
		CHECK_EQ(stored_flags, FS_NODUMP_FL);
		CHECK_EQ(asked_ioctl()->cmd, FS_IOC_SETFLAGS);
		CHECK_EQ(asked_ioctl()->in_size, sizeof(flags));
		CHECK_EQ(asked_ioctl()->out_size, 0);
		CHECK_EQ(asked_ioctl()->flags, i ? FUSE_IOCTL_DIR : 0);
		stored_xattr = (struct fsxattr){ .fsx_xflags = FS_XFLAG_NOATIME,
						 .fsx_extsize = 0,
						 .fsx_nextents = 3,
						 .fsx_projid = 4 };
		CHECK_EQ(ioctl(fd, FS_IOC_FSGETXATTR, &xattr), 0);
		CHECK_EQ(xattr.fsx_xflags, FS_XFLAG_NOATIME);
		CHECK_EQ(xattr.fsx_nextents, 3);
		CHECK_EQ(xattr.fsx_projid, 4);
		xattr.fsx_projid = 9;
		CHECK_EQ(ioctl(fd, FS_IOC_FSSETXATTR, &xattr), 0);
		CHECK_EQ(asked_ioctl()->cmd, FS_IOC_FSSETXATTR);
		CHECK_EQ(asked_ioctl()->in_size, sizeof(xattr));
		CHECK_EQ(stored_xattr.fsx_projid, 9);
		CHECK_EQ(stored_xattr.fsx_xflags, FS_XFLAG_NOATIME);
		close(fd);
	}
	rawfs_stop(fs);
}
