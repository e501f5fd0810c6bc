// SPDX-License-Identifier: GPL-2.0

//! Reading and writing open files.

use super::file::OpenFileRef;
use super::FileSystem;
use crate::bindings;
use core::cell::Cell;
use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::iov::IovIterDest;
use kernel::iov::IovIterSource;
use kernel::prelude::*;
use kernel::sync::atomic::Atomic;
use kernel::sync::atomic::Relaxed;
use kernel::sync::Arc;
use kernel::sync::UniqueArc;
use kernel::workqueue::Queue;

/// Operations on the data of open files. All may sleep.
pub trait IoOperations: FileSystem {
    /// Reads. What is returned does not matter after [`Io::detach`].
    fn read(io: Io<'_, Self>, to: &mut IovIterDest<'_>) -> Result<usize>;

    /// Writes. What is returned does not matter after [`Io::detach`].
    fn write(io: Io<'_, Self>, from: &mut IovIterSource<'_>) -> Result<usize>;

    /// Whether the page cache may be lent to a pipe, up to the byte `end`; if not, the file is read.
    fn lends_cache(file: &OpenFileRef<'_, Self>, end: u64) -> Result<bool>;
}

/// A read or write in progress.
pub struct Io<'a, T: FileSystem> {
    kiocb: NonNull<bindings::kiocb>,
    iter: *mut bindings::iov_iter,
    /// Set when it goes on after the operation.
    detached: &'a Cell<Option<AsyncIo>>,
    _borrow: PhantomData<&'a mut T>,
}

impl<'a, T: FileSystem> Io<'a, T> {
    /// Whether the caller waits for the end of the operation.
    pub fn is_sync(&self) -> bool {
        // SAFETY: Valid during the operation.
        unsafe { (*self.kiocb.as_ptr()).ki_complete.is_none() }
    }

    /// Lets the read or write go on after the operation. If the operation fails, it has started
    /// nothing, and its error is what the caller is told.
    ///
    /// # Context
    ///
    /// May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` when the caller waits; `ENOMEM`.
    pub fn detach(self) -> Result<AsyncIo> {
        if self.is_sync() {
            return Err(EINVAL);
        }
        // SAFETY: The file is valid during the operation, and so is its super block.
        kernel::error::to_result(unsafe {
            bindings::fuse_rs_helper_prepare_dio_queue((*self.kiocb.as_ptr()).ki_filp)
        })?;
        // A value that does not get its memory is dropped, which would end the read or write.
        let slot = UniqueArc::new_uninit(GFP_KERNEL)?;
        // INVARIANT: `Io` is gone, and its operation returns what makes this the one to end the
        // read or write.
        let detached = slot.write(Detached {
            kiocb: self.kiocb,
            result: Atomic::new(i64::from(EIO.to_errno())),
            iter: Atomic::new(self.iter as usize),
        });
        let io = AsyncIo(detached.into());
        self.detached.set(Some(io.clone()));
        Ok(io)
    }

