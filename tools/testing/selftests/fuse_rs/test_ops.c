// SPDX-License-Identifier: GPL-2.0
/* Operations beyond reading, writing and naming: what is asked of a server, and what if it has none. */
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/xattr.h>
#include <linux/falloc.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include "record.h"

/* A server with extended attributes, of all nodes together. */
static struct {
	char name[256];
	char *value;
	size_t size;
} attrs[8];

static int attr_of(const char *name)
{
	for (int i = 0; i < 8; i++)
		if (attrs[i].value && !strcmp(attrs[i].name, name))
			return i;
	return -1;
}

static bool reply_sized(struct rawfs *fs, struct rawfs_req *req, uint32_t max, const void *data,
			size_t size)
{
	struct fuse_getxattr_out out = { .size = size };

	if (!max)
		return reply(fs, req, 0, &out, sizeof(out));
	return max < size ? reply(fs, req, ERANGE, NULL, 0) : reply(fs, req, 0, data, size);
}

static bool serve_xattrs(struct rawfs *fs, struct rawfs_req *req)
{
	struct fuse_getxattr_in *get = (void *)req->body;
	struct fuse_setxattr_in *set = (void *)req->body;
	char list[4096], *name;
	size_t len = 0;
	int at;

	switch (req->in.opcode) {
	case FUSE_GETXATTR:
		at = attr_of((char *)(get + 1));
		if (at < 0)
			return reply(fs, req, ENODATA, NULL, 0);
		return reply_sized(fs, req, get->size, attrs[at].value, attrs[at].size);
	case FUSE_LISTXATTR:
		for (at = 0; at < 8; at++)
			if (attrs[at].value)
				len += sprintf(list + len, "%s", attrs[at].name) + 1;
		return reply_sized(fs, req, get->size, list, len);
	case FUSE_SETXATTR:
		name = req->body + FUSE_COMPAT_SETXATTR_IN_SIZE;
		at = attr_of(name);
		if (set->flags == XATTR_CREATE && at >= 0)
			return reply(fs, req, EEXIST, NULL, 0);
		if (set->flags == XATTR_REPLACE && at < 0)
			return reply(fs, req, ENODATA, NULL, 0);
		if (req->len != FUSE_COMPAT_SETXATTR_IN_SIZE + strlen(name) + 1 + set->size)
			return reply(fs, req, EPROTO, NULL, 0);
		for (int i = 0; at < 0 && i < 8; i++)
			if (!attrs[i].value)
				at = i;
		strcpy(attrs[at].name, name);
		attrs[at].size = set->size;
		attrs[at].value = malloc(set->size + 1);
		memcpy(attrs[at].value, name + strlen(name) + 1, set->size);
		return reply(fs, req, 0, NULL, 0);
	case FUSE_REMOVEXATTR:
		at = attr_of(req->body);
		if (at >= 0)
			attrs[at].value = NULL;
		return reply(fs, req, at < 0 ? ENODATA : 0, NULL, 0);
	}
	return false;
}

static struct rawfs *xattr_fs(const char *options)
{
	struct rawfs *fs = recording_fs();

	special = serve_xattrs;
	rawfs_start(fs, options);
	return fs;
}

TEST(xattrs_of_all_namespaces_are_the_servers)
{
	static const char *const names[] = { "user.a", "security.a", "trusted.a", "system.a" };
	struct rawfs *fs = xattr_fs("");
	const char *file = rawfs_path(fs, "file");
	char value[16], list[64];

	for (int i = 0; i < 4; i++) {
		struct fuse_setxattr_in *in;

		CHECK_EQ(setxattr(file, names[i], "value", 5, 0), 0);
		in = last(FUSE_SETXATTR);
		CHECK_EQ(last_request(FUSE_SETXATTR)->in.nodeid, 2);
		CHECK_EQ(in->size, 5);
		CHECK_EQ(in->flags, 0);
		CHECK(!strcmp((char *)in + FUSE_COMPAT_SETXATTR_IN_SIZE, names[i]));
		CHECK_EQ(getxattr(file, names[i], value, sizeof(value)), 5);
		CHECK(!memcmp(value, "value", 5));
	}
	CHECK_EQ(listxattr(file, list, sizeof(list)), 37);
	CHECK(!memcmp(list, "user.a\0security.a\0trusted.a\0system.a", 37));
	for (int i = 0; i < 4; i++) {
		CHECK_EQ(removexattr(file, names[i]), 0);
		CHECK(!strcmp(last(FUSE_REMOVEXATTR), names[i]));
		CHECK_ERR(getxattr(file, names[i], value, sizeof(value)), ENODATA);
	}
	CHECK_EQ(listxattr(file, list, sizeof(list)), 0);
	rawfs_stop(fs);
}

TEST(xattrs_of_directories_and_links)
{
	struct rawfs *fs = xattr_fs("");
	char value[8];

	CHECK_EQ(setxattr(rawfs_path(fs, "dir"), "user.d", "1", 1, 0), 0);
	CHECK_EQ(last_request(FUSE_SETXATTR)->in.nodeid, 3);
	CHECK_EQ(lsetxattr(rawfs_path(fs, "link"), "trusted.l", "22", 2, 0), 0);
	CHECK_EQ(last_request(FUSE_SETXATTR)->in.nodeid, 4);
	CHECK_EQ(lgetxattr(rawfs_path(fs, "link"), "trusted.l", value, 8), 2);
	CHECK(llistxattr(rawfs_path(fs, "link"), NULL, 0) > 0);
	/* A link has no attributes of its users. */
	CHECK_ERR(lsetxattr(rawfs_path(fs, "link"), "user.l", "1", 1, 0), EPERM);
	CHECK_EQ(fs->count[FUSE_SETXATTR], 2);
	rawfs_stop(fs);
}

TEST(an_empty_xattr_is_set_and_not_removed)
{
	struct rawfs *fs = xattr_fs("");
	const char *file = rawfs_path(fs, "file");
	char value[8];

	CHECK_EQ(setxattr(file, "user.a", "x", 1, 0), 0);
	CHECK_EQ(setxattr(file, "user.a", NULL, 0, 0), 0);
	CHECK_EQ(((struct fuse_setxattr_in *)last(FUSE_SETXATTR))->size, 0);
	CHECK_EQ(last_request(FUSE_SETXATTR)->len, FUSE_COMPAT_SETXATTR_IN_SIZE + 7);
	CHECK_EQ(fs->count[FUSE_REMOVEXATTR], 0);
	CHECK_EQ(getxattr(file, "user.a", value, sizeof(value)), 0);
	CHECK_EQ(getxattr(file, "user.a", NULL, 0), 0);
	rawfs_stop(fs);
}

TEST(xattr_flags_reach_the_server)
{
	struct rawfs *fs = xattr_fs("");
	const char *file = rawfs_path(fs, "file");

	CHECK_ERR(setxattr(file, "user.a", "x", 1, XATTR_REPLACE), ENODATA);
	CHECK_EQ(setxattr(file, "user.a", "x", 1, XATTR_CREATE), 0);
	CHECK_EQ(((struct fuse_setxattr_in *)last(FUSE_SETXATTR))->flags, XATTR_CREATE);
	CHECK_ERR(setxattr(file, "user.a", "x", 1, XATTR_CREATE), EEXIST);
	CHECK_EQ(setxattr(file, "user.a", "y", 1, XATTR_REPLACE), 0);
	rawfs_stop(fs);
}

