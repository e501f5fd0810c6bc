// SPDX-License-Identifier: GPL-2.0

//! Operations of open files and directories.

use super::file::DirEmitter;
use super::file::OpenFileRef;
use super::inode::Inode;
use super::io;
use super::io::IoOperations;
use super::ioctl;
use super::ioctl::IoctlOperations;
use super::lock;
use super::lock::LockOperations;
use super::poll;
use super::poll::PollOperations;
use super::FileSystem;
use crate::bindings;
use crate::dax::DaxOperations;
use crate::mm::fault;
use crate::mm::fault::MapOperations;
use core::marker::PhantomData;
use core::ops::Range;
use kernel::prelude::*;

/// How an opened file may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenMode {
    /// It cannot seek.
    pub nonseekable: bool,
    /// It has no position at all.
    pub stream: bool,
}

impl OpenMode {
    /// Applies it.
    ///
    /// # Safety
    ///
    /// `file` is being opened: nobody else uses it yet.
    pub(crate) unsafe fn apply(self, file: *mut bindings::file) {
        // SAFETY: By the safety requirements. Both functions only change the file's mode, and do
        // not look at the inode.
        unsafe {
            if self.stream {
                bindings::stream_open(core::ptr::null_mut(), file);
            } else if self.nonseekable {
                bindings::nonseekable_open(core::ptr::null_mut(), file);
            }
        }
    }
}

/// What a seek looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekFor {
    /// Data.
    Data,
    /// A hole; the end of the file counts as one.
    Hole,
}

/// Operations of open files and directories. All may sleep.
pub trait FileOperations: FileSystem {
    /// Opens a file or directory.
    fn open(inode: &Inode<Self>, flags: u32) -> Result<(KBox<Self::Handle>, OpenMode)>;

    /// The last reference to the open file is gone. `flags` are its `O_*` flags as they are now,
    /// `owner` is the owner of its locks of flock(2).
    fn release(inode: &Inode<Self>, handle: KBox<Self::Handle>, flags: u32, owner: usize);

