// SPDX-License-Identifier: GPL-2.0

//! Submounts: directories of a file system on which another of its type is mounted as soon as somebody
//! goes there.

use super::context;
use super::context::MountLog;
use super::dentry::DentryOperations;
use super::export::ExportOperations;
use super::inode::Inode;
use super::inode::NewInode;
use super::super_block::FilledSuper;
use super::super_block::NewSuper;
use super::super_block::SuperBlock;
use super::super_block::SuperOperations;
use super::xattr::XattrOperations;
use super::FileSystem;
use crate::bindings;
use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::prelude::*;

/// How a file system is mounted on a directory of another of its type.
pub trait SubmountOperations:
    SuperOperations + DentryOperations + XattrOperations + ExportOperations
{
    /// Makes the data of the super block that is to be mounted on `point`, whose own is mounted.
    fn new_submount(point: &Inode<Self>) -> Result<KBox<Self::Super>>;

    /// Fills that super block.
    fn fill_submount<'a>(
        sb: NewSuper<'a, Self>,
        point: &Inode<Self>,
        log: &MountLog<'_>,
    ) -> Result<FilledSuper<'a, Self>>;
}

impl<T: FileSystem> SuperBlock<T> {
    /// A new directory on which something is mounted when somebody goes there. It is not found by its
    /// key.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new_mount_point(&self, key: u64) -> Result<NewInode<T>> {
        // SAFETY: The super block is live.
        let inode = unsafe { bindings::new_inode(self.as_ptr()) };
        let inode = NonNull::new(inode).ok_or(ENOMEM)?;
        // SAFETY: The inode comes with a reference, and nobody else has it.
        let inode = unsafe {
            (*inode.as_ptr()).i_flags |= bindings::FUSE_RS_S_AUTOMOUNT as u32;
            Inode::<T>::from_raw_owned(inode)
        };
        T::set_key(inode.data(), key);
        Ok(NewInode(inode))
    }
}

impl<T: FileSystem> Inode<T> {
    /// Whether it was made by [`SuperBlock::new_mount_point`].
    pub fn is_mount_point(&self) -> bool {
        // SAFETY: The flag is set before others see the inode, and stays.
        let flags = unsafe { (&raw const (*self.as_ptr()).i_flags).read_volatile() };
        flags & bindings::FUSE_RS_S_AUTOMOUNT as u32 != 0
    }
}

struct ContextTable<T>(PhantomData<T>);

impl<T: SubmountOperations> ContextTable<T> {
    const TABLE: bindings::fs_context_operations = bindings::fs_context_operations {
        free: None,
        parse_param: None,
        get_tree: Some(get_tree::<T>),
        reconfigure: None,
        dup: None,
        parse_monolithic: None,
    };
}

/// Sets a context up if it is one of [`automount`]; whether it is.
///
/// # Safety
///
/// `fc` is a fresh context of the file system.
pub(super) unsafe fn set_up<T: SubmountOperations>(fc: *mut bindings::fs_context) -> bool {
    // SAFETY: By the safety requirements.
    unsafe {
        let purpose = bindings::fs_context::purpose_raw(fc);
        if u64::from(purpose) != bindings::FUSE_RS_PURPOSE_SUBMOUNT {
            return false;
        }
        (*fc).ops = &ContextTable::<T>::TABLE;
    }
    true
}

/// # Safety
///
/// Called by the VFS with a path whose entry is one of the file system's, for an inode that is a mount
/// point.
pub(super) unsafe extern "C" fn automount(path: *mut bindings::path) -> *mut bindings::vfsmount {
    // SAFETY: By the safety requirements; who walks the path holds it, so the entry stays positive.
    unsafe {
        let dentry = (*path).dentry;
        let fc = bindings::fs_context_for_submount((*(*(*path).mnt).mnt_sb).s_type, dentry);
        if kernel::error::from_err_ptr(fc).is_err() {
            return fc.cast();
        }
        // Whatever is needed of it is taken before the context goes.
        (*fc).fs_private = (&raw const (*dentry).d_inode).read_volatile().cast();
        let mount = bindings::fc_mount(fc);
        bindings::put_fs_context(fc);
        mount
    }
}

/// # Safety
///
/// Called by the VFS with a context of [`automount`].
unsafe extern "C" fn get_tree<T: SubmountOperations>(fc: *mut bindings::fs_context) -> i32 {
    c_result!({
        // SAFETY: By the safety requirements.
        let point = unsafe { Inode::<T>::from_raw((*fc).fs_private.cast()) };
        let data = T::new_submount(point)?;
        // SAFETY: By the safety requirements; the callback is called with what was given.
        unsafe {
            context::get_new::<T>(fc, data, |fc| bindings::get_tree_nodev(fc, Some(fill::<T>)))
        }
    })
}

/// # Safety
///
/// Called by the VFS with a new super block that has taken the data of a context of [`automount`].
unsafe extern "C" fn fill<T: SubmountOperations>(
    sb: *mut bindings::super_block,
    fc: *mut bindings::fs_context,
) -> i32 {
    c_result!({
        // SAFETY: By the safety requirements. A flag of the mount point's super block that was set
        // when that was mounted, or may be read while it changes.
        let (new, point, log) = unsafe {
            let point = Inode::<T>::from_raw((*fc).fs_private.cast());
            let flags = (&raw const (*point.super_block().as_ptr()).s_flags).read_volatile();
            (*sb).s_flags |= flags & bindings::FUSE_RS_SB_RDONLY as usize;
            (NewSuper::from_raw(sb), point, MountLog::new(fc))
        };
        let _filled = T::fill_submount(new, point, &log)?;
        Ok(0)
    })
}
