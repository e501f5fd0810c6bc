// SPDX-License-Identifier: GPL-2.0

//! Reading and writing open files.

use super::file::OpenFileRef;
use super::FileSystem;
use crate::bindings;
use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::iov::IovIterDest;
use kernel::iov::IovIterSource;
use kernel::prelude::*;

/// Operations on the data of open files. All may sleep.
pub trait IoOperations: FileSystem {
    /// Reads.
    fn read(io: &mut Io<'_, Self>, to: &mut IovIterDest<'_>) -> Result<usize>;

    /// Writes.
    fn write(io: &mut Io<'_, Self>, from: &mut IovIterSource<'_>) -> Result<usize>;

    /// Whether the file is read through the page cache.
    fn is_cached(handle: &Self::Handle) -> bool;

    /// The file is about to be mapped, unless this gives an error.
    fn map(file: &OpenFileRef<'_, Self>, shared: bool) -> Result;
}

/// A read or write in progress.
pub struct Io<'a, T: FileSystem> {
    kiocb: NonNull<bindings::kiocb>,
    _borrow: PhantomData<&'a mut T>,
}

impl<'a, T: FileSystem> Io<'a, T> {
    /// Wraps the argument of `read_iter` or `write_iter`.
    ///
    /// # Safety
    ///
    /// `kiocb` is valid for `'a` and of a file of this file system.
    pub(crate) unsafe fn from_raw(kiocb: *mut bindings::kiocb) -> Self {
        Self {
            // SAFETY: By the safety requirements.
            kiocb: unsafe { NonNull::new_unchecked(kiocb) },
            _borrow: PhantomData,
        }
    }

    /// The open file.
    pub fn file(&self) -> OpenFileRef<'a, T> {
        // SAFETY: The file is valid during the operation.
        unsafe { OpenFileRef::from_raw((*self.kiocb.as_ptr()).ki_filp) }
    }

    /// Position in bytes.
    pub fn position(&self) -> u64 {
        // SAFETY: Valid during the operation; positions are not negative.
        unsafe { (*self.kiocb.as_ptr()).ki_pos as u64 }
    }

    /// Sets the position.
    pub fn set_position(&mut self, position: u64) {
        // SAFETY: Valid during the operation.
        unsafe { (*self.kiocb.as_ptr()).ki_pos = position.min(i64::MAX as u64) as i64 };
    }

    /// Whether the page cache is to be left out.
    pub fn is_direct(&self) -> bool {
        // SAFETY: Valid during the operation.
        unsafe { (*self.kiocb.as_ptr()).ki_flags & bindings::FUSE_RS_IOCB_DIRECT as i32 != 0 }
    }

    /// Whether the write goes to the end of the file.
    pub fn is_append(&self) -> bool {
        // SAFETY: Valid during the operation.
        unsafe { (*self.kiocb.as_ptr()).ki_flags & bindings::FUSE_RS_IOCB_APPEND as i32 != 0 }
    }

    /// Reads through the page cache. May sleep.
    pub fn read_cached(&mut self, to: &mut IovIterDest<'_>) -> Result<usize> {
        // SAFETY: Both are valid; direct I/O was taken out by the caller.
        unsafe {
            let flags = &raw mut (*self.kiocb.as_ptr()).ki_flags;
            *flags &= !(bindings::FUSE_RS_IOCB_DIRECT as i32);
            size_result(bindings::generic_file_read_iter(
                self.kiocb.as_ptr(),
                to.as_raw(),
            ))
        }
    }

    /// Checks a write against limits and moves appends to the end; returns how many bytes may be
    /// written. The inode is locked.
    pub fn check_write(&mut self, from: &mut IovIterSource<'_>) -> Result<usize> {
        // SAFETY: Both are valid.
        unsafe {
            size_result(bindings::generic_write_checks(
                self.kiocb.as_ptr(),
                from.as_raw(),
            ))
        }
    }

    /// Ends a write of `written` bytes, up to the present position: makes them durable if the
    /// caller wants that (`O_SYNC`, `O_DSYNC`, `RWF_DSYNC` and the like). The inode is not locked.
    ///
    /// # Context
    ///
    /// May sleep.
    pub fn sync_written(&mut self, written: usize) -> Result<usize> {
        // SAFETY: Valid during the operation.
        size_result(unsafe {
            bindings::fuse_rs_helper_write_sync(self.kiocb.as_ptr(), written as isize)
        })
    }
}

/// A byte count or a negated errno as a result.
pub(crate) fn size_result(value: isize) -> Result<usize> {
    if value < 0 {
        Err(Error::from_errno(value as i32))
    } else {
        Ok(value as usize)
    }
}

/// # Safety
///
/// Called by the VFS with a file of the file system and where the data is to go.
pub(super) unsafe extern "C" fn read_iter<T: IoOperations>(
    kiocb: *mut bindings::kiocb,
    to: *mut bindings::iov_iter,
) -> isize {
    c_result!({
        // SAFETY: By the safety requirements.
        let (mut io, to) = unsafe { (Io::<T>::from_raw(kiocb), IovIterDest::from_raw(to)) };
        Ok(T::read(&mut io, to)? as isize)
    })
}

/// # Safety
///
/// Called by the VFS with a file of the file system and where the data comes from.
pub(super) unsafe extern "C" fn write_iter<T: IoOperations>(
    kiocb: *mut bindings::kiocb,
    from: *mut bindings::iov_iter,
) -> isize {
    c_result!({
        // SAFETY: By the safety requirements.
        let (mut io, from) = unsafe { (Io::<T>::from_raw(kiocb), IovIterSource::from_raw(from)) };
        Ok(T::write(&mut io, from)? as isize)
    })
}

/// # Safety
///
/// Called by the VFS with a file of the file system and a mapping that is being made.
pub(super) unsafe extern "C" fn mmap<T: IoOperations>(
    file: *mut bindings::file,
    vma: *mut bindings::vm_area_struct,
) -> i32 {
    c_result!({
        // SAFETY: By the safety requirements.
        unsafe {
            let flags = (*vma).__bindgen_anon_2.vm_flags;
            let shared = flags & kernel::mm::virt::flags::MAYSHARE != 0;
            T::map(&OpenFileRef::from_raw(file), shared)?;
            kernel::error::to_result(bindings::generic_file_readonly_mmap(file, vma))?;
        }
        Ok(0)
    })
}

/// # Safety
///
/// Called by the VFS with a file of the file system and a pipe.
pub(super) unsafe extern "C" fn splice_read<T: IoOperations>(
    file: *mut bindings::file,
    position: *mut i64,
    pipe: *mut bindings::pipe_inode_info,
    len: usize,
    flags: u32,
) -> isize {
    // SAFETY: By the safety requirements.
    let handle = unsafe { OpenFileRef::<T>::from_raw(file) }.handle();
    // SAFETY: By the safety requirements, which are those of both functions. A file that is not
    // cached is read into pages of the pipe's own.
    unsafe {
        if handle.is_some_and(T::is_cached) {
            bindings::filemap_splice_read(file, position, pipe, len, flags)
        } else {
            bindings::copy_splice_read(file, position, pipe, len, flags)
        }
    }
}
