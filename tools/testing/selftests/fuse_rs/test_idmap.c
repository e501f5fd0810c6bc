// SPDX-License-Identifier: GPL-2.0
/* Mounts that map ids: owners are shown and set as the mount says, and only who makes an inode is told. */
#include <fcntl.h>
#include <grp.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/xattr.h>
#include "record.h"

/* The mount shows the ids of the server, of which there are so many, as others; the next is root. */
#define SHIFT 10000
#define IDS 100
#define MAP "0 10000 100\n100 0 1"
/* Owner and group of all that the server has, and a group besides. */
#define UID 5
#define GID 6
#define OTHER_GID 7

#define ACCESS "system.posix_acl_access"

static struct rawfs *fs;

static void start(uint64_t flags, const char *options)
{
	fs = recording(rawfs_wanting(flags));
	rawfs_start(fs, options);
	for (int i = 1; i <= 4; i++) {
		fs->node[i].uid = UID;
		fs->node[i].gid = GID;
	}
}

static void start_mapping(uint64_t flags)
{
	start(FUSE_ALLOW_IDMAP | flags, ",allow_other,default_permissions");
	/* The handshake is over then. */
	CHECK_EQ(access(rawfs_path(fs, "file"), F_OK), 0);
}

/* A namespace whose ids are the server's, as the mount shows them. */
static int namespace(void)
{
	int ready[2], fd;
	char path[64], byte;
	pid_t pid;

	CHECK_EQ(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		if (unshare(CLONE_NEWUSER) || write(ready[1], "", 1) != 1)
			_exit(1);
		pause();
	}
	CHECK_EQ(read(ready[0], &byte, 1), 1);
	snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
	write_file(path, MAP);
	snprintf(path, sizeof(path), "/proc/%d/gid_map", pid);
	write_file(path, MAP);
	snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
	fd = open(path, O_RDONLY);
	CHECK(fd >= 0);
	kill_child(pid);
	return fd;
}

/* Another mount of the file system, which may map ids; -1 if it must not. */
static int mapped(void)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = namespace() };
	int tree = open_tree(AT_FDCWD, fs->mnt, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	int result;

	CHECK(tree >= 0);
	result = mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr));
	close(attr.userns_fd);
	if (!result)
		return tree;
	close(tree);
	return -1;
}

/* A child that is this user, in these groups. */
static pid_t somebody(uid_t uid, gid_t gid, gid_t other)
{
	pid_t pid = fork();

	if (pid == 0 && (setgroups(1, &other) || setgid(gid) || setuid(uid)))
		_exit(255);
	return pid;
}

/* Runs `call` as that user, and returns its errno, or zero. */
#define AS(uid, call)                                                                              \
	({                                                                                         \
		pid_t as_pid = somebody(uid, (uid) + 1, (uid) + 2);                                \
		if (as_pid == 0)                                                                   \
			_exit((call) < 0 ? errno : 0);                                             \
		exit_of(as_pid);                                                                   \
	})

TEST(owners_are_shown_as_the_mount_maps_them)
{
	struct stat st;
	int tree;

	start_mapping(0);
	tree = mapped();
	CHECK(tree >= 0);
	CHECK_EQ(fstatat(tree, "file", &st, 0), 0);
	CHECK_EQ(st.st_uid, SHIFT + UID);
	CHECK_EQ(st.st_gid, SHIFT + GID);
	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
	CHECK_EQ(st.st_uid, UID);
	CHECK_EQ(st.st_gid, GID);
	close(tree);
	rawfs_stop(fs);
}

TEST(permissions_are_those_of_owners_as_the_mount_maps_them)
{
	int tree;

	start_mapping(0);
	fs->node[2].mode = S_IFREG | 0600;
	tree = mapped();
	CHECK(tree >= 0);
	CHECK_EQ(AS(SHIFT + UID, openat(tree, "file", O_RDWR)), 0);
	CHECK_EQ(AS(UID, openat(tree, "file", O_RDWR)), EACCES);
	CHECK_EQ(AS(UID, open(rawfs_path(fs, "file"), O_RDWR)), 0);
	CHECK_EQ(AS(SHIFT + UID, open(rawfs_path(fs, "file"), O_RDWR)), EACCES);
	close(tree);
	rawfs_stop(fs);
}

static void was_by(uint32_t opcode, uint32_t uid, uint32_t gid)
{
	struct fuse_in_header *in = &last_request(opcode)->in;

	if (in->uid != uid || in->gid != gid)
		FAIL("request %u is by %u and %u", opcode, in->uid, in->gid);
}

