// SPDX-License-Identifier: GPL-2.0

//! Commands for open files, ioctl(2), and the attributes that chattr(1) and its like set by them.

use super::dentry::Dentry;
use super::file::OpenFileRef;
use super::inode::Inode;
use super::FileSystem;
use crate::bindings;
use kernel::prelude::*;
use kernel::uaccess::UserPtr;
use kernel::uaccess::UserSlice;

/// A command's number, which tells what goes in and comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command(pub u32);

impl Command {
    /// `FS_IOC_GETFLAGS`.
    pub const GET_FLAGS: Self = Self(bindings::FUSE_RS_FS_IOC_GETFLAGS as u32);
    /// `FS_IOC_SETFLAGS`.
    pub const SET_FLAGS: Self = Self(bindings::FUSE_RS_FS_IOC_SETFLAGS as u32);
    /// `FS_IOC_FSGETXATTR`.
    pub const GET_XFLAGS: Self = Self(bindings::FUSE_RS_FS_IOC_FSGETXATTR as u32);
    /// `FS_IOC_FSSETXATTR`.
    pub const SET_XFLAGS: Self = Self(bindings::FUSE_RS_FS_IOC_FSSETXATTR as u32);

    fn size_for(self, direction: u64) -> usize {
        let number = u64::from(self.0);
        if number >> bindings::FUSE_RS_IOC_DIRSHIFT & direction == 0 {
            return 0;
        }
        (number >> bindings::FUSE_RS_IOC_SIZESHIFT & bindings::FUSE_RS_IOC_SIZEMASK) as usize
    }

    /// Bytes that the caller passes.
    pub fn in_size(self) -> usize {
        self.size_for(bindings::FUSE_RS_IOC_WRITE)
    }

    /// Bytes that the caller has room for.
    pub fn out_size(self) -> usize {
        self.size_for(bindings::FUSE_RS_IOC_READ)
    }
}

/// The programs a command can come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Of the kernel's own word size.
    Native,
    /// Of 32 bits.
    Compat,
    /// Of 32 bits, with the registers of 64 (x32).
    X32,
}

/// A command on its way.
#[derive(Debug)]
pub struct Request {
    /// Its number.
    pub command: Command,
    /// Its argument: a value, or an address of the caller's.
    pub argument: usize,
    /// Who it comes from.
    pub program: Program,
}

impl Request {
    /// What the caller passes.
    ///
    /// # Errors
    ///
    /// `EFAULT`, `ENOMEM`.
    pub fn input(&self) -> Result<KVVec<u8>> {
        let mut data = KVVec::new();
        UserSlice::new(UserPtr::from_addr(self.argument), self.command.in_size())
            .read_all(&mut data, GFP_KERNEL)?;
        Ok(data)
    }

    /// Passes `data` to the caller: not more than there is room for.
    ///
    /// # Errors
    ///
    /// `EFAULT`.
    pub fn output(&self, data: &[u8]) -> Result {
        UserSlice::new(UserPtr::from_addr(self.argument), self.command.out_size())
            .writer()
            .write_slice(data)
    }
}

/// Attributes of a file as XFS has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtendedFlags {
    /// `FS_XFLAG_*`.
    pub flags: u32,
    /// Preferred size of extents, in bytes.
    pub extent_size: u32,
    /// Number of extents.
    pub extents: u32,
    /// Project.
    pub project: u32,
    /// Preferred size of extents of copies, in bytes.
    pub copy_extent_size: u32,
}

