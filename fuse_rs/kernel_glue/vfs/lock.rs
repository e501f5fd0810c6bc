// SPDX-License-Identifier: GPL-2.0

//! Locks on files: records of fcntl(2), whole files of flock(2).

use super::file::OpenFileRef;
use super::FileSystem;
use crate::bindings;
use core::ptr::NonNull;
use kernel::error::to_result;
use kernel::prelude::*;

/// What a lock keeps others from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    /// Others may have such a lock, too.
    Shared,
    /// Nobody else may have one.
    Exclusive,
}

/// A lock that somebody wants.
#[derive(Clone, Copy, Debug)]
pub struct LockRequest {
    /// The first byte.
    pub start: u64,
    /// The last byte; not before the first.
    pub end: u64,
    /// The lock; none to give back what there is.
    pub kind: Option<LockKind>,
    /// Whose it is to be: a number that stands for a process or an open file.
    pub owner: usize,
    /// It is worth waiting for.
    pub waits: bool,
    /// It is a lock of flock(2), for the open file and the whole of it.
    pub flock: bool,
}

/// A lock that somebody else has.
#[derive(Clone, Copy, Debug)]
pub struct Conflict {
    /// What it keeps others from.
    pub kind: LockKind,
    /// The first byte.
    pub start: u64,
    /// The last byte.
    pub end: u64,
    /// The process, as the system calls it; zero if that is not known.
    pub pid: i32,
}

/// Where a lock is kept.
pub enum Kept<R> {
    /// By the file system, which has done this.
    There(R),
    /// By the kernel, for the processes of this machine.
    Here,
}

/// Operations on locks of regular files. All may sleep.
pub trait LockOperations: FileSystem {
    /// Looks for a lock that is in the way.
    fn test_lock(
        file: &OpenFileRef<'_, Self>,
        wanted: &LockRequest,
    ) -> Result<Kept<Option<Conflict>>>;

    /// Takes a lock or gives it back. `ERESTARTSYS` when a signal ends the wait for it.
    fn set_lock(file: &OpenFileRef<'_, Self>, wanted: &LockRequest) -> Result<Kept<()>>;
}

/// A lock on its way through the kernel.
struct RawLock(NonNull<bindings::file_lock>);

impl RawLock {
    /// # Safety
    ///
    /// `lock` is valid while the value lives, and nobody else uses it.
    unsafe fn new(lock: *mut bindings::file_lock) -> Self {
        // SAFETY: By the safety requirements.
        Self(unsafe { NonNull::new_unchecked(lock) })
    }

    fn as_ptr(&self) -> *mut bindings::file_lock {
        self.0.as_ptr()
    }

    /// What is wanted.
    ///
    /// # Errors
    ///
    /// `ENOLCK` for a lock manager that wants to be told later.
    fn request(&self) -> Result<LockRequest> {
        // SAFETY: The lock is valid.
        let raw = unsafe { bindings::fuse_rs_helper_lock_read(self.as_ptr()) };
        if raw.asynchronous {
            return Err(ENOLCK);
        }
        Ok(LockRequest {
            start: raw.start,
            end: raw.end,
            kind: match raw.kind {
                bindings::F_RDLCK => Some(LockKind::Shared),
                bindings::F_WRLCK => Some(LockKind::Exclusive),
                _ => None,
            },
            owner: raw.owner,
            waits: raw.sleeps,
            flock: raw.flock,
        })
    }

    /// Tells what is in the way.
    fn answer(&self, conflict: Option<Conflict>) {
        let (start, end, kind, pid) = match conflict {
            None => (0, 0, bindings::F_UNLCK, 0),
            Some(Conflict {
                kind: LockKind::Shared,
                start,
                end,
                pid,
            }) => (start, end, bindings::F_RDLCK, pid),
            Some(Conflict {
                kind: LockKind::Exclusive,
                start,
                end,
                pid,
            }) => (start, end, bindings::F_WRLCK, pid),
        };
        // SAFETY: The lock is valid, and nobody else uses it.
        unsafe { bindings::fuse_rs_helper_lock_write(self.as_ptr(), start, end, kind, pid) };
    }
}

/// # Safety
///
/// Called by the VFS with a file of the file system and a lock that nobody else uses.
pub(crate) unsafe extern "C" fn lock<T: LockOperations>(
    file: *mut bindings::file,
    command: i32,
    lock: *mut bindings::file_lock,
) -> i32 {
    c_result!({
        // SAFETY: By the safety requirements.
        let (open_file, raw) = unsafe { (OpenFileRef::<T>::from_raw(file), RawLock::new(lock)) };
        match command as u32 {
            bindings::F_GETLK => {
                match T::test_lock(&open_file, &raw.request()?)? {
                    Kept::There(conflict) => raw.answer(conflict),
                    // SAFETY: By the safety requirements.
                    Kept::Here => unsafe { bindings::posix_test_lock(file, lock) },
                }
                Ok(0)
            }
            // A wait is over when its caller has been told.
            bindings::F_CANCELLK => Ok(0),
            _ => match T::set_lock(&open_file, &raw.request()?)? {
                Kept::There(()) => Ok(0),
                Kept::Here => {
                    // SAFETY: By the safety requirements. Whoever has to wait does so where this
                    // was called.
                    Ok(unsafe { bindings::posix_lock_file(file, lock, core::ptr::null_mut()) })
                }
            },
        }
    })
}

/// # Safety
///
/// As for [`lock`].
pub(crate) unsafe extern "C" fn flock<T: LockOperations>(
    file: *mut bindings::file,
    _command: i32,
    lock: *mut bindings::file_lock,
) -> i32 {
    c_result!({
        // SAFETY: By the safety requirements.
        let (open_file, raw) = unsafe { (OpenFileRef::<T>::from_raw(file), RawLock::new(lock)) };
        if let Kept::Here = T::set_lock(&open_file, &raw.request()?)? {
            let inode = open_file.inode().as_ptr();
            // SAFETY: By the safety requirements.
            to_result(unsafe { bindings::locks_lock_inode_wait(inode, lock) })?;
        }
        Ok(0)
    })
}
