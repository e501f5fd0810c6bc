// SPDX-License-Identifier: GPL-2.0

//! Open files.

use super::dentry::Child;
use super::dentry::Dentry;
use super::file_ops::OpenMode;
use super::inode::Inode;
use super::FileSystem;
use crate::bindings;
use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::error::to_result;
use kernel::prelude::*;

/// An open file of file system `T` during an operation on it.
pub struct OpenFileRef<'a, T: FileSystem> {
    file: NonNull<bindings::file>,
    _borrow: PhantomData<&'a T>,
}

impl<'a, T: FileSystem> OpenFileRef<'a, T> {
    /// Wraps a file of this file system.
    ///
    /// # Safety
    ///
    /// `file` is valid for `'a` and an open file of this file system.
    pub(crate) unsafe fn from_raw(file: *mut bindings::file) -> Self {
        Self {
            // SAFETY: By the safety requirements.
            file: unsafe { NonNull::new_unchecked(file) },
            _borrow: PhantomData,
        }
    }

    pub(crate) fn as_ptr(&self) -> *mut bindings::file {
        self.file.as_ptr()
    }

    /// The file system's data; none while the file is being opened.
    pub fn handle(&self) -> Option<&'a T::Handle> {
        // SAFETY: The private data of a file of this file system is null or a handle that lives
        // until the file is released.
        unsafe { (*self.as_ptr()).private_data.cast::<T::Handle>().as_ref() }
    }

    /// The inode.
    pub fn inode(&self) -> &'a Inode<T> {
        // SAFETY: An open file keeps its inode.
        unsafe { Inode::from_raw(bindings::fuse_rs_helper_file_inode(self.as_ptr())) }
    }

    /// The entry `name` of this directory, which is being listed to `_out`: so its lock is held.
    ///
    /// # Context
    ///
    /// May sleep, also for others who look the name up.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINVAL` for a name that is too long.
    pub fn child(&self, _out: &DirEmitter<'_>, name: &[u8]) -> Result<Child<T>> {
        // SAFETY: An open file keeps its dentry.
        let dentry =
            unsafe { Dentry::<T>::from_raw((*self.as_ptr()).__bindgen_anon_1.f_path.dentry) };
        dentry.child(name)
    }

    /// The content is about to change: the times are set, if the kernel keeps them.
    pub fn update_times(&self) {
        // SAFETY: The file is valid. Times that cannot be set stay what they are.
        let _ = unsafe { bindings::file_update_time(self.as_ptr()) };
    }

    /// The error of writing dirty pages back that this open file has not been told yet, if there is
    /// one; it counts as told.
    pub fn write_error(&self) -> Result {
        // SAFETY: The file is valid.
        to_result(unsafe { bindings::file_check_and_advance_wb_err(self.as_ptr()) })
    }

    /// Drops privileges that a change of the content ends (set-id bits, capabilities). The inode
    /// is locked.
    pub fn remove_privileges(&self) -> Result {
        // SAFETY: The file is valid.
        to_result(unsafe { bindings::file_remove_privs(self.as_ptr()) })
    }

    /// Whether the file has set-id bits that a change of the content ends.
    pub fn has_setid(&self) -> bool {
        // SAFETY: The file is valid.
        unsafe { bindings::fuse_rs_helper_file_has_setid(self.as_ptr()) }
    }

    /// `O_*` flags as they are now: fcntl(2) changes some.
    pub fn flags(&self) -> u32 {
        // SAFETY: A racy read of a plain field, as everywhere in the kernel.
        unsafe { (&raw const (*self.as_ptr()).f_flags).read_volatile() }
    }
}

/// A file that is being opened.
pub struct NewFile<T>(PhantomData<T>);

impl<T: FileSystem> NewFile<T> {
    /// Finishes an open that made the file.
    ///
    /// # Safety
    ///
    /// `file` is being opened by `atomic_open`, and `dentry` is positive.
    pub(crate) unsafe fn finish_open(
        file: *mut bindings::file,
        dentry: *mut bindings::dentry,
        handle: KBox<T::Handle>,
        mode: OpenMode,
    ) -> Result {
        // SAFETY: By the safety requirements; the private data is set before the file is
        // visible to anybody.
        unsafe {
            (*file).private_data = KBox::into_raw(handle).cast();
            (*file).f_mode |= bindings::FUSE_RS_FMODE_CAN_ODIRECT as u32;
            let done = to_result(bindings::finish_open(
                file,
                dentry,
                Some(bindings::generic_file_open),
            ));
            if done.is_err() {
                drop(KBox::from_raw((*file).private_data.cast::<T::Handle>()));
                (*file).private_data = core::ptr::null_mut();
            } else {
                mode.apply(file);
            }
            done
        }
    }
}

/// Where the entries of a directory go.
pub struct DirEmitter<'a> {
    context: NonNull<bindings::dir_context>,
    _borrow: PhantomData<&'a mut bindings::dir_context>,
}

impl DirEmitter<'_> {
    /// Wraps the argument of `iterate_shared`.
    ///
    /// # Safety
    ///
    /// `context` is valid while the value lives.
    pub(crate) unsafe fn from_raw(context: *mut bindings::dir_context) -> Self {
        Self {
            // SAFETY: By the safety requirements.
            context: unsafe { NonNull::new_unchecked(context) },
            _borrow: PhantomData,
        }
    }

    /// Position, as the file system gave it with the last entry.
    pub fn position(&self) -> u64 {
        // SAFETY: Valid during the operation.
        unsafe { (*self.context.as_ptr()).pos as u64 }
    }

    /// Space the caller has, in bytes; a hint.
    pub fn space(&self) -> usize {
        // SAFETY: Valid during the operation.
        usize::try_from(unsafe { (*self.context.as_ptr()).count }).unwrap_or(0)
    }

    /// Passes an entry on and moves to `next`; `false` if the caller has no room for it.
    #[must_use]
    #[inline]
    pub fn emit(&mut self, name: &[u8], ino: u64, kind: u32, next: u64) -> bool {
        let Ok(len) = i32::try_from(name.len()) else {
            return false;
        };
        // SAFETY: The context is valid during the operation, the name as long as said.
        unsafe {
            let taken = bindings::fuse_rs_helper_dir_emit(
                self.context.as_ptr(),
                name.as_ptr().cast(),
                len,
                ino,
                kind,
            );
            if taken {
                (*self.context.as_ptr()).pos = next as i64;
            }
            taken
        }
    }
}