TEST(xattrs_have_up_to_64k)
{
	struct rawfs *fs = xattr_fs("");
	const char *file = rawfs_path(fs, "file");
	static char value[70000], got[70000];

	for (int i = 0; i < 65536; i++)
		value[i] = i * 7 + i / 4096;
	CHECK_ERR(setxattr(file, "user.a", value, 65537, 0), E2BIG);
	CHECK_EQ(fs->count[FUSE_SETXATTR], 0);
	CHECK_EQ(setxattr(file, "user.a", value, 65536, 0), 0);
	CHECK_EQ(getxattr(file, "user.a", NULL, 0), 65536);
	CHECK_EQ(getxattr(file, "user.a", got, sizeof(got)), 65536);
	CHECK_EQ(((struct fuse_getxattr_in *)last(FUSE_GETXATTR))->size, 65536);
	CHECK(!memcmp(value, got, 65536));
	CHECK_EQ(setxattr(file, "user.a", value, 4097, 0), 0);
	CHECK_EQ(getxattr(file, "user.a", got, sizeof(got)), 4097);
	CHECK(!memcmp(value, got, 4097));
	rawfs_stop(fs);
}

TEST(xattr_sizes_are_asked_for)
{
	struct rawfs *fs = xattr_fs("");
	const char *file = rawfs_path(fs, "file");
	char value[16], list[16];

	CHECK_EQ(setxattr(file, "user.a", "value", 5, 0), 0);
	CHECK_EQ(getxattr(file, "user.a", NULL, 0), 5);
	CHECK_EQ(((struct fuse_getxattr_in *)last(FUSE_GETXATTR))->size, 0);
	CHECK_EQ(getxattr(file, "user.a", value, 5), 5);
	CHECK_EQ(((struct fuse_getxattr_in *)last(FUSE_GETXATTR))->size, 5);
	CHECK_ERR(getxattr(file, "user.a", value, 4), ERANGE);
	CHECK_EQ(listxattr(file, NULL, 0), 7);
	CHECK_EQ(((struct fuse_getxattr_in *)last(FUSE_LISTXATTR))->size, 0);
	CHECK_EQ(listxattr(file, list, 7), 7);
	CHECK_ERR(listxattr(file, list, 6), ERANGE);
	rawfs_stop(fs);
}

/* The answer to every GETXATTR and LISTXATTR. */
static const void *answer;
static size_t answer_len;

static bool answer_xattrs(struct rawfs *fs, struct rawfs_req *req)
{
	if (req->in.opcode != FUSE_GETXATTR && req->in.opcode != FUSE_LISTXATTR)
		return false;
	return reply(fs, req, 0, answer, answer_len);
}

TEST(xattr_sizes_have_bounds)
{
	struct rawfs *fs = recording_fs();
	struct fuse_getxattr_out out = { .size = UINT32_MAX };
	const char *file;
	char value[4];

	special = answer_xattrs;
	answer = &out;
	answer_len = sizeof(out);
	rawfs_start(fs, "");
	file = rawfs_path(fs, "file");
	CHECK_EQ(getxattr(file, "user.a", NULL, 0), 65536);
	CHECK_EQ(listxattr(file, NULL, 0), 65536);
	/* Longer than what was asked for. */
	CHECK_ERR(getxattr(file, "user.a", value, sizeof(value)), EIO);
	/* Not what was asked for. */
	answer_len = 4;
	CHECK_ERR(getxattr(file, "user.a", NULL, 0), EIO);
	CHECK_ERR(listxattr(file, NULL, 0), EIO);
	rawfs_stop(fs);
}

TEST(xattr_lists_are_checked)
{
	static const struct {
		const char *list;
		size_t len;
		int result;
	} rows[] = {
		{ "", 0, 0 },
		{ "user.a\0user.b", 14, 14 },
		{ "user.a\0user.b", 13, -1 },
		{ "user.a", 6, -1 },
		{ "", 1, -1 },
		{ "user.a\0\0", 8, -1 },
		{ "\0user.a", 8, -1 },
		{ "user.a\0\0user.b", 15, -1 },
	};
	struct rawfs *fs = recording_fs();
	char list[64];

	special = answer_xattrs;
	rawfs_start(fs, "");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		answer = rows[i].list;
		answer_len = rows[i].len;
		errno = 0;
		CHECK_EQ(listxattr(rawfs_path(fs, "file"), list, sizeof(list)), rows[i].result);
		CHECK_EQ(errno, rows[i].result < 0 ? EIO : 0);
	}
	rawfs_stop(fs);
}

TEST(a_server_without_xattrs_is_asked_once)
{
	struct rawfs *fs = recording_fs();
	const char *file;
	char value[16];

	rawfs_start(fs, "");
	file = rawfs_path(fs, "file");
	for (int i = 0; i < 3; i++) {
		CHECK_ERR(getxattr(file, "user.a", value, sizeof(value)), EOPNOTSUPP);
		CHECK_ERR(listxattr(file, value, sizeof(value)), EOPNOTSUPP);
		CHECK_ERR(setxattr(file, "user.a", "x", 1, 0), EOPNOTSUPP);
		CHECK_ERR(removexattr(file, "user.a"), EOPNOTSUPP);
		/* There is no list, then. */
		CHECK_ERR(getxattr(file, "system.posix_acl_access", value, 16), ENODATA);
	}
	CHECK_EQ(fs->count[FUSE_GETXATTR], 1);
	CHECK_EQ(fs->count[FUSE_LISTXATTR], 1);
	CHECK_EQ(fs->count[FUSE_SETXATTR], 1);
	CHECK_EQ(fs->count[FUSE_REMOVEXATTR], 1);
	rawfs_stop(fs);
}

TEST(a_change_of_xattrs_changes_attributes)
{
	struct rawfs *fs = recording_fs();
	struct stat st;
	const char *file;

	special = serve_xattrs;
	fs->entry_valid = fs->attr_valid = 1000;
	rawfs_start(fs, "");
	file = rawfs_path(fs, "file");
	CHECK_EQ(stat(file, &st), 0);
	CHECK_EQ(stat(file, &st), 0);
	CHECK_EQ(fs->count[FUSE_GETATTR], 0);
	CHECK_EQ(setxattr(file, "user.a", "x", 1, 0), 0);
	CHECK_EQ(stat(file, &st), 0);
	CHECK_EQ(fs->count[FUSE_GETATTR], 1);
	CHECK_EQ(removexattr(file, "user.a"), 0);
	CHECK_EQ(stat(file, &st), 0);
	CHECK_EQ(fs->count[FUSE_GETATTR], 2);
	CHECK_ERR(removexattr(file, "user.a"), ENODATA);
	CHECK_EQ(stat(file, &st), 0);
	CHECK_EQ(fs->count[FUSE_GETATTR], 2);
	rawfs_stop(fs);
}

TEST(others_list_no_xattrs)
{
	struct rawfs *fs = xattr_fs("");

	CHECK_EQ(AS_NOBODY(listxattr(fs->mnt, NULL, 0)), EACCES);
	CHECK_EQ(AS_NOBODY(getxattr(fs->mnt, "user.a", NULL, 0)), EACCES);
	CHECK_EQ(fs->count[FUSE_LISTXATTR], 0);
	CHECK_EQ(fs->count[FUSE_GETXATTR], 0);
	rawfs_stop(fs);
}

/* A write drops a file's capabilities. */
TEST(a_write_drops_capabilities)
{
	struct rawfs *fs = xattr_fs("");
	int fd = open(rawfs_path(fs, "file"), O_RDWR);

	CHECK(fd >= 0);
	strcpy(attrs[0].name, "security.capability");
	attrs[0].value = "\2\0\0\2";
	attrs[0].size = 20;
	CHECK_EQ(pwrite(fd, "x", 1, 0), 1);
	CHECK(!strcmp(last(FUSE_REMOVEXATTR), "security.capability"));
	CHECK(!attrs[0].value);
	CHECK_EQ(pwrite(fd, "x", 1, 0), 1);
	CHECK_EQ(fs->count[FUSE_REMOVEXATTR], 1);
	close(fd);
	rawfs_stop(fs);
}

