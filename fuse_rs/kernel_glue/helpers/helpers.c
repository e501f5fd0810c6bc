// SPDX-License-Identifier: GPL-2.0

#include <linux/backing-dev.h>
#include <linux/compat.h>
#include <linux/cred.h>
#include <linux/fileattr.h>
#include <linux/filelock.h>
#include <linux/fs_struct.h>
#include <linux/kdev_t.h>
#include <linux/highmem.h>
#include <linux/pid_namespace.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/user_namespace.h>
#include "helpers.h"

struct kmem_cache *fuse_rs_helper_inode_cache(const char *name, unsigned int size,
					      void (*ctor)(void *))
{
	return kmem_cache_create(name, size, 0, SLAB_RECLAIM_ACCOUNT | SLAB_ACCOUNT, ctor);
}

void *fuse_rs_helper_alloc_inode_sb(struct super_block *sb, struct kmem_cache *cache)
{
	return alloc_inode_sb(sb, cache, GFP_KERNEL);
}

bool fuse_rs_helper_inode_is_new(struct inode *inode)
{
	return inode_state_read_once(inode) & I_NEW;
}

void fuse_rs_helper_inode_set_times(struct inode *inode, const struct timespec64 *atime,
				    const struct timespec64 *mtime, const struct timespec64 *ctime)
{
	inode_set_atime_to_ts(inode, *atime);
	inode_set_mtime_to_ts(inode, *mtime);
	inode_set_ctime_to_ts(inode, *ctime);
}

int fuse_rs_helper_inode_lock_killable(struct inode *inode)
{
	return inode_lock_killable(inode);
}

int fuse_rs_helper_inode_lock_shared_killable(struct inode *inode)
{
	return inode_lock_shared_killable(inode);
}

void fuse_rs_helper_inode_unlock_shared(struct inode *inode)
{
	inode_unlock_shared(inode);
}

void fuse_rs_helper_inode_unlock(struct inode *inode)
{
	inode_unlock(inode);
}

dev_t fuse_rs_helper_decode_dev(u32 rdev)
{
	return new_decode_dev(rdev);
}

u32 fuse_rs_helper_encode_dev(dev_t dev)
{
	return new_encode_dev(dev);
}

void fuse_rs_helper_truncate_final(struct inode *inode)
{
	truncate_inode_pages_final(&inode->i_data);
}

void fuse_rs_helper_set_sb_flags(struct super_block *sb, unsigned long flags)
{
	set_mask_bits(&sb->s_flags, 0, flags);
}

struct user_namespace *fuse_rs_helper_get_user_ns(struct user_namespace *ns)
{
	return get_user_ns(ns);
}

void fuse_rs_helper_put_user_ns(struct user_namespace *ns)
{
	put_user_ns(ns);
}

bool fuse_rs_helper_is_init_user_ns(struct user_namespace *ns)
{
	return ns == &init_user_ns;
}

bool fuse_rs_helper_kuid_has_mapping(struct user_namespace *ns, kuid_t uid)
{
	return kuid_has_mapping(ns, uid);
}

bool fuse_rs_helper_kgid_has_mapping(struct user_namespace *ns, kgid_t gid)
{
	return kgid_has_mapping(ns, gid);
}

u32 fuse_rs_helper_fsuid_in(struct user_namespace *ns)
{
	return from_kuid(ns, current_fsuid());
}

u32 fuse_rs_helper_fsgid_in(struct user_namespace *ns)
{
	return from_kgid(ns, current_fsgid());
}

u32 fuse_rs_helper_fsuid_munged_in(struct user_namespace *ns)
{
	return from_kuid_munged(ns, current_fsuid());
}

u32 fuse_rs_helper_fsgid_munged_in(struct user_namespace *ns)
{
	return from_kgid_munged(ns, current_fsgid());
}

u32 fuse_rs_helper_umask(void)
{
	return current_umask();
}

bool fuse_rs_helper_current_in_userns(struct user_namespace *ns)
{
	return current_in_userns(ns);
}

bool fuse_rs_helper_cred_is_only(kuid_t uid, kgid_t gid)
{
	const struct cred *cred = current_cred();

	return uid_eq(cred->euid, uid) && uid_eq(cred->suid, uid) && uid_eq(cred->uid, uid) &&
	       gid_eq(cred->egid, gid) && gid_eq(cred->sgid, gid) && gid_eq(cred->gid, gid);
}

struct pid_namespace *fuse_rs_helper_current_pid_ns(void)
{
	return get_pid_ns(task_active_pid_ns(current));
}

