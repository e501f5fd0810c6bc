// SPDX-License-Identifier: GPL-2.0

#include <linux/backing-dev.h>
#include <linux/compat.h>
#include <linux/cred.h>
#include <linux/fileattr.h>
#include <linux/filelock.h>
#include <linux/fs_struct.h>
#include <linux/kdev_t.h>
#include <linux/pid_namespace.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/security.h>
#include <linux/slab.h>
#include <linux/sysfs.h>
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

void fuse_rs_helper_inode_set_mtime(struct inode *inode, const struct timespec64 *mtime)
{
	inode_set_mtime_to_ts(inode, *mtime);
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

u64 fuse_rs_helper_device_bytes(struct block_device *device)
{
	return bdev_nr_bytes(device);
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

struct workqueue_struct *fuse_rs_helper_alloc_workqueue(const char *name, unsigned int flags)
{
	return alloc_workqueue("%s", flags, 0, name);
}

bool fuse_rs_helper_get_active(struct super_block *sb)
{
	return atomic_inc_not_zero(&sb->s_active);
}

bool fuse_rs_helper_put_active_unless_last(struct super_block *sb)
{
	return atomic_add_unless(&sb->s_active, -1, 1);
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

void fuse_rs_helper_set_delayed_kfree(struct delayed_call *done, void *link)
{
	set_delayed_call(done, kfree_link, link);
}

struct user_namespace *fuse_rs_helper_file_user_ns(const struct file *file)
{
	return file->f_cred->user_ns;
}

void fuse_rs_helper_get_file(struct file *file)
{
	get_file(file);
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

bool fuse_rs_helper_dir_emit_dots(struct file *file, struct dir_context *ctx)
{
	return dir_emit_dots(file, ctx);
}

void fuse_rs_helper_cond_resched(void)
{
	cond_resched();
}

u64 fuse_rs_helper_ticks_nanos(void)
{
	return jiffies64_to_nsecs(get_jiffies_64());
}

void fuse_rs_helper_init_delayed_work(struct delayed_work *work, work_func_t run)
{
	INIT_DELAYED_WORK(work, run);
}

void fuse_rs_helper_schedule_after(struct delayed_work *work, unsigned int millis)
{
	queue_delayed_work(system_dfl_wq, work, msecs_to_jiffies(millis));
}

void fuse_rs_helper_d_lookup_done(struct dentry *dentry)
{
	d_lookup_done(dentry);
}

void fuse_rs_helper_qstr(struct qstr *out, const struct dentry *parent, const char *name, u32 len)
{
	*out = (struct qstr){ .hash = full_name_hash(parent, name, len), .len = len,
			      .name = (const u8 *)name };
}

int fuse_rs_helper_inode_lock_parent_killable(struct inode *inode)
{
	return down_write_killable_nested(&inode->i_rwsem, I_MUTEX_PARENT);
}

bool fuse_rs_helper_d_mountpoint(const struct dentry *dentry)
{
	return d_mountpoint(dentry);
}

bool fuse_rs_helper_move_to_shrink_list(struct dentry *dentry, struct list_head *list)
{
	guard(spinlock)(&dentry->d_lock);
	return __move_to_shrink_list(dentry, list);
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

u32 fuse_rs_helper_mapped_fsuid(struct mnt_idmap *map, struct user_namespace *ns)
{
	return from_kuid(ns, mapped_fsuid(map, ns));
}

u32 fuse_rs_helper_mapped_fsgid(struct mnt_idmap *map, struct user_namespace *ns)
{
	return from_kgid(ns, mapped_fsgid(map, ns));
}

bool fuse_rs_helper_is_in_group(struct mnt_idmap *map, struct inode *inode)
{
	return vfsgid_in_group_p(i_gid_into_vfsgid(map, inode));
}

struct mnt_idmap *fuse_rs_helper_file_map(const struct file *file)
{
	return file_mnt_idmap(file);
}

bool fuse_rs_helper_is_member(struct mnt_idmap *map, struct inode *inode)
{
	return in_group_or_capable(map, inode, i_gid_into_vfsgid(map, inode));
}

int fuse_rs_helper_label_for_new(struct dentry *dentry, int mode, const char **attribute,
				 struct lsm_context *label)
{
	return security_dentry_init_security(dentry, mode, &dentry->d_name, attribute, label);
}

void fuse_rs_helper_init_attribute(struct kobj_attribute *attribute)
{
	sysfs_attr_init(&attribute->attr);
}