    /// A descriptor of the file is closed.
    fn flush(file: &OpenFileRef<'_, Self>, owner: usize) -> Result;

    /// Makes data durable.
    fn fsync(file: &OpenFileRef<'_, Self>, datasync: bool) -> Result;

    /// Makes the size fresh before a seek relative to the end.
    fn before_seek_end(inode: &Inode<Self>) -> Result;

    /// Looks for data or a hole from `offset` on. `EOPNOTSUPP` takes all of the file for data, after
    /// [`FileOperations::before_seek_end`].
    fn seek_for(file: &OpenFileRef<'_, Self>, offset: u64, what: SeekFor) -> Result<u64>;

    /// Reserves or releases space: `mode` as for fallocate(2). The range is within what files can
    /// have.
    fn allocate(file: &OpenFileRef<'_, Self>, mode: u32, range: Range<u64>) -> Result;

    /// Copies `len` bytes at most, which are not none, from a position of a file to a position of
    /// another or the same. With `EOPNOTSUPP` and `EXDEV` the kernel copies instead.
    fn copy(
        from: (&OpenFileRef<'_, Self>, u64),
        to: (&OpenFileRef<'_, Self>, u64),
        len: usize,
    ) -> Result<usize>;

    /// Lists a directory from the emitter's position.
    fn iterate(file: &OpenFileRef<'_, Self>, out: &mut DirEmitter<'_>) -> Result;
}

/// The table of C callbacks of files.
pub(crate) struct FileTable<T>(PhantomData<T>);

impl<T> FileTable<T>
where
    T: FileOperations
        + DaxOperations
        + IoOperations
        + IoctlOperations
        + LockOperations
        + MapOperations
        + PollOperations,
{
    const TABLE: bindings::file_operations = bindings::file_operations {
        open: Some(open::<T>),
        release: Some(release::<T>),
        flush: Some(flush::<T>),
        fsync: Some(fsync::<T>),
        read_iter: Some(io::read_iter::<T>),
        write_iter: Some(io::write_iter::<T>),
        mmap: Some(fault::mmap::<T>),
        // Huge pages need the same alignment in memory and file.
        #[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
        get_unmapped_area: Some(bindings::thp_get_unmapped_area),
        llseek: Some(llseek::<T>),
        splice_read: Some(io::splice_read::<T>),
        splice_write: Some(bindings::iter_file_splice_write),
        fallocate: Some(fallocate::<T>),
        copy_file_range: Some(copy_file_range::<T>),
        unlocked_ioctl: Some(ioctl::ioctl::<T>),
        compat_ioctl: Some(ioctl::compat_ioctl::<T>),
        poll: Some(poll::poll::<T>),
        lock: Some(lock::lock::<T>),
        flock: Some(lock::flock::<T>),
        ..pin_init::zeroed()
    };

    pub(crate) const fn get() -> &'static bindings::file_operations {
        &Self::TABLE
    }
}

/// The table of C callbacks of directories.
pub(crate) struct DirTable<T>(PhantomData<T>);

impl<T: FileOperations + IoctlOperations> DirTable<T> {
    const TABLE: bindings::file_operations = bindings::file_operations {
        open: Some(open::<T>),
        release: Some(release::<T>),
        fsync: Some(fsync::<T>),
        iterate_shared: Some(iterate::<T>),
        unlocked_ioctl: Some(ioctl::ioctl::<T>),
        compat_ioctl: Some(ioctl::compat_ioctl::<T>),
        llseek: Some(bindings::generic_file_llseek),
        read: Some(bindings::generic_read_dir),
        ..pin_init::zeroed()
    };

    pub(crate) const fn get() -> &'static bindings::file_operations {
        &Self::TABLE
    }
}

/// # Safety
///
/// Called by the VFS with an inode of the file system and a file that is being opened.
unsafe extern "C" fn open<T: FileOperations>(
    inode: *mut bindings::inode,
    file: *mut bindings::file,
) -> i32 {
    c_result!({
        // SAFETY: By the safety requirements.
        unsafe {
            if !(*file).private_data.is_null() {
                // Opened together with being made.
                return Ok(0);
            }
            kernel::error::to_result(bindings::generic_file_open(inode, file))?;
            let (handle, mode) = T::open(Inode::from_raw(inode), (*file).f_flags)?;
            mode.apply(file);
            (*file).f_mode |= bindings::FUSE_RS_FMODE_CAN_ODIRECT as u32;
            (*file).private_data = KBox::into_raw(handle).cast();
        }
        Ok(0)
    })
}

/// # Safety
///
/// Called by the VFS with a file of the file system that nobody uses any more.
unsafe extern "C" fn release<T: FileOperations>(
    inode: *mut bindings::inode,
    file: *mut bindings::file,
) -> i32 {
    // SAFETY: By the safety requirements; the handle came from `KBox::into_raw`.
    unsafe {
        let handle = (*file).private_data.cast::<T::Handle>();
        (*file).private_data = core::ptr::null_mut();
        if !handle.is_null() {
            let handle = KBox::from_raw(handle);
            T::release(Inode::from_raw(inode), handle, (*file).f_flags, file.addr());
        }
    }
    0
}

/// # Safety
///
/// Called by the VFS with a file of the file system.
unsafe extern "C" fn flush<T: FileOperations>(
    file: *mut bindings::file,
    owner: bindings::fl_owner_t,
) -> i32 {
    c_result!({
        // SAFETY: By the safety requirements.
        let file = unsafe { OpenFileRef::from_raw(file) };
        T::flush(&file, owner as usize)?;
        Ok(0)
    })
}

/// # Safety
///
/// Called by the VFS with a file of the file system.
unsafe extern "C" fn fsync<T: FileOperations>(
    file: *mut bindings::file,
    _start: i64,
    _end: i64,
    datasync: i32,
) -> i32 {
    c_result!({
        // SAFETY: By the safety requirements.
        let file = unsafe { OpenFileRef::from_raw(file) };
        T::fsync(&file, datasync != 0)?;
        Ok(0)
    })
}

/// # Safety
///
/// Called by the VFS with a file of the file system.
unsafe extern "C" fn llseek<T: FileOperations>(
    file: *mut bindings::file,
    offset: i64,
    whence: i32,
) -> i64 {
    // SAFETY: By the safety requirements.
    match unsafe { seek::<T>(file, offset, whence) } {
        Ok(position) => position,
        Err(error) => error.to_errno().into(),
    }
}

/// # Safety
///
/// As for [`llseek`].
unsafe fn seek<T: FileOperations>(
    file: *mut bindings::file,
    offset: i64,
    whence: i32,
) -> Result<i64> {
    // SAFETY: By the safety requirements.
    let open_file = unsafe { OpenFileRef::<T>::from_raw(file) };
    let inode = open_file.inode();
    let what = match whence as u32 {
        bindings::SEEK_DATA => Some(SeekFor::Data),
        bindings::SEEK_HOLE => Some(SeekFor::Hole),
        _ => None,
    };
    if let Some(what) = what {
        // A position that is negative is not in the file.
        let start = u64::try_from(offset).map_err(|_| ENXIO)?;
        match T::seek_for(&open_file, start, what) {
            Err(EOPNOTSUPP) => {}
            found => {
                let found = i64::try_from(found?).map_err(|_| EOVERFLOW)?;
                // SAFETY: By the safety requirements; an inode has a super block.
                return Ok(unsafe {
                    bindings::vfs_setpos(file, found, (*(*inode.as_ptr()).i_sb).s_maxbytes)
                });
            }
        }
    }
    if whence as u32 != bindings::SEEK_SET && whence as u32 != bindings::SEEK_CUR {
        T::before_seek_end(inode)?;
    }
    // SAFETY: By the safety requirements.
    Ok(unsafe { bindings::generic_file_llseek(file, offset, whence) })
}

/// # Safety
///
/// Called by the VFS with a file of the file system that is open for writing.
unsafe extern "C" fn fallocate<T: FileOperations>(
    file: *mut bindings::file,
    mode: i32,
    offset: i64,
    len: i64,
) -> isize {
    c_result!({
        // SAFETY: By the safety requirements.
        let file = unsafe { OpenFileRef::from_raw(file) };
        let start = u64::try_from(offset).map_err(|_| EINVAL)?;
        let len = u64::try_from(len).map_err(|_| EINVAL)?;
        let end = start.checked_add(len).ok_or(EFBIG)?;
        T::allocate(&file, mode as u32, start..end)?;
        Ok(0)
    })
}

/// # Safety
///
/// Called by the VFS with regular files that have this operation.
unsafe extern "C" fn copy_file_range<T: FileOperations>(
    from: *mut bindings::file,
    from_position: i64,
    to: *mut bindings::file,
    to_position: i64,
    len: usize,
    _flags: u32,
) -> isize {
    let copied = (|| {
        // SAFETY: By the safety requirements; files with this operation are of this file system.
        let (from, to) = unsafe { (OpenFileRef::from_raw(from), OpenFileRef::from_raw(to)) };
        let from_start = u64::try_from(from_position).map_err(|_| EINVAL)?;
        let to_start = u64::try_from(to_position).map_err(|_| EINVAL)?;
        T::copy((&from, from_start), (&to, to_start), len)
    })();
    match copied {
        Ok(copied) => copied as isize,
        Err(EOPNOTSUPP | EXDEV) => {
            let (mut from_position, mut to_position) = (from_position, to_position);
            // SAFETY: By the safety requirements. The VFS has checked the range.
            unsafe {
                bindings::splice_file_range(from, &mut from_position, to, &mut to_position, len)
            }
        }
        Err(error) => error.to_errno() as isize,
    }
}

/// # Safety
///
/// Called by the VFS with a directory of the file system and where the entries are to go.
unsafe extern "C" fn iterate<T: FileOperations>(
    file: *mut bindings::file,
    context: *mut bindings::dir_context,
) -> i32 {
    c_result!({
        // SAFETY: By the safety requirements.
        let (file, mut out) =
            unsafe { (OpenFileRef::from_raw(file), DirEmitter::from_raw(context)) };
        T::iterate(&file, &mut out)?;
        Ok(0)
    })
}