void fuse_rs_helper_put_pid_ns(struct pid_namespace *ns)
{
	put_pid_ns(ns);
}

u32 fuse_rs_helper_current_pid_in(struct pid_namespace *ns)
{
	return pid_nr_ns(task_pid(current), ns);
}

struct dentry *fuse_rs_helper_dget(struct dentry *dentry)
{
	return dget(dentry);
}

bool fuse_rs_helper_d_in_lookup(struct dentry *dentry)
{
	return d_in_lookup(dentry);
}

void fuse_rs_helper_folio_get(struct folio *folio)
{
	folio_get(folio);
}

void fuse_rs_helper_folio_put(struct folio *folio)
{
	folio_put(folio);
}

void fuse_rs_helper_folio_unlock(struct folio *folio)
{
	folio_unlock(folio);
}

size_t fuse_rs_helper_folio_size(struct folio *folio)
{
	return folio_size(folio);
}

loff_t fuse_rs_helper_folio_pos(struct folio *folio)
{
	return folio_pos(folio);
}

bool fuse_rs_helper_folio_uptodate(struct folio *folio)
{
	return folio_test_uptodate(folio);
}

void fuse_rs_helper_folio_mark_uptodate(struct folio *folio)
{
	folio_mark_uptodate(folio);
}

size_t fuse_rs_helper_copy_folio_from_iter(struct folio *folio, size_t offset, size_t bytes,
					   struct iov_iter *i)
{
	return copy_folio_from_iter(folio, offset, bytes, i);
}

void fuse_rs_helper_folio_zero_segment(struct folio *folio, size_t start, size_t end)
{
	folio_zero_segment(folio, start, end);
}

void fuse_rs_helper_memcpy_to_folio(struct folio *folio, size_t offset, const char *from,
				    size_t len)
{
	memcpy_to_folio(folio, offset, from, len);
}

void fuse_rs_helper_memcpy_from_folio(char *to, struct folio *folio, size_t offset, size_t len)
{
	memcpy_from_folio(to, folio, offset, len);
}

struct folio *fuse_rs_helper_readahead_folio(struct readahead_control *rac)
{
	return __readahead_folio(rac);
}

struct folio *fuse_rs_helper_lock_cached_folio(struct address_space *mapping, pgoff_t index,
					       bool create)
{
	return __filemap_get_folio(mapping, index, FGP_LOCK | FGP_WRITE | (create ? FGP_CREAT : 0),
				   mapping_gfp_mask(mapping));
}

struct folio *fuse_rs_helper_get_cached_folio(struct address_space *mapping, pgoff_t index)
{
	return __filemap_get_folio(mapping, index, FGP_ACCESSED, 0);
}

struct folio *fuse_rs_helper_make_low_folio(struct address_space *mapping, pgoff_t index)
{
	return __filemap_get_folio(mapping, index, FGP_LOCK | FGP_ACCESSED | FGP_CREAT,
				   mapping_gfp_constraint(mapping, ~__GFP_HIGHMEM));
}

int fuse_rs_helper_folio_lock_killable(struct folio *folio)
{
	return folio_lock_killable(folio);
}

struct folio *fuse_rs_helper_alloc_folio(gfp_t gfp, unsigned int order)
{
	return folio_alloc(gfp, order);
}

void *fuse_rs_helper_folio_address(struct folio *folio)
{
	return folio_address(folio);
}

int fuse_rs_helper_folio_ref_count(struct folio *folio)
{
	return folio_ref_count(folio);
}

int fuse_rs_helper_add_folio(struct address_space *mapping, struct folio *folio, pgoff_t index)
{
	return filemap_add_folio(mapping, folio, index, mapping_gfp_mask(mapping) | __GFP_WRITE);
}

unsigned int fuse_rs_helper_max_folio_order(struct address_space *mapping)
{
	return mapping_max_folio_order(mapping);
}

void fuse_rs_helper_set_max_folio_order(struct address_space *mapping, unsigned int order)
{
	mapping_set_folio_order_range(mapping, 0, order);
}

size_t fuse_rs_helper_readahead_length(struct readahead_control *rac)
{
	return readahead_length(rac);
}

void fuse_rs_helper_poll_wait(struct file *file, struct wait_queue_head *head,
			      struct poll_table_struct *table)
{
	poll_wait(file, head, table);
}

ssize_t fuse_rs_helper_write_sync(struct kiocb *kiocb, ssize_t count)
{
	return generic_write_sync(kiocb, count);
}

bool fuse_rs_helper_iocb_is_dsync(const struct kiocb *kiocb)
{
	return iocb_is_dsync(kiocb);
}