#define ACL_ACCESS "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"

/* A list that denies its owner everything, with one user named. */
static const struct {
	struct posix_acl_xattr_header header;
	struct posix_acl_xattr_entry entry[5];
} acl = {
	{ POSIX_ACL_XATTR_VERSION },
	{
		{ ACL_USER_OBJ, 0, -1 },
		{ ACL_USER, ACL_READ, 0 },
		{ ACL_GROUP_OBJ, 0, -1 },
		{ ACL_MASK, ACL_READ, -1 },
		{ ACL_OTHER, 0, -1 },
	},
};

TEST(acls_are_attributes)
{
	struct rawfs *fs = xattr_fs("");
	const char *file = rawfs_path(fs, "file"), *dir = rawfs_path(fs, "dir");
	char value[64];

	CHECK_ERR(getxattr(file, ACL_ACCESS, value, sizeof(value)), ENODATA);
	CHECK_EQ(setxattr(file, ACL_ACCESS, &acl, sizeof(acl), 0), 0);
	CHECK(!strcmp((char *)last(FUSE_SETXATTR) + FUSE_COMPAT_SETXATTR_IN_SIZE, ACL_ACCESS));
	CHECK_EQ(((struct fuse_setxattr_in *)last(FUSE_SETXATTR))->size, sizeof(acl));
	CHECK_EQ(getxattr(file, ACL_ACCESS, value, sizeof(value)), sizeof(acl));
	CHECK(!memcmp(value, &acl, sizeof(acl)));
	/* They are not kept: each use asks. */
	CHECK_EQ(fs->count[FUSE_GETXATTR], 2);
	CHECK_EQ(getxattr(file, ACL_ACCESS, value, sizeof(value)), sizeof(acl));
	CHECK_EQ(fs->count[FUSE_GETXATTR], 3);
	CHECK_EQ(setxattr(dir, ACL_DEFAULT, &acl, sizeof(acl), 0), 0);
	CHECK_ERR(setxattr(file, ACL_DEFAULT, &acl, sizeof(acl), 0), EACCES);
	CHECK_ERR(setxattr(file, ACL_ACCESS, "rubbish", 7, 0), EOPNOTSUPP);
	CHECK_ERR(setxattr(file, ACL_ACCESS, &acl, sizeof(acl) - 1, 0), EINVAL);
	CHECK_EQ(fs->count[FUSE_SETXATTR], 2);
	CHECK_EQ(removexattr(file, ACL_ACCESS), 0);
	CHECK(!strcmp(last(FUSE_REMOVEXATTR), ACL_ACCESS));
	CHECK_ERR(getxattr(file, ACL_ACCESS, value, sizeof(value)), ENODATA);
	rawfs_stop(fs);
}

TEST(acls_of_servers_are_checked)
{
	struct rawfs *fs = recording_fs();
	static char large[8192];
	char value[64];
	const char *file;

	rawfs_start(fs, "");
	file = rawfs_path(fs, "file");
	special = answer_xattrs;
	answer = "rubbish";
	answer_len = 7;
	CHECK_ERR(getxattr(file, ACL_ACCESS, value, sizeof(value)), EOPNOTSUPP);
	answer = &acl;
	answer_len = sizeof(acl) - 1;
	CHECK_ERR(getxattr(file, ACL_ACCESS, value, sizeof(value)), EINVAL);
	answer_len = 0;
	CHECK_ERR(getxattr(file, ACL_ACCESS, value, sizeof(value)), ENODATA);
	special = serve_xattrs;
	strcpy(attrs[0].name, ACL_ACCESS);
	attrs[0].value = large;
	attrs[0].size = sizeof(large);
	CHECK_ERR(getxattr(file, ACL_ACCESS, value, sizeof(value)), E2BIG);
	rawfs_stop(fs);
}

TEST(the_kernel_does_not_judge_by_acls)
{
	struct rawfs *fs = xattr_fs(",allow_other,default_permissions");
	const char *file = rawfs_path(fs, "file");

	fs->node[2].mode = S_IFREG | 0640;
	CHECK_EQ(setxattr(file, ACL_ACCESS, &acl, sizeof(acl), 0), 0);
	CHECK_EQ(AS_NOBODY(access(file, R_OK)), EACCES);
	fs->node[2].mode = S_IFREG | 0644;
	CHECK_EQ(AS_NOBODY(open(file, O_RDONLY)), 0);
	CHECK_EQ(fs->count[FUSE_GETXATTR], 0);
	rawfs_stop(fs);
}

TEST(no_acls_in_a_user_namespace)
{
	struct rawfs *fs;
	char value[64];

	enter_namespace("0 0 1");
	fs = xattr_fs("");
	CHECK_ERR(getxattr(rawfs_path(fs, "file"), ACL_ACCESS, value, sizeof(value)), EOPNOTSUPP);
	CHECK_ERR(setxattr(rawfs_path(fs, "file"), ACL_ACCESS, &acl, sizeof(acl), 0), EOPNOTSUPP);
	CHECK_EQ(setxattr(rawfs_path(fs, "file"), "user.a", "x", 1, 0), 0);
	CHECK_EQ(fs->count[FUSE_GETXATTR], 0);
	CHECK_EQ(fs->count[FUSE_SETXATTR], 1);
	rawfs_stop(fs);
}

/* A file with data from 8192 to 12288. */
static bool serve_lseek(struct rawfs *fs, struct rawfs_req *req)
{
	struct fuse_lseek_in *in = (void *)req->body;
	struct fuse_lseek_out out = {};

	if (req->in.opcode != FUSE_LSEEK)
		return false;
	if (in->offset >= 20000)
		return reply(fs, req, ENXIO, NULL, 0);
	if (in->whence == SEEK_DATA)
		out.offset = in->offset < 8192 ? 8192 : in->offset;
	else
		out.offset = in->offset < 8192 ? in->offset : 12288;
	return reply(fs, req, 0, &out, sizeof(out));
}

TEST(data_and_holes_are_the_servers)
{
	struct rawfs *fs = recording_fs();
	struct fuse_lseek_in *in;
	int fd;

	special = serve_lseek;
	rawfs_start(fs, "");
	fd = open(rawfs_path(fs, "file"), O_RDONLY);
	CHECK(fd >= 0);
	CHECK_EQ(lseek(fd, 5, SEEK_DATA), 8192);
	in = last(FUSE_LSEEK);
	CHECK_EQ(in->fh, 2);
	CHECK_EQ(in->offset, 5);
	CHECK_EQ(in->whence, SEEK_DATA);
	CHECK_EQ(last_request(FUSE_LSEEK)->in.nodeid, 2);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 8192);
	CHECK_EQ(lseek(fd, 8200, SEEK_HOLE), 12288);
	CHECK_EQ(((struct fuse_lseek_in *)last(FUSE_LSEEK))->whence, SEEK_HOLE);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 12288);
	CHECK_ERR(lseek(fd, 20000, SEEK_DATA), ENXIO);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 12288);
	/* Nothing but these two is asked for. */
	CHECK_EQ(lseek(fd, 3, SEEK_SET), 3);
	CHECK_EQ(lseek(fd, 0, SEEK_END), 12);
	CHECK_EQ(fs->count[FUSE_LSEEK], 3);
	close(fd);
	rawfs_stop(fs);
}

