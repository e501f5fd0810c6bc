// SPDX-License-Identifier: GPL-2.0

//! File handles: names of inodes that outlive everything the kernel has cached of them.
//!
//! Handles come from callers of `open_by_handle_at`(2) and from machines that use the file system
//! by NFS: their words are whatever somebody likes.

use super::dentry::Dentry;
use super::inode::Inode;
use super::super_block::SuperBlock;
use super::FileSystem;
use crate::bindings;
use core::marker::PhantomData;
use kernel::prelude::*;
use kernel::sync::aref::ARef;

/// Words of a handle that name one inode.
pub const WORDS: usize = 3;

/// How inodes are named and found. All but [`ExportOperations::encode`] may sleep.
pub trait ExportOperations: FileSystem {
    /// What names an inode.
    fn encode(inode: &Inode<Self>) -> [u32; WORDS];

    /// The inode that `words` name, which need not have been made by
    /// [`ExportOperations::encode`].
    ///
    /// # Errors
    ///
    /// `ESTALE` when there is none, or no longer.
    fn decode(sb: &SuperBlock<Self>, words: [u32; WORDS]) -> Result<ARef<Inode<Self>>>;

    /// The directory that `dir` is in.
    ///
    /// # Errors
    ///
    /// `ESTALE` when there is none, or no longer.
    fn parent(dir: &Inode<Self>) -> Result<ARef<Inode<Self>>>;
}

/// A table without callbacks.
// SAFETY: The fields are optional functions, pointers and numbers, for all of which zero is a value.
const NONE: bindings::export_operations = unsafe { core::mem::MaybeUninit::zeroed().assume_init() };

/// The tables of C callbacks.
pub(crate) struct ExportTable<T>(PhantomData<T>);

impl<T: ExportOperations> ExportTable<T> {
    const BOTH_WAYS: bindings::export_operations = bindings::export_operations {
        encode_fh: Some(encode_fh::<T>),
        fh_to_dentry: Some(fh_to_dentry::<T>),
        fh_to_parent: Some(fh_to_parent::<T>),
        get_parent: Some(get_parent::<T>),
        ..NONE
    };

    const ENCODE_ONLY: bindings::export_operations = bindings::export_operations {
        encode_fh: Some(encode_fh::<T>),
        ..NONE
    };

    pub(crate) const fn both_ways() -> *const bindings::opaque::export_operations {
        core::ptr::from_ref(&Self::BOTH_WAYS).cast()
    }

    const fn encode_only() -> *const bindings::opaque::export_operations {
        core::ptr::from_ref(&Self::ENCODE_ONLY).cast()
    }
}

impl<T: ExportOperations> SuperBlock<T> {
    /// From here on handles only tell files apart, as fanotify(7) does: they are not decoded.
    pub fn forbid_decoding(&self) {
        // SAFETY: A plain field; who reads it while it changes uses the old or the new table, and
        // both live for ever.
        unsafe {
            (&raw mut (*self.as_ptr()).s_export_op).write_volatile(ExportTable::<T>::encode_only())
        };
    }
}

const ALONE: i32 = bindings::FILEID_INO64_GEN as i32;
const WITH_PARENT: i32 = bindings::FILEID_INO64_GEN_PARENT as i32;

/// # Safety
///
/// Called with an inode of the file system, a directory that holds it or null, and room for as many
/// words as `max_len` says.
unsafe extern "C" fn encode_fh<T: ExportOperations>(
    inode: *mut bindings::inode,
    words: *mut u32,
    max_len: *mut i32,
    parent: *mut bindings::inode,
) -> i32 {
    let count = if parent.is_null() { WORDS } else { 2 * WORDS };
    // SAFETY: By the safety requirements.
    let room = unsafe { core::mem::replace(&mut *max_len, count as i32) };
    if room < count as i32 {
        return bindings::FILEID_INVALID as i32;
    }
    // SAFETY: By the safety requirements; there is room.
    unsafe {
        words
            .cast::<[u32; WORDS]>()
            .write(T::encode(Inode::from_raw(inode)));
        if parent.is_null() {
            return ALONE;
        }
        words
            .cast::<[u32; WORDS]>()
            .add(1)
            .write(T::encode(Inode::from_raw(parent)));
    }
    WITH_PARENT
}

/// An entry for the inode that the words from `first` on name; null if there are too few.
///
/// # Safety
///
/// `sb` is a super block of the file system that is in use, and `fid` has `len` words.
unsafe fn decode<T: ExportOperations>(
    sb: *mut bindings::super_block,
    fid: *const bindings::fid,
    len: i32,
    first: usize,
) -> *mut bindings::dentry {
    if usize::try_from(len).map_or(true, |len| len < first + WORDS) {
        return core::ptr::null_mut();
    }
    // SAFETY: By the safety requirements; a `fid` is an array of words.
    let words = unsafe { fid.cast::<u32>().add(first).cast::<[u32; WORDS]>().read() };
    // SAFETY: By the safety requirements.
    entry_of(T::decode(unsafe { SuperBlock::from_raw(sb) }, words))
}

/// Any entry for an inode, with a reference; or an error as a pointer. The entry may have no name: how
/// long one is believed is known when it gets one.
fn entry_of<T: ExportOperations>(inode: Result<ARef<Inode<T>>>) -> *mut bindings::dentry {
    let inode = match inode {
        Ok(inode) => ARef::into_raw(inode),
        Err(error) => return error.to_ptr(),
    };
    // SAFETY: The reference to the inode is given up to the function, also if it fails.
    unsafe { bindings::d_obtain_alias(inode.as_ref().as_ptr()) }
}

/// # Safety
///
/// Called with a super block of the file system that is in use, and a handle of `len` words.
unsafe extern "C" fn fh_to_dentry<T: ExportOperations>(
    sb: *mut bindings::super_block,
    fid: *mut bindings::fid,
    len: i32,
    kind: i32,
) -> *mut bindings::dentry {
    if kind != ALONE && kind != WITH_PARENT {
        return core::ptr::null_mut();
    }
    // SAFETY: By the safety requirements.
    unsafe { decode::<T>(sb, fid, len, 0) }
}

/// # Safety
///
/// As for [`fh_to_dentry`].
unsafe extern "C" fn fh_to_parent<T: ExportOperations>(
    sb: *mut bindings::super_block,
    fid: *mut bindings::fid,
    len: i32,
    kind: i32,
) -> *mut bindings::dentry {
    if kind != WITH_PARENT {
        return core::ptr::null_mut();
    }
    // SAFETY: By the safety requirements.
    unsafe { decode::<T>(sb, fid, len, WORDS) }
}

/// # Safety
///
/// Called with an entry of the file system that is a directory's.
unsafe extern "C" fn get_parent<T: ExportOperations>(
    child: *mut bindings::dentry,
) -> *mut bindings::dentry {
    // SAFETY: By the safety requirements.
    let dir = unsafe { Dentry::<T>::from_raw(child) }.inode();
    entry_of(dir.ok_or(ESTALE).and_then(T::parent))
}