int fuse_rs_helper_prepare_dio_queue(struct file *file)
{
	struct super_block *sb = file_inode(file)->i_sb;

	return READ_ONCE(sb->s_dio_done_wq) ? 0 : sb_init_dio_done_wq(sb);
}

struct workqueue_struct *fuse_rs_helper_dio_queue(struct file *file)
{
	return READ_ONCE(file_inode(file)->i_sb->s_dio_done_wq);
}

bool fuse_rs_helper_file_has_setid(struct file *file)
{
	return setattr_should_drop_suidgid(file_mnt_idmap(file), file_inode(file));
}

struct inode *fuse_rs_helper_file_inode(const struct file *file)
{
	return file_inode(file);
}

bool fuse_rs_helper_dir_emit(struct dir_context *ctx, const char *name, int len, u64 ino,
			     unsigned int type)
{
	return dir_emit(ctx, name, len, ino, type);
}

int fuse_rs_helper_get_user_u32(u32 *value, unsigned long address)
{
	return get_user(*value, (u32 __user *)address);
}

void fuse_rs_helper_set_delayed_kfree(struct delayed_call *done, void *link)
{
	set_delayed_call(done, kfree_link, link);
}

void fuse_rs_helper_set_delayed_folio_put(struct delayed_call *done, struct folio *folio)
{
	set_delayed_call(done, page_put_link, folio);
}

struct user_namespace *fuse_rs_helper_file_user_ns(const struct file *file)
{
	return file->f_cred->user_ns;
}

void fuse_rs_helper_get_file(struct file *file)
{
	get_file(file);
}

struct address_space *fuse_rs_helper_folio_mapping(struct folio *folio)
{
	return folio->mapping;
}

u32 fuse_rs_helper_result_u32(const struct fs_parse_result *result)
{
	return result->uint_32;
}

kuid_t fuse_rs_helper_result_uid(const struct fs_parse_result *result)
{
	return result->uid;
}

kgid_t fuse_rs_helper_result_gid(const struct fs_parse_result *result)
{
	return result->gid;
}

bool fuse_rs_helper_current_was_killed(void)
{
	return (current->flags & PF_EXITING) && (current->signal->group_exit_code & 0x7f);
}

size_t fuse_rs_helper_pipe_room(const struct pipe_inode_info *pipe)
{
	return pipe->max_usage - pipe_occupancy(pipe->head, pipe->tail);
}

ssize_t fuse_rs_helper_add_page_to_pipe(struct pipe_inode_info *pipe, void *address,
					unsigned int len)
{
	return add_to_pipe(pipe, &(struct pipe_buffer){ .page = virt_to_page(address), .len = len,
							 .ops = &nosteal_pipe_buf_ops });
}

bool fuse_rs_helper_dir_emit_dots(struct file *file, struct dir_context *ctx)
{
	return dir_emit_dots(file, ctx);
}

void fuse_rs_helper_get_page(void *address)
{
	get_page(virt_to_page(address));
}

void fuse_rs_helper_put_page(void *address)
{
	put_page(virt_to_page(address));
}

u64 fuse_rs_helper_ticks_nanos(void)
{
	return jiffies64_to_nsecs(get_jiffies_64());
}

unsigned long fuse_rs_helper_totalram_pages(void)
{
	return totalram_pages();
}

bool fuse_rs_helper_user_backed(const struct iov_iter *iter)
{
	return user_backed_iter(iter);
}

void fuse_rs_helper_memcpy_from_page(char *to, struct page *page, size_t offset, size_t len)
{
	memcpy_from_page(to, page, offset, len);
}

void fuse_rs_helper_copy_page(void *to, struct page *page)
{
	copy_highpage(virt_to_page(to), page);
}

void fuse_rs_helper_init_delayed_work(struct delayed_work *work, work_func_t run)
{
	INIT_DELAYED_WORK(work, run);
}

void fuse_rs_helper_schedule_after(struct delayed_work *work, unsigned int seconds)
{
	schedule_delayed_work(work, secs_to_jiffies(seconds));
}

void fuse_rs_helper_pagefault_disable(void)
{
	pagefault_disable();
}

void fuse_rs_helper_pagefault_enable(void)
{
	pagefault_enable();
}

struct pipe_buffer *fuse_rs_helper_pipe_buffer(struct pipe_inode_info *pipe, unsigned int n)
{
	return n < pipe_buf_usage(pipe) ? pipe_buf(pipe, pipe->tail + n) : NULL;
}

void fuse_rs_helper_pipe_drop_buffer(struct pipe_inode_info *pipe)
{
	pipe->tail++;
}