TEST(without_lseek_all_of_a_file_is_data)
{
	struct rawfs *fs = recording_fs();
	int fd;

	rawfs_start(fs, "");
	fd = open(rawfs_path(fs, "file"), O_RDONLY);
	CHECK(fd >= 0);
	CHECK_EQ(lseek(fd, 5, SEEK_DATA), 5);
	CHECK_EQ(lseek(fd, 5, SEEK_HOLE), 12);
	CHECK_ERR(lseek(fd, 12, SEEK_DATA), ENXIO);
	/* The size is the present one. */
	fs->node[2].size = 100;
	CHECK_EQ(lseek(fd, 12, SEEK_HOLE), 100);
	CHECK_EQ(fs->count[FUSE_LSEEK], 1);
	close(fd);
	rawfs_stop(fs);
}

static bool lseek_to_nowhere(struct rawfs *fs, struct rawfs_req *req)
{
	struct fuse_lseek_out out = { .offset = 1ULL << 63 };

	return req->in.opcode == FUSE_LSEEK && reply(fs, req, 0, &out, sizeof(out));
}

TEST(a_position_is_not_negative)
{
	struct rawfs *fs = recording_fs();
	int fd;

	special = lseek_to_nowhere;
	rawfs_start(fs, "");
	fd = open(rawfs_path(fs, "file"), O_RDONLY);
	CHECK(fd >= 0);
	CHECK_EQ(lseek(fd, 5, SEEK_SET), 5);
	CHECK_EQ(lseek(fd, 0, SEEK_DATA), -1);
	/* The C driver calls it an error of the caller's. */
	CHECK_EQ(errno, ktap_is_rs() ? EIO : EINVAL);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 5);
	close(fd);
	rawfs_stop(fs);
}

static bool serve_fallocate(struct rawfs *fs, struct rawfs_req *req)
{
	struct fuse_fallocate_in *in = (void *)req->body;
	struct rawfs_node *n = &fs->node[2];

	if (req->in.opcode != FUSE_FALLOCATE)
		return false;
	if (in->mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		memset(n->data + in->offset, 0, in->length);
	if (!(in->mode & FALLOC_FL_KEEP_SIZE) && in->offset + in->length > n->size)
		n->size = in->offset + in->length;
	return reply(fs, req, 0, NULL, 0);
}

/* A file of 20000 bytes 'x', read into the cache, with attributes that stay. */
static int cached_file(struct rawfs *fs)
{
	static char buf[20000];
	int fd;

	fs->entry_valid = fs->attr_valid = 1000;
	rawfs_start(fs, "");
	memset(fs->node[2].data, 'x', 20000);
	fs->node[2].size = 20000;
	fd = open(rawfs_path(fs, "file"), O_RDWR);
	CHECK(fd >= 0);
	CHECK_EQ(read(fd, buf, sizeof(buf)), 20000);
	fs->count[FUSE_GETATTR] = 0;
	fs->count[FUSE_READ] = 0;
	return fd;
}

static char byte_at(int fd, off_t offset)
{
	char c;

	CHECK_EQ(pread(fd, &c, 1, offset), 1);
	return c;
}

TEST(fallocate_is_the_servers)
{
	struct rawfs *fs = recording_fs();
	struct fuse_fallocate_in *in;
	struct stat st;
	int fd;

	special = serve_fallocate;
	fd = cached_file(fs);
	CHECK_EQ(fallocate(fd, 0, 100, 30000), 0);
	in = last(FUSE_FALLOCATE);
	CHECK_EQ(in->fh, 2);
	CHECK_EQ(in->offset, 100);
	CHECK_EQ(in->length, 30000);
	CHECK_EQ(in->mode, 0);
	CHECK_EQ(lseek(fd, 0, SEEK_END), 30100);
	CHECK_EQ(byte_at(fd, 19999), 'x');
	CHECK_EQ(byte_at(fd, 20000), 0);
	CHECK_EQ(byte_at(fd, 30099), 0);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_size, 30100);
	/* Within the file it does not shrink. */
	CHECK_EQ(fallocate(fd, 0, 0, 10), 0);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_size, 30100);
	close(fd);
	rawfs_stop(fs);
}

TEST(fallocate_may_keep_the_size)
{
	struct rawfs *fs = recording_fs();
	struct stat st;
	int fd;

	special = serve_fallocate;
	fd = cached_file(fs);
	CHECK_EQ(fallocate(fd, FALLOC_FL_KEEP_SIZE, 100, 30000), 0);
	CHECK_EQ(((struct fuse_fallocate_in *)last(FUSE_FALLOCATE))->mode, FALLOC_FL_KEEP_SIZE);
	/* There may be more blocks. */
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(fs->count[FUSE_GETATTR], 1);
	CHECK_EQ(st.st_size, 20000);
	close(fd);
	rawfs_stop(fs);
}

TEST(holes_are_punched_into_the_cache)
{
	struct rawfs *fs = recording_fs();
	struct stat st;
	int fd;

	special = serve_fallocate;
	fd = cached_file(fs);
	CHECK_EQ(fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 5000, 5000), 0);
	CHECK_EQ(byte_at(fd, 4999), 'x');
	CHECK_EQ(byte_at(fd, 5000), 0);
	CHECK_EQ(byte_at(fd, 9999), 0);
	CHECK_EQ(byte_at(fd, 10000), 'x');
	CHECK_EQ(fallocate(fd, FALLOC_FL_ZERO_RANGE, 15000, 10000), 0);
	CHECK_EQ(byte_at(fd, 14999), 'x');
	CHECK_EQ(byte_at(fd, 15000), 0);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_size, 25000);
	CHECK_EQ(byte_at(fd, 24999), 0);
	close(fd);
	rawfs_stop(fs);
}

TEST(other_modes_of_fallocate_are_not_asked_for)
{
	struct rawfs *fs = recording_fs();
	int fd;

	special = serve_fallocate;
	fd = cached_file(fs);
	CHECK_ERR(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096), EOPNOTSUPP);
	CHECK_ERR(fallocate(fd, FALLOC_FL_INSERT_RANGE, 0, 4096), EOPNOTSUPP);
	CHECK_ERR(fallocate(fd, FALLOC_FL_UNSHARE_RANGE, 0, 4096), EOPNOTSUPP);
	CHECK_EQ(fs->count[FUSE_FALLOCATE], 0);
	close(fd);
	rawfs_stop(fs);
}

TEST(a_server_without_fallocate_is_asked_once)
{
	struct rawfs *fs = recording_fs();
	int fd = cached_file(fs);

	CHECK_ERR(fallocate(fd, 0, 0, 30000), EOPNOTSUPP);
	CHECK_ERR(fallocate(fd, 0, 0, 30000), EOPNOTSUPP);
	CHECK_EQ(fs->count[FUSE_FALLOCATE], 1);
	CHECK_EQ(lseek(fd, 0, SEEK_END), 20000);
	close(fd);
	rawfs_stop(fs);
}

TEST(fallocate_heeds_the_limit_of_sizes)
{
	struct rawfs *fs = recording_fs();
	struct rlimit limit = { 25000, 25000 };
	int fd;

	special = serve_fallocate;
	fd = cached_file(fs);
	signal(SIGXFSZ, SIG_IGN);
	CHECK_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
	CHECK_ERR(fallocate(fd, 0, 0, 25001), EFBIG);
	CHECK_EQ(fs->count[FUSE_FALLOCATE], 0);
	CHECK_EQ(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 25001), 0);
	CHECK_EQ(fallocate(fd, 0, 0, 25000), 0);
	close(fd);
	rawfs_stop(fs);
}

TEST(fallocate_drops_set_ids)
{
	struct rawfs *fs = recording_fs();
	int fd;

	special = serve_fallocate;
	fs->entry_valid = fs->attr_valid = 1000;
	rawfs_start(fs, ",allow_other");
	fs->node[2].mode = S_IFREG | 04777;
	fd = open(rawfs_path(fs, "file"), O_RDWR);
	CHECK(fd >= 0);
	CHECK_EQ(AS_NOBODY(fallocate(fd, 0, 0, 100)), 0);
	CHECK_EQ(((struct fuse_setattr_in *)last(FUSE_SETATTR))->mode, S_IFREG | 0777);
	CHECK(last_request(FUSE_SETATTR) < last_request(FUSE_FALLOCATE));
	close(fd);
	rawfs_stop(fs);
}

