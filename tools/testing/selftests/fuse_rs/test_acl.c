// SPDX-License-Identifier: GPL-2.0
/* Access control lists of servers that want the kernel to judge by them. */
#include <fcntl.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include "record.h"

#define ACCESS "system.posix_acl_access"
#define NOBODY 65534

struct acl {
	struct posix_acl_xattr_header header;
	struct posix_acl_xattr_entry entry[5];
};

/* rw-, for user `id` `perm`, r--, mask rwx, ---. */
static struct acl acl_for(uint32_t id, uint16_t perm)
{
	return (struct acl){ .header = { .a_version = POSIX_ACL_XATTR_VERSION },
			     .entry = { { ACL_USER_OBJ, 6, -1 },
					{ ACL_USER, perm, id },
					{ ACL_GROUP_OBJ, 4, -1 },
					{ ACL_MASK, 7, -1 },
					{ ACL_OTHER, 0, -1 } } };
}

/* The list that the file has. */
static struct acl stored;
static size_t stored_len;
static atomic_int reads, read_error;

static bool serve_acl(struct rawfs *fs, struct rawfs_req *req)
{
	struct fuse_getxattr_in *get = (void *)req->body;
	struct fuse_getxattr_out size = { .size = stored_len };

	switch (req->in.opcode) {
	case FUSE_GETXATTR:
		if (req->in.nodeid != 2 || strcmp((char *)(get + 1), ACCESS))
			return reply(fs, req, ENODATA, NULL, 0);
		reads++;
		if (read_error || !stored_len)
			return reply(fs, req, read_error ? read_error : ENODATA, NULL, 0);
		if (!get->size)
			return reply(fs, req, 0, &size, sizeof(size));
		return reply(fs, req, 0, &stored, stored_len);
	case FUSE_SETXATTR:
	case FUSE_REMOVEXATTR:
		return reply(fs, req, 0, NULL, 0);
	}
	return false;
}

/* A server with these flags, beyond the first 32 none; its file is 0670 of user 1000. */
static struct rawfs *acl_fs(uint32_t flags)
{
	struct rawfs *fs = recording_fs();

	special = serve_acl;
	fs->init_out = (struct fuse_init_out){ .major = 7,
					       .minor = 46,
					       .max_write = 131072,
					       .max_pages = 32,
					       .flags = FUSE_BIG_WRITES | FUSE_MAX_PAGES | flags };
	rawfs_start(fs, ",allow_other");
	fs->node[2].mode = S_IFREG | 0670;
	fs->node[2].uid = 1000;
	fs->node[2].gid = 1000;
	return fs;
}

static int open_as_nobody(struct rawfs *fs, int flags)
{
	return AS_NOBODY(open(rawfs_path(fs, "file"), flags));
}

TEST(acls_are_offered)
{
	struct rawfs *fs = acl_fs(0);

	EVENTUALLY(fs->init_in.major == 7);
	CHECK(fs->init_in.flags & FUSE_POSIX_ACL);
	CHECK(fs->init_in.flags & FUSE_SETXATTR_EXT);
	rawfs_stop(fs);
}

TEST(permissions_are_checked_by_acl)
{
	struct rawfs *fs = acl_fs(FUSE_POSIX_ACL);

	stored = acl_for(NOBODY, 4);
	stored_len = sizeof(stored);
	CHECK_EQ(open_as_nobody(fs, O_RDONLY), 0);
	CHECK_EQ(open_as_nobody(fs, O_WRONLY), EACCES);
	stored = acl_for(NOBODY, 6);
	CHECK_EQ(open_as_nobody(fs, O_WRONLY), 0);
	stored = acl_for(1234, 6);
	CHECK_EQ(open_as_nobody(fs, O_RDONLY), EACCES);
	/* None. */
	stored_len = 0;
	fs->node[2].mode = S_IFREG | 0604;
	CHECK_EQ(open_as_nobody(fs, O_RDONLY), 0);
	CHECK_EQ(open_as_nobody(fs, O_WRONLY), EACCES);
	rawfs_stop(fs);
}

