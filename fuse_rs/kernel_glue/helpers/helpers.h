/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Inline functions and macros of the kernel that Rust cannot call, one line of
 * logic each, and constants that bindgen cannot evaluate.
 */
#ifndef FUSE_RS_HELPERS_H
#define FUSE_RS_HELPERS_H

#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/fs_parser.h>
#include <linux/backing-dev.h>
#include <linux/blkdev.h>
#include <linux/fileattr.h>
#include <linux/filelock.h>
#include <linux/namei.h>
#include <linux/pagemap.h>
#include <linux/folio_batch.h>
#include <linux/pipe_fs_i.h>
#include <linux/poll.h>
#include <linux/posix_acl.h>
#include <linux/splice.h>
#include <linux/uio.h>
#include <linux/workqueue.h>

enum fuse_rs_const : u64 {
	FUSE_RS_SB_POSIXACL	= SB_POSIXACL,
	FUSE_RS_SB_MANDLOCK	= SB_MANDLOCK,
	FUSE_RS_SB_DYING	= SB_DYING,
	FUSE_RS_SB_RDONLY	= SB_RDONLY,
	FUSE_RS_SB_NOSEC	= SB_NOSEC,
	FUSE_RS_SB_I_VERSION	= SB_I_VERSION,
	FUSE_RS_S_DEAD		= S_DEAD,
	FUSE_RS_S_NOCMTIME	= S_NOCMTIME,
	FUSE_RS_S_AUTOMOUNT	= S_AUTOMOUNT,
	FUSE_RS_I_DIRTY_SYNC	= I_DIRTY_SYNC,
	FUSE_RS_S_NOSEC		= S_NOSEC,
	FUSE_RS_FMODE_CREATED	= (__force u32)FMODE_CREATED,
	FUSE_RS_FMODE_CAN_ODIRECT = (__force u32)FMODE_CAN_ODIRECT,
	FUSE_RS_LOOKUP_RCU	= LOOKUP_RCU,
	FUSE_RS_LOOKUP_EXCL	= LOOKUP_EXCL,
	FUSE_RS_LOOKUP_REVAL	= LOOKUP_REVAL,
	FUSE_RS_LOOKUP_RENAME_TARGET = LOOKUP_RENAME_TARGET,
	FUSE_RS_MAY_NOT_BLOCK	= MAY_NOT_BLOCK,
	FUSE_RS_EPOLLIN		= (__force u32)(EPOLLIN | EPOLLRDNORM),
	FUSE_RS_EPOLLOUT	= (__force u32)(EPOLLOUT | EPOLLWRNORM),
	FUSE_RS_EPOLLERR	= (__force u32)EPOLLERR,
	FUSE_RS_DEFAULT_POLLMASK = (__force u32)DEFAULT_POLLMASK,
	FUSE_RS_MAX_LFS_FILESIZE = MAX_LFS_FILESIZE,
	FUSE_RS_BDI_CAP_STRICTLIMIT = BDI_CAP_STRICTLIMIT,
	FUSE_RS_PURPOSE_RECONFIGURE = FS_CONTEXT_FOR_RECONFIGURE,
	FUSE_RS_PURPOSE_SUBMOUNT = FS_CONTEXT_FOR_SUBMOUNT,
	FUSE_RS_GFP_CACHE	= (__force u32)GFP_USER,
	FUSE_RS_GFP_LARGE	= (__force u32)(__GFP_NORETRY | __GFP_NOWARN),
	FUSE_RS_IOCB_DIRECT	= IOCB_DIRECT,
	FUSE_RS_IOCB_APPEND	= IOCB_APPEND,
	FUSE_RS_IOC_SIZESHIFT	= _IOC_SIZESHIFT,
	FUSE_RS_IOC_SIZEMASK	= _IOC_SIZEMASK,
	FUSE_RS_IOC_DIRSHIFT	= _IOC_DIRSHIFT,
	FUSE_RS_FS_IOC_GETFLAGS	= FS_IOC_GETFLAGS,
	FUSE_RS_FS_IOC_SETFLAGS	= FS_IOC_SETFLAGS,
	FUSE_RS_FS_IOC_FSGETXATTR = FS_IOC_FSGETXATTR,
	FUSE_RS_FS_IOC_FSSETXATTR = FS_IOC_FSSETXATTR,
	FUSE_RS_IOC_READ	= _IOC_READ,
	FUSE_RS_IOC_WRITE	= _IOC_WRITE,
	FUSE_RS_ACL_DONT_CACHE	= (unsigned long)ACL_DONT_CACHE,
};