/* How the server copies: the newest request it knows, and the most bytes at a time. */
static uint32_t copy_opcode;
static uint64_t copy_max;
static int copy_error;

static bool serve_copy(struct rawfs *fs, struct rawfs_req *req)
{
	struct fuse_copy_file_range_in *in = (void *)req->body;
	struct fuse_copy_file_range_out out = {};
	struct fuse_write_out small = {};
	uint64_t len;

	if (req->in.opcode != FUSE_COPY_FILE_RANGE && req->in.opcode != FUSE_COPY_FILE_RANGE_64)
		return false;
	if (req->in.opcode > copy_opcode)
		return reply(fs, req, ENOSYS, NULL, 0);
	if (copy_error)
		return reply(fs, req, copy_error, NULL, 0);
	len = in->len < copy_max ? in->len : copy_max;
	if (in->off_in + len <= RAWFS_DATA && in->off_out + len <= RAWFS_DATA) {
		struct rawfs_node *out_node = &fs->node[in->nodeid_out];

		memmove(out_node->data + in->off_out, fs->node[req->in.nodeid].data + in->off_in, len);
		if (in->off_out + len > out_node->size)
			out_node->size = in->off_out + len;
	}
	out.bytes_copied = small.size = len;
	if (req->in.opcode == FUSE_COPY_FILE_RANGE)
		return reply(fs, req, 0, &small, sizeof(small));
	return reply(fs, req, 0, &out, sizeof(out));
}

/* As cached_file, and "copy", with 10000 bytes 'y', read into the cache. */
static int cached_files(struct rawfs *fs, int *copy)
{
	static char buf[20000];
	int fd;

	fd = cached_file(fs);
	fs->attr_valid = 0;
	CHECK_EQ(mknod(rawfs_path(fs, "copy"), S_IFREG | 0644, 0), 0);
	fs->attr_valid = 1000;
	memset(fs->node[5].data, 'y', 10000);
	fs->node[5].size = 10000;
	*copy = open(rawfs_path(fs, "copy"), O_RDWR);
	CHECK(*copy >= 0);
	CHECK_EQ(pread(*copy, buf, sizeof(buf), 0), 10000);
	fs->count[FUSE_READ] = 0;
	return fd;
}

TEST(the_server_copies_ranges)
{
	struct rawfs *fs = recording_fs();
	struct fuse_copy_file_range_in *in;
	off_t from = 100, to = 5000;
	int fd, copy;

	special = serve_copy;
	copy_opcode = FUSE_COPY_FILE_RANGE_64;
	copy_max = -1;
	fd = cached_files(fs, &copy);
	CHECK_EQ(copy_file_range(fd, &from, copy, &to, 8000, 0), 8000);
	in = last(FUSE_COPY_FILE_RANGE_64);
	CHECK_EQ(last_request(FUSE_COPY_FILE_RANGE_64)->in.nodeid, 2);
	CHECK_EQ(in->fh_in, 2);
	CHECK_EQ(in->off_in, 100);
	CHECK_EQ(in->nodeid_out, 5);
	CHECK_EQ(in->fh_out, 5);
	CHECK_EQ(in->off_out, 5000);
	CHECK_EQ(in->len, 8000);
	CHECK_EQ(in->flags, 0);
	CHECK_EQ(to, 13000);
	CHECK_EQ(lseek(copy, 0, SEEK_END), 13000);
	/* What was cached is not what is there now. */
	CHECK_EQ(byte_at(copy, 4999), 'y');
	CHECK_EQ(byte_at(copy, 5000), 'x');
	CHECK_EQ(byte_at(copy, 12999), 'x');
	CHECK_EQ(fs->count[FUSE_WRITE], 0);
	close(fd);
	close(copy);
	rawfs_stop(fs);
}

TEST(a_copy_may_be_short)
{
	struct rawfs *fs = recording_fs();
	off_t from = 0, to = 0;
	int fd, copy;

	special = serve_copy;
	copy_opcode = FUSE_COPY_FILE_RANGE_64;
	copy_max = 6000;
	fd = cached_files(fs, &copy);
	CHECK_EQ(copy_file_range(fd, &from, copy, &to, 20000, 0), 6000);
	CHECK_EQ(to, 6000);
	CHECK_EQ(byte_at(copy, 5999), 'x');
	CHECK_EQ(byte_at(copy, 6000), 'y');
	copy_max = 0;
	CHECK_EQ(copy_file_range(fd, &from, copy, &to, 20000, 0), 0);
	close(fd);
	close(copy);
	rawfs_stop(fs);
}

TEST(the_older_request_copies_less)
{
	struct rawfs *fs = recording_fs();
	off_t from = 0, to = 0;
	int fd, copy;

	special = serve_copy;
	copy_opcode = FUSE_COPY_FILE_RANGE;
	copy_max = 4096;
	fd = cached_files(fs, &copy);
	fs->node[2].size = 1ULL << 40;
	/* So that the kernel learns of the size. */
	CHECK_EQ(utimensat(AT_FDCWD, rawfs_path(fs, "file"), NULL, 0), 0);
	CHECK_EQ(lseek(fd, 0, SEEK_END), 1LL << 40);
	CHECK_EQ(copy_file_range(fd, &from, copy, &to, 1ULL << 40, 0), 4096);
	CHECK_EQ(((struct fuse_copy_file_range_in *)last(FUSE_COPY_FILE_RANGE_64))->len, 1LL << 40);
	CHECK_EQ(((struct fuse_copy_file_range_in *)last(FUSE_COPY_FILE_RANGE))->len, 0xfffff000);
	CHECK_EQ(copy_file_range(fd, &from, copy, &to, 100, 0), 100);
	CHECK_EQ(((struct fuse_copy_file_range_in *)last(FUSE_COPY_FILE_RANGE))->len, 100);
	CHECK_EQ(fs->count[FUSE_COPY_FILE_RANGE_64], 1);
	CHECK_EQ(fs->count[FUSE_COPY_FILE_RANGE], 2);
	close(fd);
	close(copy);
	rawfs_stop(fs);
}

TEST(without_such_a_server_the_kernel_copies)
{
	struct rawfs *fs = recording_fs();
	off_t from = 0, to = 0;
	int fd, copy;

	special = serve_copy;
	fd = cached_files(fs, &copy);
	CHECK_EQ(copy_file_range(fd, &from, copy, &to, 5000, 0), 5000);
	CHECK_EQ(copy_file_range(fd, &from, copy, &to, 5000, 0), 5000);
	CHECK_EQ(fs->count[FUSE_COPY_FILE_RANGE_64], 1);
	CHECK_EQ(fs->count[FUSE_COPY_FILE_RANGE], 1);
	CHECK(fs->count[FUSE_WRITE] > 0);
	CHECK_EQ(byte_at(copy, 9999), 'x');
	CHECK_EQ(fs->node[5].data[9999], 'x');
	close(fd);
	close(copy);
	rawfs_stop(fs);
}