bool fuse_rs_helper_pipe_buf_get(struct pipe_inode_info *pipe, struct pipe_buffer *buf)
{
	return pipe_buf_get(pipe, buf);
}

int fuse_rs_helper_pipe_buf_confirm(struct pipe_inode_info *pipe, struct pipe_buffer *buf)
{
	return pipe_buf_confirm(pipe, buf);
}

void fuse_rs_helper_pipe_buf_release(struct pipe_inode_info *pipe, struct pipe_buffer *buf)
{
	pipe_buf_release(pipe, buf);
}

void fuse_rs_helper_pipe_wake_writers(struct pipe_inode_info *pipe)
{
	wake_up_interruptible(&pipe->wr_wait);
}

int fuse_rs_helper_folio_batch_wait(struct folio_batch *batch, unsigned int n)
{
	return folio_wait_locked_killable(batch->folios[n]);
}

void fuse_rs_helper_folio_batch_release(struct folio_batch *batch)
{
	folio_batch_release(batch);
}

void fuse_rs_helper_d_lookup_done(struct dentry *dentry)
{
	d_lookup_done(dentry);
}

void fuse_rs_helper_qstr(struct qstr *out, const struct dentry *parent, const char *name, u32 len)
{
	*out = (struct qstr){ .hash = full_name_hash(parent, name, len), .len = len, .name = (const u8 *)name };
}

int fuse_rs_helper_inode_lock_parent_killable(struct inode *inode)
{
	return down_write_killable_nested(&inode->i_rwsem, I_MUTEX_PARENT);
}

bool fuse_rs_helper_d_mountpoint(const struct dentry *dentry)
{
	return d_mountpoint(dentry);
}

void fuse_rs_helper_dont_mount(struct dentry *dentry)
{
	dont_mount(dentry);
}

struct fuse_rs_lock fuse_rs_helper_lock_read(const struct file_lock *lock)
{
	return (struct fuse_rs_lock){
		.start = lock->fl_start,
		.end = lock->fl_end,
		.owner = (unsigned long)lock->c.flc_owner,
		.kind = lock->c.flc_type,
		.sleeps = lock->c.flc_flags & FL_SLEEP,
		.flock = lock->c.flc_flags & FL_FLOCK,
		.asynchronous = lock->fl_lmops && lock->fl_lmops->lm_grant,
	};
}

void fuse_rs_helper_lock_write(struct file_lock *lock, u64 start, u64 end, u32 kind, s32 pid)
{
	lock->c.flc_type = kind;
	lock->c.flc_pid = pid;
	lock->fl_start = start;
	lock->fl_end = end;
}

unsigned long fuse_rs_helper_current_files(void)
{
	return (unsigned long)current->files;
}

u32 fuse_rs_helper_current_tgid_in(struct pid_namespace *ns)
{
	return pid_nr_ns(task_tgid(current), ns);
}

s32 fuse_rs_helper_system_pid(struct pid_namespace *ns, u32 pid)
{
	return pid_nr_ns(find_pid_ns(pid, ns), &init_pid_ns);
}

struct fuse_rs_kattr fuse_rs_helper_kattr_read(const struct file_kattr *attr)
{
	return (struct fuse_rs_kattr){
		.flags = attr->flags,
		.xflags = attr->fsx_xflags,
		.extsize = attr->fsx_extsize,
		.nextents = attr->fsx_nextents,
		.projid = attr->fsx_projid,
		.cowextsize = attr->fsx_cowextsize,
		.by_flags = attr->flags_valid,
	};
}

void fuse_rs_helper_kattr_write(struct file_kattr *attr, const struct fuse_rs_kattr *from)
{
	fileattr_fill_xflags(attr, from->xflags);
	attr->fsx_extsize = from->extsize;
	attr->fsx_nextents = from->nextents;
	attr->fsx_projid = from->projid;
	attr->fsx_cowextsize = from->cowextsize;
}

bool fuse_rs_helper_in_x32_syscall(void)
{
	return in_x32_syscall();
}

u32 fuse_rs_helper_poll_events(const struct poll_table_struct *table)
{
	return mangle_poll(poll_requested_events(table));
}

__poll_t fuse_rs_helper_poll_mask(u32 events)
{
	return demangle_poll(events);
}

bool fuse_rs_helper_queue_has_waiters(struct wait_queue_head *head)
{
	return waitqueue_active(head);
}

bool fuse_rs_helper_is_member(struct mnt_idmap *map, struct inode *inode)
{
	return in_group_or_capable(map, inode, i_gid_into_vfsgid(map, inode));
}