/// Commands, and attributes that are set by commands. All may sleep.
pub trait IoctlOperations: FileSystem {
    /// Does what is asked for and returns what the call returns: at most `i32::MAX`.
    fn ioctl(file: &OpenFileRef<'_, Self>, request: &Request) -> Result<u32>;

    /// Reads the `FS_*_FL` flags.
    fn flags(inode: &Inode<Self>) -> Result<u32>;

    /// Changes them. The inode is locked.
    fn set_flags(inode: &Inode<Self>, flags: u32) -> Result;

    /// Reads the attributes that XFS has.
    fn extended_flags(inode: &Inode<Self>) -> Result<ExtendedFlags>;

    /// Changes them. The inode is locked.
    fn set_extended_flags(inode: &Inode<Self>, flags: &ExtendedFlags) -> Result;
}

/// # Safety
///
/// `file` is an open file of the file system.
unsafe fn command<T: IoctlOperations>(
    file: *mut bindings::file,
    command: u32,
    argument: usize,
    program: Program,
) -> isize {
    c_result!({
        // SAFETY: By the safety requirements.
        let file = unsafe { OpenFileRef::<T>::from_raw(file) };
        let request = Request {
            command: Command(command),
            argument,
            program,
        };
        T::ioctl(&file, &request).map(|value| value as isize)
    })
}

/// # Safety
///
/// Called by the VFS with a file of the file system.
pub(crate) unsafe extern "C" fn ioctl<T: IoctlOperations>(
    file: *mut bindings::file,
    number: u32,
    argument: usize,
) -> isize {
    // SAFETY: By the safety requirements.
    unsafe { command::<T>(file, number, argument, Program::Native) }
}

/// # Safety
///
/// Called by the VFS with a file of the file system, for a 32-bit program.
pub(crate) unsafe extern "C" fn compat_ioctl<T: IoctlOperations>(
    file: *mut bindings::file,
    number: u32,
    argument: usize,
) -> isize {
    // SAFETY: Reads the state of the current task.
    let program = if unsafe { bindings::fuse_rs_helper_in_x32_syscall() } {
        Program::X32
    } else {
        Program::Compat
    };
    // SAFETY: By the safety requirements.
    unsafe { command::<T>(file, number, argument, program) }
}

/// # Safety
///
/// Called by the VFS with an entry of the file system and a structure to fill.
pub(crate) unsafe extern "C" fn fileattr_get<T: IoctlOperations>(
    dentry: *mut bindings::dentry,
    attr: *mut bindings::file_kattr,
) -> i32 {
    c_result!({
        // SAFETY: By the safety requirements.
        let (entry, wanted) = unsafe {
            (
                Dentry::<T>::from_raw(dentry),
                bindings::fuse_rs_helper_kattr_read(attr),
            )
        };
        let inode = entry.inode().ok_or(ENOENT)?;
        if wanted.by_flags {
            let flags = T::flags(inode)?;
            // SAFETY: By the safety requirements.
            unsafe { bindings::fileattr_fill_flags(attr, flags) };
        } else {
            let got = T::extended_flags(inode)?;
            let new = bindings::fuse_rs_kattr {
                xflags: got.flags,
                extsize: got.extent_size,
                nextents: got.extents,
                projid: got.project,
                cowextsize: got.copy_extent_size,
                ..wanted
            };
            // SAFETY: By the safety requirements.
            unsafe { bindings::fuse_rs_helper_kattr_write(attr, &new) };
        }
        Ok(0)
    })
}

/// # Safety
///
/// Called by the VFS with an entry of the file system, the inode of which is locked.
pub(crate) unsafe extern "C" fn fileattr_set<T: IoctlOperations>(
    _map: *mut bindings::mnt_idmap,
    dentry: *mut bindings::dentry,
    attr: *mut bindings::file_kattr,
) -> i32 {
    c_result!({
        // SAFETY: By the safety requirements.
        let (entry, new) = unsafe {
            (
                Dentry::<T>::from_raw(dentry),
                bindings::fuse_rs_helper_kattr_read(attr),
            )
        };
        let inode = entry.inode().ok_or(ENOENT)?;
        if new.by_flags {
            T::set_flags(inode, new.flags)?;
        } else {
            let new = ExtendedFlags {
                flags: new.xflags,
                extent_size: new.extsize,
                extents: new.nextents,
                project: new.projid,
                copy_extent_size: new.cowextsize,
            };
            T::set_extended_flags(inode, &new)?;
        }
        Ok(0)
    })
}