TEST(errors_of_copies)
{
	static const struct {
		int server, result;
	} rows[] = { { ENOSPC, ENOSPC }, { EIO, EIO }, { EXDEV, 0 }, { EOPNOTSUPP, 0 } };
	struct rawfs *fs = recording_fs();
	off_t from, to;
	int fd, copy;

	special = serve_copy;
	copy_opcode = FUSE_COPY_FILE_RANGE_64;
	fd = cached_files(fs, &copy);
	for (int i = 0; i < 4; i++) {
		from = to = 0;
		copy_error = rows[i].server;
		errno = 0;
		CHECK_EQ(copy_file_range(fd, &from, copy, &to, 100, 0), rows[i].result ? -1 : 100);
		CHECK_EQ(errno, rows[i].result);
	}
	CHECK_EQ(fs->count[FUSE_COPY_FILE_RANGE_64], 4);
	close(fd);
	close(copy);
	rawfs_stop(fs);
}

static bool copy_too_much(struct rawfs *fs, struct rawfs_req *req)
{
	struct fuse_copy_file_range_out out = { .bytes_copied = 101 };

	return req->in.opcode == FUSE_COPY_FILE_RANGE_64 && reply(fs, req, 0, &out, sizeof(out));
}

TEST(no_more_is_copied_than_was_asked_for)
{
	struct rawfs *fs = recording_fs();
	off_t from = 0, to = 9950;
	struct stat st;
	int fd, copy;

	special = copy_too_much;
	fd = cached_files(fs, &copy);
	CHECK_ERR(copy_file_range(fd, &from, copy, &to, 100, 0), EIO);
	CHECK_EQ(fstat(copy, &st), 0);
	CHECK_EQ(st.st_size, 10000);
	close(fd);
	close(copy);
	rawfs_stop(fs);
}

TEST(copies_between_mounts_are_the_kernels)
{
	struct rawfs *fs = recording_fs(), *other = recording_fs();
	off_t from = 0, to = 0;
	int fd, copy;

	special = serve_copy;
	copy_opcode = FUSE_COPY_FILE_RANGE_64;
	copy_max = -1;
	fd = cached_file(fs);
	/* On top of the first. */
	rawfs_start(other, "");
	copy = open(rawfs_path(other, "file"), O_RDWR);
	CHECK(copy >= 0);
	CHECK_EQ(copy_file_range(fd, &from, copy, &to, 5000, 0), 5000);
	CHECK_EQ(fs->count[FUSE_COPY_FILE_RANGE_64], 0);
	CHECK_EQ(other->count[FUSE_COPY_FILE_RANGE_64], 0);
	CHECK_EQ(other->node[2].data[4999], 'x');
	close(copy);
	rawfs_stop(other);
	close(fd);
	rawfs_stop(fs);
}

/* The file without a name is node 2, which has had another life. */
static bool serve_tmpfile(struct rawfs *fs, struct rawfs_req *req)
{
	struct {
		struct fuse_entry_out e;
		struct fuse_open_out o;
	} out = {};

	if (req->in.opcode == FUSE_LINK) {
		fs->node[2].nlink = 1;
		strcpy(fs->node[2].name, req->body + sizeof(struct fuse_link_in));
		rawfs_entry(fs, 2, &out.e);
		return reply(fs, req, 0, &out.e, sizeof(out.e));
	}
	if (req->in.opcode != FUSE_TMPFILE)
		return false;
	fs->node[2].name[0] = 0;
	fs->node[2].nlink = 0;
	fs->node[2].size = 0;
	rawfs_entry(fs, 2, &out.e);
	out.o.fh = 77;
	return reply(fs, req, 0, &out, sizeof(out));
}

TEST(files_without_a_name)
{
	struct rawfs *fs = recording_fs();
	struct fuse_create_in *in;
	struct stat st;
	char self[64];
	int fd;

	special = serve_tmpfile;
	rawfs_start(fs, "");
	umask(027);
	fd = open(rawfs_path(fs, "dir"), O_TMPFILE | O_RDWR, 0666);
	CHECK(fd >= 0);
	in = last(FUSE_TMPFILE);
	CHECK_EQ(last_request(FUSE_TMPFILE)->in.nodeid, 3);
	CHECK_EQ(in->mode, S_IFREG | 0640);
	CHECK_EQ(in->umask, 027);
	CHECK_EQ(in->flags & (O_TMPFILE | O_ACCMODE), O_TMPFILE | O_RDWR);
	CHECK_EQ(last_request(FUSE_TMPFILE)->len, sizeof(*in) + 2);
	CHECK_EQ(fs->count[FUSE_OPEN], 0);
	CHECK_EQ(write(fd, "data", 4), 4);
	CHECK_EQ(((struct fuse_write_in *)last(FUSE_WRITE))->fh, 77);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_nlink, 0);
	CHECK_EQ(st.st_size, 4);
	/* It may get a name. */
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	CHECK_EQ(linkat(AT_FDCWD, self, AT_FDCWD, rawfs_path(fs, "named"), AT_SYMLINK_FOLLOW), 0);
	CHECK_EQ(((struct fuse_link_in *)last(FUSE_LINK))->oldnodeid, 2);
	CHECK_EQ(stat(rawfs_path(fs, "named"), &st), 0);
	CHECK_EQ(st.st_nlink, 1);
	close(fd);
	EVENTUALLY(fs->count[FUSE_RELEASE] == 1);
	CHECK_EQ(((struct fuse_release_in *)last(FUSE_RELEASE))->fh, 77);
	rawfs_stop(fs);
}

TEST(without_tmpfile_a_server_is_asked_once)
{
	struct rawfs *fs = recording_fs();

	rawfs_start(fs, "");
	CHECK_ERR(open(rawfs_path(fs, "dir"), O_TMPFILE | O_RDWR, 0666), EOPNOTSUPP);
	CHECK_ERR(open(rawfs_path(fs, "dir"), O_TMPFILE | O_RDWR, 0666), EOPNOTSUPP);
	CHECK_EQ(fs->count[FUSE_TMPFILE], 1);
	rawfs_stop(fs);
}

static bool bad_tmpfile(struct rawfs *fs, struct rawfs_req *req)
{
	struct {
		struct fuse_entry_out e;
		struct fuse_open_out o;
	} out = {};

	if (req->in.opcode != FUSE_TMPFILE)
		return false;
	rawfs_entry(fs, 3, &out.e);
	return reply(fs, req, 0, &out, sizeof(out));
}

TEST(a_file_without_a_name_is_a_file)
{
	struct rawfs *fs = recording_fs();

	special = bad_tmpfile;
	rawfs_start(fs, "");
	CHECK_ERR(open(rawfs_path(fs, "dir"), O_TMPFILE | O_RDWR, 0666), EIO);
	rawfs_stop(fs);
}

static int sync_error;

static bool serve_syncfs(struct rawfs *fs, struct rawfs_req *req)
{
	return req->in.opcode == FUSE_SYNCFS && reply(fs, req, sync_error, NULL, 0);
}

TEST(servers_of_users_are_not_asked_to_sync)
{
	struct rawfs *fs = recording_fs();
	int fd;

	special = serve_syncfs;
	rawfs_start(fs, "");
	fd = open(fs->mnt, O_RDONLY);
	CHECK(fd >= 0);
	CHECK_EQ(syncfs(fd), 0);
	CHECK_EQ(fs->count[FUSE_SYNCFS], 0);
	close(fd);
	rawfs_stop(fs);
}

TEST(servers_with_a_device_are_asked_to_sync)
{
	struct rawfs *fs = recording_fs();
	int fd;

	special = serve_syncfs;
	rawfs_start(fs, "");
	rawfs_stop(fs);
	rawfs_restart_on_disk(fs, "");
	fd = open(fs->mnt, O_RDONLY);
	CHECK(fd >= 0);
	CHECK_EQ(syncfs(fd), 0);
	CHECK_EQ(fs->count[FUSE_SYNCFS], 1);
	CHECK_EQ(last_request(FUSE_SYNCFS)->in.nodeid, 1);
	CHECK_EQ(last_request(FUSE_SYNCFS)->len, sizeof(struct fuse_syncfs_in));
	sync_error = EIO;
	CHECK_ERR(syncfs(fd), EIO);
	/* One without the request is asked once. */
	sync_error = ENOSYS;
	CHECK_EQ(syncfs(fd), 0);
	CHECK_EQ(syncfs(fd), 0);
	CHECK_EQ(fs->count[FUSE_SYNCFS], 3);
	close(fd);
	CHECK_EQ(umount(fs->mnt), 0);
	CHECK_EQ(fs->count[FUSE_SYNCFS], 3);
}