TEST(acls_without_attributes_are_none)
{
	struct rawfs *fs = acl_fs(FUSE_POSIX_ACL);

	read_error = ENOSYS;
	fs->node[2].mode = S_IFREG | 0674;
	CHECK_EQ(open_as_nobody(fs, O_RDONLY), 0);
	CHECK_EQ(open_as_nobody(fs, O_WRONLY), EACCES);
	CHECK_EQ(reads, 1);
	rawfs_stop(fs);
}

TEST(an_acl_that_cannot_be_read_allows_nothing)
{
	struct rawfs *fs = acl_fs(FUSE_POSIX_ACL);

	fs->node[2].mode = S_IFREG | 0674;
	read_error = EPERM;
	CHECK_EQ(open_as_nobody(fs, O_RDONLY), EPERM);
	read_error = 0;
	/* Not a list. */
	stored = acl_for(NOBODY, 4);
	stored_len = sizeof(stored) - 1;
	CHECK(open_as_nobody(fs, O_RDONLY) != 0);
	stored_len = sizeof(stored);
	stored.header.a_version = 1;
	CHECK(open_as_nobody(fs, O_RDONLY) != 0);
	rawfs_stop(fs);
}

TEST(posix_acl_implies_default_permissions)
{
	struct rawfs *fs = acl_fs(FUSE_POSIX_ACL);

	fs->node[2].mode = S_IFREG | 0600;
	CHECK_EQ(open_as_nobody(fs, O_RDONLY), EACCES);
	CHECK_EQ(fs->count[FUSE_OPEN], 0);
	CHECK_EQ(AS_NOBODY(access(rawfs_path(fs, "file"), R_OK)), EACCES);
	CHECK_EQ(fs->count[FUSE_ACCESS], 0);
	rawfs_stop(fs);
	reads = 0;
	fs = acl_fs(0);
	fs->node[2].mode = S_IFREG | 0600;
	CHECK_EQ(open_as_nobody(fs, O_RDONLY), 0);
	CHECK_EQ(reads, 0);
	rawfs_stop(fs);
}

/* Tells that the attributes of the file are stale. */
static void inval_inode(struct rawfs *fs)
{
	struct fuse_notify_inval_inode_out body = { .ino = 2, .off = -1 };
	struct fuse_out_header out = { .len = sizeof(out) + sizeof(body),
				       .error = FUSE_NOTIFY_INVAL_INODE };
	struct iovec parts[2] = { { &out, sizeof(out) }, { &body, sizeof(body) } };

	CHECK_EQ(writev(fs->fd, parts, 2), out.len);
}

TEST(an_acl_is_kept_as_long_as_the_attributes)
{
	struct rawfs *fs = acl_fs(FUSE_POSIX_ACL);

	fs->attr_valid = fs->entry_valid = 1000;
	stored = acl_for(NOBODY, 6);
	stored_len = sizeof(stored);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(open_as_nobody(fs, O_RDONLY), 0);
	CHECK_EQ(reads, 1);
	inval_inode(fs);
	CHECK_EQ(open_as_nobody(fs, O_RDONLY), 0);
	CHECK_EQ(reads, 2);
	/* The server may have changed it along with the mode. */
	CHECK_EQ(chmod(rawfs_path(fs, "file"), 0660), 0);
	CHECK_EQ(open_as_nobody(fs, O_RDONLY), 0);
	CHECK_EQ(reads, 3);
	CHECK_EQ(open_as_nobody(fs, O_RDONLY), 0);
	CHECK_EQ(reads, 3);
	rawfs_stop(fs);
}

TEST(an_acl_is_read_again_before_anything_is_refused)
{
	struct rawfs *fs = acl_fs(FUSE_POSIX_ACL);

	fs->attr_valid = fs->entry_valid = 1000;
	stored = acl_for(1234, 6);
	stored_len = sizeof(stored);
	CHECK_EQ(open_as_nobody(fs, O_RDONLY), EACCES);
	stored = acl_for(NOBODY, 6);
	CHECK_EQ(open_as_nobody(fs, O_RDONLY), 0);
	rawfs_stop(fs);
}