/* ioctl and file attributes */
struct fuse_rs_kattr {
	u32 flags;
	u32 xflags;
	u32 extsize;
	u32 nextents;
	u32 projid;
	u32 cowextsize;
	bool by_flags;
};

struct fuse_rs_kattr fuse_rs_helper_kattr_read(const struct file_kattr *attr);
void fuse_rs_helper_kattr_write(struct file_kattr *attr, const struct fuse_rs_kattr *from);
bool fuse_rs_helper_in_x32_syscall(void);

/* maps of ids */
u32 fuse_rs_helper_mapped_fsuid(struct mnt_idmap *map, struct user_namespace *ns);
u32 fuse_rs_helper_mapped_fsgid(struct mnt_idmap *map, struct user_namespace *ns);
bool fuse_rs_helper_is_in_group(struct mnt_idmap *map, struct inode *inode);
struct mnt_idmap *fuse_rs_helper_file_map(const struct file *file);

/* access control lists */
bool fuse_rs_helper_is_member(struct mnt_idmap *map, struct inode *inode);

/* readiness */
u32 fuse_rs_helper_poll_events(const struct poll_table_struct *table);
__poll_t fuse_rs_helper_poll_mask(u32 events);
bool fuse_rs_helper_queue_has_waiters(struct wait_queue_head *head);

/* locks */
struct fuse_rs_lock {
	u64 start;
	u64 end;
	unsigned long owner;
	u32 kind;
	bool sleeps;
	bool flock;
	bool asynchronous;
};

struct fuse_rs_lock fuse_rs_helper_lock_read(const struct file_lock *lock);
void fuse_rs_helper_lock_write(struct file_lock *lock, u64 start, u64 end, u32 kind, s32 pid);

/* slab and inodes */
struct kmem_cache *fuse_rs_helper_inode_cache(const char *name, unsigned int size,
					      void (*ctor)(void *));
void *fuse_rs_helper_alloc_inode_sb(struct super_block *sb, struct kmem_cache *cache);
bool fuse_rs_helper_inode_is_new(struct inode *inode);
void fuse_rs_helper_inode_set_times(struct inode *inode, const struct timespec64 *atime,
				    const struct timespec64 *mtime, const struct timespec64 *ctime);
int fuse_rs_helper_inode_lock_killable(struct inode *inode);
int fuse_rs_helper_inode_lock_parent_killable(struct inode *inode);
int fuse_rs_helper_inode_lock_shared_killable(struct inode *inode);
void fuse_rs_helper_inode_unlock_shared(struct inode *inode);
void fuse_rs_helper_inode_unlock(struct inode *inode);
dev_t fuse_rs_helper_decode_dev(u32 rdev);
u32 fuse_rs_helper_encode_dev(dev_t dev);
u64 fuse_rs_helper_device_bytes(struct block_device *device);
void fuse_rs_helper_truncate_final(struct inode *inode);
void fuse_rs_helper_set_sb_flags(struct super_block *sb, unsigned long flags);
struct user_namespace *fuse_rs_helper_get_user_ns(struct user_namespace *ns);
void fuse_rs_helper_put_user_ns(struct user_namespace *ns);
bool fuse_rs_helper_is_init_user_ns(struct user_namespace *ns);
bool fuse_rs_helper_kuid_has_mapping(struct user_namespace *ns, kuid_t uid);
bool fuse_rs_helper_kgid_has_mapping(struct user_namespace *ns, kgid_t gid);
u32 fuse_rs_helper_fsuid_in(struct user_namespace *ns);
u32 fuse_rs_helper_fsgid_in(struct user_namespace *ns);
u32 fuse_rs_helper_fsuid_munged_in(struct user_namespace *ns);
u32 fuse_rs_helper_fsgid_munged_in(struct user_namespace *ns);
u32 fuse_rs_helper_umask(void);
bool fuse_rs_helper_current_was_killed(void);
bool fuse_rs_helper_current_in_userns(struct user_namespace *ns);
bool fuse_rs_helper_cred_is_only(kuid_t uid, kgid_t gid);
struct pid_namespace *fuse_rs_helper_current_pid_ns(void);
void fuse_rs_helper_put_pid_ns(struct pid_namespace *ns);
u32 fuse_rs_helper_current_pid_in(struct pid_namespace *ns);
u32 fuse_rs_helper_current_tgid_in(struct pid_namespace *ns);
s32 fuse_rs_helper_system_pid(struct pid_namespace *ns, u32 pid);
unsigned long fuse_rs_helper_current_files(void);