/* What a STATX is answered with. */
static struct fuse_statx_out statx_out;

static bool serve_statx(struct rawfs *fs, struct rawfs_req *req)
{
	return req->in.opcode == FUSE_STATX && reply(fs, req, 0, &statx_out, sizeof(statx_out));
}

static struct rawfs *statx_fs(void)
{
	struct rawfs *fs = recording_fs();
	struct fuse_statx *st = &statx_out.stat;

	special = serve_statx;
	fs->entry_valid = fs->attr_valid = statx_out.attr_valid = 1000;
	st->mask = STATX_BASIC_STATS | STATX_BTIME;
	st->mode = S_IFREG | 0640;
	st->nlink = 3;
	st->uid = 7;
	st->gid = 8;
	st->ino = 2;
	st->size = 4321;
	st->blksize = 4096;
	st->btime.tv_sec = 1000000007;
	st->btime.tv_nsec = 5;
	st->mtime.tv_sec = 99;
	rawfs_start(fs, "");
	return fs;
}

TEST(statx_tells_the_time_of_birth)
{
	struct rawfs *fs = statx_fs();
	const char *file = rawfs_path(fs, "file");
	struct fuse_statx_in *in;
	struct statx st;

	CHECK_EQ(statx(AT_FDCWD, file, 0, STATX_BASIC_STATS, &st), 0);
	CHECK_EQ(st.stx_mask & STATX_BTIME, 0);
	CHECK_EQ(fs->count[FUSE_STATX], 0);
	CHECK_EQ(statx(AT_FDCWD, file, 0, STATX_BASIC_STATS | STATX_BTIME, &st), 0);
	in = last(FUSE_STATX);
	CHECK_EQ(last_request(FUSE_STATX)->in.nodeid, 2);
	CHECK_EQ(in->getattr_flags, 0);
	CHECK_EQ(in->sx_flags, 0);
	CHECK_EQ(in->sx_mask, STATX_BASIC_STATS | STATX_BTIME);
	CHECK_EQ(st.stx_mask & (STATX_BASIC_STATS | STATX_BTIME), STATX_BASIC_STATS | STATX_BTIME);
	CHECK_EQ(st.stx_btime.tv_sec, 1000000007);
	CHECK_EQ(st.stx_btime.tv_nsec, 5);
	CHECK_EQ(st.stx_mode, S_IFREG | 0640);
	CHECK_EQ(st.stx_nlink, 3);
	CHECK_EQ(st.stx_uid, 7);
	CHECK_EQ(st.stx_gid, 8);
	CHECK_EQ(st.stx_size, 4321);
	CHECK_EQ(st.stx_mtime.tv_sec, 99);
	CHECK_EQ(fs->count[FUSE_GETATTR], 0);
	rawfs_stop(fs);
}

TEST(a_time_of_birth_is_kept)
{
	struct rawfs *fs = statx_fs();
	const char *file = rawfs_path(fs, "file");
	struct statx st;

	CHECK_EQ(statx(AT_FDCWD, file, 0, STATX_BTIME, &st), 0);
	CHECK_EQ(fs->count[FUSE_STATX], 1);
	CHECK_EQ(statx(AT_FDCWD, file, 0, STATX_BTIME, &st), 0);
	CHECK_EQ(statx(AT_FDCWD, file, AT_STATX_DONT_SYNC, STATX_BTIME, &st), 0);
	CHECK_EQ(fs->count[FUSE_STATX], 1);
	CHECK_EQ(st.stx_btime.tv_sec, 1000000007);
	CHECK_EQ(statx(AT_FDCWD, file, AT_STATX_FORCE_SYNC, STATX_BTIME, &st), 0);
	CHECK_EQ(fs->count[FUSE_STATX], 2);
	CHECK_EQ(statx(AT_FDCWD, file, AT_STATX_FORCE_SYNC, STATX_SIZE, &st), 0);
	CHECK_EQ(fs->count[FUSE_STATX], 2);
	CHECK_EQ(fs->count[FUSE_GETATTR], 1);
	rawfs_stop(fs);
}

TEST(nothing_is_asked_for_nothing)
{
	struct rawfs *fs = statx_fs();
	struct statx st;

	CHECK_EQ(statx(AT_FDCWD, rawfs_path(fs, "file"), AT_STATX_FORCE_SYNC, 0, &st), 0);
	CHECK_EQ(fs->count[FUSE_STATX], 0);
	CHECK_EQ(fs->count[FUSE_GETATTR], 0);
	rawfs_stop(fs);
}

TEST(a_server_may_not_know_the_time_of_birth)
{
	struct rawfs *fs = statx_fs();
	const char *file = rawfs_path(fs, "file");
	struct statx st;

	statx_out.stat.mask = STATX_BASIC_STATS;
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(statx(AT_FDCWD, file, 0, STATX_BASIC_STATS | STATX_BTIME, &st), 0);
		CHECK_EQ(st.stx_mask & STATX_BTIME, 0);
		CHECK_EQ(st.stx_size, 4321);
	}
	CHECK_EQ(fs->count[FUSE_STATX], 1);
	rawfs_stop(fs);
}

TEST(without_statx_a_server_is_asked_once)
{
	struct rawfs *fs = statx_fs();
	const char *file = rawfs_path(fs, "file");
	struct statx st;

	special = NULL;
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(statx(AT_FDCWD, file, AT_STATX_FORCE_SYNC, STATX_SIZE | STATX_BTIME, &st), 0);
		CHECK_EQ(st.stx_mask & STATX_BTIME, 0);
		CHECK_EQ(st.stx_size, 12);
	}
	CHECK_EQ(fs->count[FUSE_STATX], 1);
	CHECK_EQ(fs->count[FUSE_GETATTR], 3);
	/* There is nothing else to ask for, then. */
	CHECK_EQ(statx(AT_FDCWD, file, AT_STATX_FORCE_SYNC, STATX_BTIME, &st), 0);
	CHECK_EQ(fs->count[FUSE_GETATTR], 3);
	rawfs_stop(fs);
}

TEST(statx_is_checked)
{
	struct rawfs *fs = statx_fs();
	const char *file = rawfs_path(fs, "file");
	struct statx st;

	statx_out.stat.btime.tv_nsec = UINT32_MAX;
	CHECK_EQ(statx(AT_FDCWD, file, 0, STATX_BTIME, &st), 0);
	CHECK_EQ(st.stx_btime.tv_nsec, 999999999);
	statx_out.stat.size = 1ULL << 63;
	CHECK_ERR(statx(AT_FDCWD, file, AT_STATX_FORCE_SYNC, STATX_BTIME, &st), EIO);
	rawfs_stop(fs);
}

TEST(statx_of_another_type_makes_bad)
{
	struct rawfs *fs = statx_fs();
	const char *file = rawfs_path(fs, "file");
	struct stat st;
	struct statx stx;
	int fd = open(file, O_RDONLY);

	CHECK(fd >= 0);
	statx_out.stat.mode = S_IFDIR | 0755;
	CHECK_ERR(statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &stx), EIO);
	CHECK_ERR(fstat(fd, &st), EIO);
	close(fd);
	rawfs_stop(fs);
}