static int make_all(int tree)
{
	return mkdirat(tree, "d", 0755) || mknodat(tree, "n", S_IFIFO | 0644, 0) ||
	       symlinkat("target", tree, "s") || openat(tree, "c", O_CREAT | O_WRONLY, 0644) < 0 ||
	       (openat(tree, ".", O_TMPFILE | O_WRONLY, 0644) < 0 && errno != EOPNOTSUPP) ?
		       -1 :
		       0;
}

TEST(what_is_made_belongs_to_the_caller_as_the_mount_maps_him)
{
	static const uint32_t makers[] = { FUSE_MKDIR, FUSE_MKNOD, FUSE_SYMLINK, FUSE_CREATE,
					   FUSE_TMPFILE };
	int tree;

	start_mapping(0);
	tree = mapped();
	CHECK(tree >= 0);
	CHECK_EQ(AS(SHIFT + UID, make_all(tree)), 0);
	for (int i = 0; i < 5; i++)
		was_by(makers[i], UID, UID + 1);
	close(tree);
	/* Without the map he is another one. */
	tree = open(fs->mnt, O_PATH);
	CHECK_EQ(AS(UID, mkdirat(tree, "e", 0755)), 0);
	was_by(FUSE_MKDIR, UID, UID + 1);
	close(tree);
	rawfs_stop(fs);
}

TEST(who_has_no_id_there_makes_nothing)
{
	int tree;

	start_mapping(0);
	fs->node[1].mode = S_IFDIR | 0777;
	tree = mapped();
	CHECK(tree >= 0);
	CHECK_EQ(AS(SHIFT + IDS, mkdirat(tree, "d", 0755)), EOVERFLOW);
	CHECK_EQ(fs->count[FUSE_MKDIR], 0);
	close(tree);
	rawfs_stop(fs);
}

TEST(other_requests_are_nobodys)
{
	int tree, fd;
	char byte;

	start_mapping(0);
	tree = mapped();
	CHECK(tree >= 0);
	fd = openat(tree, "file", O_RDWR);
	CHECK_EQ(read(fd, &byte, 1), 1);
	CHECK_EQ(write(fd, "x", 1), 1);
	close(fd);
	CHECK_EQ(renameat(tree, "file", tree, "other"), 0);
	CHECK_EQ(unlinkat(tree, "other", 0), 0);
	was_by(FUSE_LOOKUP, -1, -1);
	was_by(FUSE_OPEN, -1, -1);
	was_by(FUSE_WRITE, -1, -1);
	was_by(FUSE_RENAME, -1, -1);
	was_by(FUSE_UNLINK, -1, -1);
	close(tree);
	rawfs_stop(fs);
}

TEST(a_whiteout_is_somebodys)
{
	int tree;

	start_mapping(0);
	tree = mapped();
	CHECK(tree >= 0);
	CHECK_EQ(renameat2(tree, "file", tree, "other", RENAME_WHITEOUT), 0);
	was_by(FUSE_RENAME2, IDS, IDS);
	CHECK_EQ(renameat2(tree, "other", tree, "dir/file", RENAME_NOREPLACE), 0);
	was_by(FUSE_RENAME2, -1, -1);
	close(tree);
	rawfs_stop(fs);
}

TEST(a_new_owner_is_whom_the_mount_maps)
{
	struct fuse_setattr_in *in;
	int tree;

	start_mapping(0);
	tree = mapped();
	CHECK(tree >= 0);
	CHECK_EQ(fchownat(tree, "file", SHIFT + 8, SHIFT + 9, 0), 0);
	in = last(FUSE_SETATTR);
	CHECK_EQ(in->uid, 8);
	CHECK_EQ(in->gid, 9);
	was_by(FUSE_SETATTR, -1, -1);
	CHECK_ERR(fchownat(tree, "file", 8, -1, 0), EOVERFLOW);
	CHECK_EQ(chown(rawfs_path(fs, "file"), 10, 11), 0);
	in = last(FUSE_SETATTR);
	CHECK_EQ(in->uid, 10);
	CHECK_EQ(in->gid, 11);
	close(tree);
	rawfs_stop(fs);
}

/* The access control list of the file. */
struct acl {
	struct posix_acl_xattr_header header;
	struct posix_acl_xattr_entry entry[5];
};

static struct acl stored;