/* options */
u32 fuse_rs_helper_result_u32(const struct fs_parse_result *result);
kuid_t fuse_rs_helper_result_uid(const struct fs_parse_result *result);
kgid_t fuse_rs_helper_result_gid(const struct fs_parse_result *result);

/* dentries */
struct dentry *fuse_rs_helper_dget(struct dentry *dentry);
bool fuse_rs_helper_d_in_lookup(struct dentry *dentry);
bool fuse_rs_helper_d_mountpoint(const struct dentry *dentry);
void fuse_rs_helper_dont_mount(struct dentry *dentry);
bool fuse_rs_helper_move_to_shrink_list(struct dentry *dentry, struct list_head *list);
void fuse_rs_helper_d_lookup_done(struct dentry *dentry);
void fuse_rs_helper_qstr(struct qstr *out, const struct dentry *parent, const char *name, u32 len);

/* pages and folios */
void fuse_rs_helper_get_page(void *address);
void fuse_rs_helper_put_page(void *address);
u64 fuse_rs_helper_ticks_nanos(void);
void fuse_rs_helper_cond_resched(void);
unsigned long fuse_rs_helper_totalram_pages(void);
struct address_space *fuse_rs_helper_folio_mapping(struct folio *folio);
void fuse_rs_helper_folio_get(struct folio *folio);
void fuse_rs_helper_folio_put(struct folio *folio);
void fuse_rs_helper_folio_unlock(struct folio *folio);
size_t fuse_rs_helper_folio_size(struct folio *folio);
loff_t fuse_rs_helper_folio_pos(struct folio *folio);
bool fuse_rs_helper_folio_uptodate(struct folio *folio);
void fuse_rs_helper_folio_mark_uptodate(struct folio *folio);
size_t fuse_rs_helper_copy_folio_from_iter(struct folio *folio, size_t offset, size_t bytes,
					   struct iov_iter *i);
void fuse_rs_helper_folio_zero_segment(struct folio *folio, size_t start, size_t end);
void fuse_rs_helper_memcpy_to_folio(struct folio *folio, size_t offset, const char *from,
				    size_t len);
void fuse_rs_helper_memcpy_from_folio(char *to, struct folio *folio, size_t offset, size_t len);
struct folio *fuse_rs_helper_readahead_folio(struct readahead_control *rac);
struct folio *fuse_rs_helper_lock_cached_folio(struct address_space *mapping, pgoff_t index,
					       bool create);
struct folio *fuse_rs_helper_get_cached_folio(struct address_space *mapping, pgoff_t index);
struct folio *fuse_rs_helper_make_low_folio(struct address_space *mapping, pgoff_t index);
int fuse_rs_helper_folio_lock_killable(struct folio *folio);
int fuse_rs_helper_folio_batch_wait(struct folio_batch *batch, unsigned int n);
void fuse_rs_helper_folio_batch_release(struct folio_batch *batch);
struct folio *fuse_rs_helper_alloc_folio(gfp_t gfp, unsigned int order);
void *fuse_rs_helper_folio_address(struct folio *folio);
int fuse_rs_helper_folio_ref_count(struct folio *folio);
int fuse_rs_helper_add_folio(struct address_space *mapping, struct folio *folio, pgoff_t index);
unsigned int fuse_rs_helper_max_folio_order(struct address_space *mapping);
void fuse_rs_helper_set_max_folio_order(struct address_space *mapping, unsigned int order);
size_t fuse_rs_helper_readahead_length(struct readahead_control *rac);

bool fuse_rs_helper_user_backed(const struct iov_iter *iter);
void fuse_rs_helper_memcpy_from_page(char *to, struct page *page, size_t offset, size_t len);
void fuse_rs_helper_copy_page(void *to, struct page *page);