TEST(setting_an_acl_makes_it_be_read_again)
{
	struct rawfs *fs = acl_fs(FUSE_POSIX_ACL);
	struct acl new = acl_for(NOBODY, 6);
	struct fuse_setxattr_in *in;

	fs->attr_valid = fs->entry_valid = 1000;
	stored = acl_for(NOBODY, 4);
	stored_len = sizeof(stored);
	CHECK_EQ(open_as_nobody(fs, O_RDONLY), 0);
	CHECK_EQ(reads, 1);
	CHECK_EQ(setxattr(rawfs_path(fs, "file"), ACCESS, &new, sizeof(new), 0), 0);
	/* Without SETXATTR_EXT. */
	in = last(FUSE_SETXATTR);
	CHECK_EQ(in->size, sizeof(new));
	CHECK(!strcmp((char *)in + FUSE_COMPAT_SETXATTR_IN_SIZE, ACCESS));
	CHECK_EQ(last_request(FUSE_SETXATTR)->len,
		 FUSE_COMPAT_SETXATTR_IN_SIZE + sizeof(ACCESS) + sizeof(new));
	CHECK_EQ(open_as_nobody(fs, O_RDONLY), 0);
	CHECK_EQ(reads, 2);
	CHECK_EQ(removexattr(rawfs_path(fs, "file"), ACCESS), 0);
	CHECK(!strcmp(last(FUSE_REMOVEXATTR), ACCESS));
	CHECK_EQ(open_as_nobody(fs, O_RDONLY), 0);
	CHECK_EQ(reads, 3);
	/* It is the server that turns the list into a mode. */
	CHECK_EQ(fs->count[FUSE_SETATTR], 0);
	rawfs_stop(fs);
}

/* As the owner of the file, who is not in its group: sets its list. */
static int set_as_owner(struct rawfs *fs)
{
	struct acl new = acl_for(NOBODY, 4);

	if (setgid(NOBODY) || setuid(1000))
		return -1;
	return setxattr(rawfs_path(fs, "file"), ACCESS, &new, sizeof(new), 0);
}

TEST(an_acl_of_another_group_drops_the_set_group_id_bit)
{
	struct rawfs *fs = acl_fs(FUSE_POSIX_ACL | FUSE_SETXATTR_EXT);
	struct acl new = acl_for(NOBODY, 4);
	struct fuse_setxattr_in *in;

	CHECK_EQ(setxattr(rawfs_path(fs, "file"), ACCESS, &new, sizeof(new), 0), 0);
	in = last(FUSE_SETXATTR);
	CHECK_EQ(in->setxattr_flags, 0);
	CHECK_EQ(in->padding, 0);
	CHECK(!strcmp((char *)(in + 1), ACCESS));
	CHECK_EQ(last_request(FUSE_SETXATTR)->len, sizeof(*in) + sizeof(ACCESS) + sizeof(new));
	CHECK_EQ(IN_CHILD(set_as_owner(fs)), 0);
	CHECK_EQ(((struct fuse_setxattr_in *)last(FUSE_SETXATTR))->setxattr_flags,
		 FUSE_SETXATTR_ACL_KILL_SGID);
	/* Other attributes have nothing to do with it. */
	CHECK_EQ(setxattr(rawfs_path(fs, "file"), "user.a", "b", 1, XATTR_CREATE), 0);
	in = last(FUSE_SETXATTR);
	CHECK_EQ(in->setxattr_flags, 0);
	CHECK_EQ(in->flags, XATTR_CREATE);
	CHECK(!strcmp((char *)(in + 1), "user.a"));
	rawfs_stop(fs);
}

TEST(a_server_that_judges_itself_keeps_the_set_group_id_bit)
{
	struct rawfs *fs = acl_fs(FUSE_SETXATTR_EXT);

	CHECK_EQ(IN_CHILD(set_as_owner(fs)), 0);
	CHECK_EQ(((struct fuse_setxattr_in *)last(FUSE_SETXATTR))->setxattr_flags, 0);
	rawfs_stop(fs);
}