static bool keep_acl(struct rawfs *server, struct rawfs_req *req)
{
	struct fuse_getxattr_in *get = (void *)req->body;
	struct fuse_setxattr_in *set = (void *)req->body;
	char *name;

	switch (req->in.opcode) {
	case FUSE_GETXATTR:
		name = (char *)(get + 1);
		if (req->in.nodeid != 2 || strcmp(name, ACCESS) || !stored.header.a_version)
			return reply(server, req, ENODATA, NULL, 0);
		return reply(server, req, 0, &stored, sizeof(stored));
	case FUSE_SETXATTR:
		name = req->body + FUSE_COMPAT_SETXATTR_IN_SIZE;
		CHECK_EQ(strcmp(name, ACCESS), 0);
		CHECK_EQ(set->size, sizeof(stored));
		memcpy(&stored, name + sizeof(ACCESS), sizeof(stored));
		return reply(server, req, 0, NULL, 0);
	}
	return false;
}

TEST(access_control_lists_are_mapped)
{
	struct acl acl = { .header = { .a_version = POSIX_ACL_XATTR_VERSION },
			   .entry = { { ACL_USER_OBJ, 6, -1 },
				      { ACL_USER, 4, SHIFT + 8 },
				      { ACL_GROUP_OBJ, 4, -1 },
				      { ACL_MASK, 7, -1 },
				      { ACL_OTHER, 0, -1 } } };
	char path[64];
	int tree, fd;

	special = keep_acl;
	start_mapping(FUSE_POSIX_ACL);
	tree = mapped();
	CHECK(tree >= 0);
	fd = openat(tree, "file", O_RDWR);
	CHECK(fd >= 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK_EQ(setxattr(path, ACCESS, &acl, sizeof(acl), 0), 0);
	CHECK_EQ(stored.entry[1].e_id, 8);
	memset(&acl, 0, sizeof(acl));
	CHECK_EQ(getxattr(path, ACCESS, &acl, sizeof(acl)), sizeof(acl));
	CHECK_EQ(acl.entry[1].e_id, SHIFT + 8);
	CHECK_EQ(getxattr(rawfs_path(fs, "file"), ACCESS, &acl, sizeof(acl)), sizeof(acl));
	CHECK_EQ(acl.entry[1].e_id, 8);
	CHECK_EQ(AS(SHIFT + 8, openat(tree, "file", O_RDONLY)), 0);
	CHECK_EQ(AS(8, openat(tree, "file", O_RDONLY)), EACCES);
	close(fd);
	close(tree);
	rawfs_stop(fs);
}

TEST(the_group_of_the_directory_is_told_as_the_server_knows_it)
{
	struct recorded *request;
	uint32_t group;
	pid_t pid;
	int tree;

	start_mapping(FUSE_CREATE_SUPP_GROUP);
	fs->node[3].mode = S_IFDIR | 0775;
	fs->node[3].gid = OTHER_GID;
	tree = mapped();
	CHECK(tree >= 0);
	pid = somebody(SHIFT + 8, SHIFT + 9, SHIFT + OTHER_GID);
	if (pid == 0)
		_exit(mkdirat(tree, "dir/d", 0755) ? errno : 0);
	CHECK_EQ(exit_of(pid), 0);
	was_by(FUSE_MKDIR, 8, 9);
	request = last_request(FUSE_MKDIR);
	CHECK_EQ(request->in.total_extlen, 2);
	memcpy(&group, request->body + request->len - sizeof(group), sizeof(group));
	CHECK_EQ(group, OTHER_GID);
	close(tree);
	rawfs_stop(fs);
}

TEST(a_server_that_does_not_want_it_has_no_such_mounts)
{
	start(0, ",allow_other,default_permissions");
	CHECK_EQ(access(rawfs_path(fs, "file"), F_OK), 0);
	CHECK_EQ(mapped(), -1);
	CHECK_EQ(errno, EINVAL);
	was_by(FUSE_LOOKUP, getuid(), getgid());
	rawfs_stop(fs);
}

TEST(a_server_that_checks_permissions_itself_may_not_want_it)
{
	int seen;

	start(FUSE_ALLOW_IDMAP, ",allow_other");
	/* What waits for the handshake is sent all the same by the C driver. */
	CHECK_EQ(access(rawfs_path(fs, "file"), F_OK), -1);
	seen = fs->count[FUSE_LOOKUP];
	CHECK_EQ(access(rawfs_path(fs, "file"), F_OK), -1);
	CHECK_EQ(fs->count[FUSE_LOOKUP], seen);
	rawfs_stop(fs);
}