/* time */
void fuse_rs_helper_init_delayed_work(struct delayed_work *work, work_func_t run);
void fuse_rs_helper_schedule_after(struct delayed_work *work, unsigned int millis);

/* faults */
void fuse_rs_helper_pagefault_disable(void);
void fuse_rs_helper_pagefault_enable(void);

void fuse_rs_helper_init_attribute(struct kobj_attribute *attribute);

/* pipes */
struct pipe_buffer *fuse_rs_helper_pipe_buffer(struct pipe_inode_info *pipe, unsigned int n);
void fuse_rs_helper_pipe_drop_buffer(struct pipe_inode_info *pipe);
bool fuse_rs_helper_pipe_buf_get(struct pipe_inode_info *pipe, struct pipe_buffer *buf);
int fuse_rs_helper_pipe_buf_confirm(struct pipe_inode_info *pipe, struct pipe_buffer *buf);
void fuse_rs_helper_pipe_buf_release(struct pipe_inode_info *pipe, struct pipe_buffer *buf);
void fuse_rs_helper_pipe_wake_writers(struct pipe_inode_info *pipe);
size_t fuse_rs_helper_pipe_room(const struct pipe_inode_info *pipe);
ssize_t fuse_rs_helper_add_page_to_pipe(struct pipe_inode_info *pipe, void *address,
					unsigned int len);

/* files */
void fuse_rs_helper_poll_wait(struct file *file, struct wait_queue_head *head,
			      struct poll_table_struct *table);
ssize_t fuse_rs_helper_write_sync(struct kiocb *kiocb, ssize_t count);
bool fuse_rs_helper_iocb_is_dsync(const struct kiocb *kiocb);
struct workqueue_struct *fuse_rs_helper_alloc_workqueue(const char *name, unsigned int flags);
bool fuse_rs_helper_get_active(struct super_block *sb);
bool fuse_rs_helper_put_active_unless_last(struct super_block *sb);
int fuse_rs_helper_prepare_dio_queue(struct file *file);
struct workqueue_struct *fuse_rs_helper_dio_queue(struct file *file);
struct inode *fuse_rs_helper_file_inode(const struct file *file);
bool fuse_rs_helper_file_has_setid(struct file *file);
bool fuse_rs_helper_dir_emit_dots(struct file *file, struct dir_context *ctx);
bool fuse_rs_helper_dir_emit(struct dir_context *ctx, const char *name, int len, u64 ino,
			     unsigned int type);
int fuse_rs_helper_get_user_u32(u32 *value, unsigned long address);
void fuse_rs_helper_set_delayed_kfree(struct delayed_call *done, void *link);
void fuse_rs_helper_set_delayed_folio_put(struct delayed_call *done, struct folio *folio);
void fuse_rs_helper_get_file(struct file *file);
struct user_namespace *fuse_rs_helper_file_user_ns(const struct file *file);
int fuse_rs_helper_label_for_new(struct dentry *dentry, int mode, const char **attribute,
				 struct lsm_context *label);

struct folio *fuse_rs_helper_folio_for_write(struct address_space *mapping, pgoff_t index,
					     size_t len);
void fuse_rs_helper_inode_set_mtime(struct inode *inode, const struct timespec64 *mtime);
void fuse_rs_helper_keep_reclaim_from_waiting(struct address_space *mapping);
size_t fuse_rs_helper_copy_folio_to_iter(struct folio *folio, size_t offset, size_t len,
					 struct iov_iter *to);
void fuse_rs_helper_forbid_large_folios(struct address_space *mapping);
unsigned long fuse_rs_helper_folio_private(struct folio *folio);
void fuse_rs_helper_folio_set_private(struct folio *folio, unsigned long value);
bool fuse_rs_helper_folio_is_dirty(struct folio *folio);
bool fuse_rs_helper_folio_is_pinned(struct folio *folio);
unsigned int fuse_rs_helper_memalloc_nofs_save(void);
void fuse_rs_helper_memalloc_nofs_restore(unsigned int flags);
bool fuse_rs_helper_mapping_is_dirty(struct address_space *mapping);
void fuse_rs_helper_mapping_set_error(struct address_space *mapping, int error);
void fuse_rs_helper_count_writeback(struct inode *inode, long pages);
struct folio *fuse_rs_helper_page_folio(struct page *page);

#endif