/* Only some of the attributes. */
TEST(incomplete_statx_is_completed)
{
	struct rawfs *fs = statx_fs();
	const char *file = rawfs_path(fs, "file");
	struct statx st;

	RS_ONLY("it passes zeroes on");
	statx_out.stat.mask = STATX_BTIME;
	statx_out.stat.mode = 0;
	CHECK_EQ(statx(AT_FDCWD, file, 0, STATX_BASIC_STATS | STATX_BTIME, &st), 0);
	CHECK_EQ(st.stx_size, 12);
	CHECK_EQ(st.stx_mode, S_IFREG | 0644);
	CHECK_EQ(st.stx_btime.tv_sec, 1000000007);
	CHECK_EQ(fs->count[FUSE_GETATTR], 1);
	rawfs_stop(fs);
}

static int access_error;

static bool serve_access(struct rawfs *fs, struct rawfs_req *req)
{
	return req->in.opcode == FUSE_ACCESS && reply(fs, req, access_error, NULL, 0);
}

TEST(access_and_chdir_ask_the_server)
{
	struct rawfs *fs = recording_fs();
	const char *file;
	int fd;

	special = serve_access;
	rawfs_start(fs, "");
	file = rawfs_path(fs, "file");
	CHECK_EQ(access(file, R_OK | W_OK), 0);
	CHECK_EQ(((struct fuse_access_in *)last(FUSE_ACCESS))->mask, R_OK | W_OK);
	CHECK_EQ(last_request(FUSE_ACCESS)->in.nodeid, 2);
	CHECK_EQ(access(file, F_OK), 0);
	CHECK_EQ(((struct fuse_access_in *)last(FUSE_ACCESS))->mask, 0);
	CHECK_EQ(chdir(rawfs_path(fs, "dir")), 0);
	CHECK_EQ(((struct fuse_access_in *)last(FUSE_ACCESS))->mask, X_OK);
	CHECK_EQ(chdir("/"), 0);
	access_error = EPERM;
	CHECK_ERR(access(file, R_OK), EPERM);
	CHECK_EQ(fs->count[FUSE_ACCESS], 4);
	/* Other uses are judged when they come. */
	fs->node[2].mode = S_IFREG;
	fd = open(file, O_RDWR);
	CHECK(fd >= 0);
	close(fd);
	CHECK_EQ(fs->count[FUSE_ACCESS], 4);
	rawfs_stop(fs);
}

TEST(without_access_everything_is_allowed)
{
	struct rawfs *fs = recording_fs();

	rawfs_start(fs, "");
	fs->node[2].mode = S_IFREG;
	CHECK_EQ(access(rawfs_path(fs, "file"), R_OK), 0);
	CHECK_EQ(access(rawfs_path(fs, "file"), R_OK | W_OK), 0);
	CHECK_EQ(fs->count[FUSE_ACCESS], 1);
	rawfs_stop(fs);
}

TEST(with_default_permissions_access_is_by_mode)
{
	struct rawfs *fs = recording_fs();

	special = serve_access;
	rawfs_start(fs, ",allow_other,default_permissions");
	fs->node[2].mode = S_IFREG | 0640;
	CHECK_EQ(AS_NOBODY(access(rawfs_path(fs, "file"), R_OK)), EACCES);
	fs->node[2].mode = S_IFREG | 0644;
	CHECK_EQ(AS_NOBODY(access(rawfs_path(fs, "file"), R_OK)), 0);
	CHECK_EQ(AS_NOBODY(access(rawfs_path(fs, "file"), W_OK)), EACCES);
	CHECK_EQ(fs->count[FUSE_ACCESS], 0);
	rawfs_stop(fs);
}

/* A whiteout takes the place of what is renamed. */
static bool serve_whiteout(struct rawfs *fs, struct rawfs_req *req)
{
	struct fuse_rename2_in *in = (void *)req->body;

	if (req->in.opcode != FUSE_RENAME2 || !(in->flags & RENAME_WHITEOUT))
		return false;
	strcpy(fs->node[2].name, "renamed");
	strcpy(fs->node[3].name, "file");
	fs->node[3].mode = S_IFCHR;
	return reply(fs, req, 0, NULL, 0);
}

TEST(a_rename_may_leave_a_whiteout)
{
	struct rawfs *fs = recording_fs();
	struct fuse_rename2_in *in;
	struct stat st;
	char *names;

	special = serve_whiteout;
	fs->entry_valid = fs->attr_valid = 1000;
	rawfs_start(fs, "");
	CHECK_EQ(renameat2(AT_FDCWD, rawfs_path(fs, "file"), AT_FDCWD, rawfs_path(fs, "renamed"),
			   RENAME_WHITEOUT),
		 0);
	in = last(FUSE_RENAME2);
	names = (char *)(in + 1);
	CHECK_EQ(in->newdir, 1);
	CHECK_EQ(in->flags, RENAME_WHITEOUT);
	CHECK(!strcmp(names, "file"));
	CHECK(!strcmp(names + 5, "renamed"));
	CHECK_EQ(stat(rawfs_path(fs, "renamed"), &st), 0);
	CHECK_EQ(st.st_mode, S_IFREG | 0644);
	CHECK_EQ(stat(rawfs_path(fs, "file"), &st), 0);
	CHECK_EQ(st.st_mode, S_IFCHR);
	CHECK_EQ(st.st_rdev, 0);
	rawfs_stop(fs);
}

/* A process in `call`, which is killed when the server has got `opcode`; the server does it later. */
#define KILL_IN(fs, opcode, call)                                                                  \
	({                                                                                         \
		pid_t ki_pid = fork();                                                             \
		if (ki_pid == 0)                                                                   \
			_exit((call) < 0);                                                         \
		EVENTUALLY((fs)->count[opcode] > 0);                                               \
		kill(ki_pid, SIGKILL);                                                             \
		CHECK_EQ(waitpid(ki_pid, NULL, 0), ki_pid);                                        \
	})

static atomic_bool answered_late;

/* Does what it is asked after the caller has been killed. */
static bool serve_later(struct rawfs *fs, struct rawfs_req *req)
{
	if (req->in.opcode != FUSE_FALLOCATE && req->in.opcode != FUSE_COPY_FILE_RANGE_64)
		return false;
	usleep(500000);
	serve_fallocate(fs, req);
	serve_copy(fs, req);
	answered_late = true;
	return true;
}

TEST(what_a_killed_caller_punches_is_not_cached)
{
	struct rawfs *fs = recording_fs();
	int fd;

	RS_ONLY("it cannot be killed then");
	special = serve_later;
	fd = cached_file(fs);
	KILL_IN(fs, FUSE_FALLOCATE,
		fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 5000, 5000));
	EVENTUALLY(answered_late);
	CHECK_EQ(byte_at(fd, 4999), 'x');
	CHECK_EQ(byte_at(fd, 5000), 0);
	close(fd);
	rawfs_stop(fs);
}

TEST(what_a_killed_caller_copies_is_not_cached)
{
	struct rawfs *fs = recording_fs();
	off_t from = 0, to = 9000;
	int fd, copy;

	RS_ONLY("it cannot be killed then");
	special = serve_later;
	copy_opcode = FUSE_COPY_FILE_RANGE_64;
	copy_max = -1;
	fd = cached_files(fs, &copy);
	KILL_IN(fs, FUSE_COPY_FILE_RANGE_64, copy_file_range(fd, &from, copy, &to, 5000, 0));
	EVENTUALLY(answered_late);
	CHECK_EQ(byte_at(copy, 8999), 'y');
	CHECK_EQ(byte_at(copy, 9000), 'x');
	CHECK_EQ(lseek(copy, 0, SEEK_END), 14000);
	close(fd);
	close(copy);
	rawfs_stop(fs);
}