    /// The open file.
    pub fn file(&self) -> OpenFileRef<'a, T> {
        // SAFETY: The file is valid during the operation.
        unsafe { OpenFileRef::from_raw((*self.kiocb.as_ptr()).ki_filp) }
    }

    pub(crate) fn as_raw(&self) -> *mut bindings::kiocb {
        self.kiocb.as_ptr()
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

    /// Whether what is written must be durable in the end.
    pub fn is_durable(&self) -> bool {
        // SAFETY: Valid during the operation.
        unsafe { bindings::fuse_rs_helper_iocb_is_dsync(self.kiocb.as_ptr()) }
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

/// A read or write that goes on after its operation has returned. It ends when the last clone is
/// dropped, and so do the caller's promises, such as that its memory stays.
#[derive(Clone)]
pub struct AsyncIo(Arc<Detached>);

/// # Invariants
///
/// The `kiocb` is valid, and nobody else ends it.
struct Detached {
    kiocb: NonNull<bindings::kiocb>,
    /// Bytes, or a negated errno.
    result: Atomic<i64>,
    /// Address of the iterator over its memory, as long as the operation goes on; then zero.
    iter: Atomic<usize>,
}

// SAFETY: A read or write may be ended by any task.
unsafe impl Send for Detached {}
// SAFETY: What is shared is atomic, or does not change.
unsafe impl Sync for Detached {}

impl AsyncIo {
    /// What the caller is told in the end; `EIO` if this is not called.
    pub fn set_result(&self, result: &Result<usize>) {
        let value = match result {
            Ok(bytes) => i64::try_from(*bytes).unwrap_or(i64::MAX),
            Err(error) => i64::from(error.to_errno()),
        };
        self.0.result.store(value, Relaxed);
    }

    /// Whether `iter` is over the memory of this read or write.
    pub(crate) fn is_over(&self, iter: *mut bindings::iov_iter) -> bool {
        self.0.iter.load(Relaxed) == iter as usize
    }

    /// Where what is left for later is queued.
    pub(super) fn queue(&self) -> &Queue {
        // SAFETY: The `kiocb` is valid by the type's invariants; its file keeps the super block,
        // which keeps the queue, made in `Io::detach`, until it is shut down.
        unsafe {
            Queue::from_raw(bindings::fuse_rs_helper_dio_queue(
                (*self.0.kiocb.as_ptr()).ki_filp,
            ))
        }
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        let result = self.result.load(Relaxed);
        // SAFETY: By the type's invariants: this is the only end. Of those that are not waited for,
        // each has somebody to tell.
        unsafe {
            if let Some(complete) = (*self.kiocb.as_ptr()).ki_complete {
                complete(self.kiocb.as_ptr(), result as isize);
            }
        }
    }
}

/// Runs an operation on `kiocb`.
///
/// # Safety
///
/// `kiocb` is valid until the operation ends and of a file of this file system, `iter` over its
/// memory.
unsafe fn run<T: IoOperations>(
    kiocb: *mut bindings::kiocb,
    iter: *mut bindings::iov_iter,
    operation: impl FnOnce(Io<'_, T>) -> Result<usize>,
) -> isize {
    let detached = Cell::new(None);
    let result = operation(Io {
        // SAFETY: By the safety requirements.
        kiocb: unsafe { NonNull::new_unchecked(kiocb) },
        iter,
        detached: &detached,
        _borrow: PhantomData,
    });
    // Up to here the caller's iterator has been in use, so this kept the read or write from ending.
    if let Some(io) = detached.take() {
        io.0.iter.store(0, Relaxed);
        if result.is_err() {
            io.set_result(&result);
        }
        drop(io);
        return -(bindings::EIOCBQUEUED as isize);
    }
    match result {
        Ok(bytes) => bytes as isize,
        Err(error) => error.to_errno() as isize,
    }
}

/// A byte count or a negated errno as a result.
#[inline]
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
    // SAFETY: By the safety requirements.
    unsafe { run::<T>(kiocb, to, |io| T::read(io, IovIterDest::from_raw(to))) }
}

/// # Safety
///
/// Called by the VFS with a file of the file system and where the data comes from.
pub(super) unsafe extern "C" fn write_iter<T: IoOperations>(
    kiocb: *mut bindings::kiocb,
    from: *mut bindings::iov_iter,
) -> isize {
    // SAFETY: By the safety requirements.
    unsafe {
        run::<T>(kiocb, from, |io| {
            T::write(io, IovIterSource::from_raw(from))
        })
    }
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
    let (open, start) = unsafe { (OpenFileRef::<T>::from_raw(file), *position) };
    let end = (start as u64).saturating_add(len as u64);
    // SAFETY: By the safety requirements, which are those of both functions. What is not lent is
    // read into pages of the pipe's own.
    unsafe {
        match T::lends_cache(&open, end) {
            Ok(true) => bindings::filemap_splice_read(file, position, pipe, len, flags),
            Ok(false) => bindings::copy_splice_read(file, position, pipe, len, flags),
            Err(error) => error.to_errno() as isize,
        }
    }
}
