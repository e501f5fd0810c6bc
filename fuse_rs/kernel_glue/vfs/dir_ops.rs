// SPDX-License-Identifier: GPL-2.0

//! Operations of directories.

use super::dentry::Dentry;
use super::file::NewFile;
use super::file_ops::OpenMode;
use super::inode::Inode;
use super::inode_ops::IdMap;
use super::inode_ops::InodeOperations;
use super::ioctl;
use super::xattr;
use super::FileSystem;
use crate::bindings;
use core::marker::PhantomData;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::str::CStr;
use kernel::sync::aref::ARef;

/// An inode for a name, and how long the name may be believed.
pub struct Named<T: FileSystem> {
    /// The inode; none if the name does not exist.
    pub inode: Option<ARef<Inode<T>>>,
    /// For [`Dentry::belief`].
    pub belief: u64,
}

/// A new file, opened.
pub struct Created<T: FileSystem> {
    /// The inode.
    pub inode: ARef<Inode<T>>,
    /// For [`Dentry::belief`].
    pub belief: u64,
    /// The open file.
    pub handle: KBox<T::Handle>,
    /// How it may be used.
    pub mode: OpenMode,
}

/// How a new inode is to be made.
#[derive(Clone, Copy, Debug)]
pub enum NewKind<'a> {
    /// A file, device node, pipe or socket: type and permission bits, device number in the
    /// 32-bit user encoding.
    Node(u16, u32),
    /// A directory: permission bits.
    Directory(u16),
    /// A symbolic link to a target, without NUL.
    Symlink(&'a [u8]),
}

/// Operations of directories. The VFS holds the directory's lock: shared for lookup, exclusive
/// for what changes it.
pub trait DirOperations: InodeOperations {
    /// Looks the name of `dentry` up.
    fn lookup(dir: &Inode<Self>, dentry: &Dentry<Self>) -> Result<Named<Self>>;

    /// Makes an inode, which belongs to the caller as `map` says.
    fn make(
        dir: &Inode<Self>,
        dentry: &Dentry<Self>,
        map: IdMap<'_>,
        kind: NewKind<'_>,
    ) -> Result<Named<Self>>;

    /// Makes a file and opens it. `ENOSYS` falls back to [`DirOperations::make`] and open.
    fn create(
        dir: &Inode<Self>,
        dentry: &Dentry<Self>,
        map: IdMap<'_>,
        flags: u32,
        mode: u16,
    ) -> Result<Created<Self>>;

    /// Makes a file without a name, and opens it. `dentry` stands for it, and is in no directory.
    fn make_nameless(
        dir: &Inode<Self>,
        dentry: &Dentry<Self>,
        map: IdMap<'_>,
        flags: u32,
        mode: u16,
    ) -> Result<Created<Self>>;

    /// Gives `inode` another name.
    fn link(inode: &Inode<Self>, dir: &Inode<Self>, dentry: &Dentry<Self>) -> Result<Named<Self>>;

    /// Removes a name of a file.
    fn unlink(dir: &Inode<Self>, dentry: &Dentry<Self>) -> Result;

    /// Removes an empty directory.
    fn rmdir(dir: &Inode<Self>, dentry: &Dentry<Self>) -> Result;

    /// Renames; `flags` as for renameat2(2). An inode that is made belongs to the caller as `map`
    /// says.
    fn rename(
        map: IdMap<'_>,
        old_dir: &Inode<Self>,
        old: &Dentry<Self>,
        new_dir: &Inode<Self>,
        new: &Dentry<Self>,
        flags: u32,
    ) -> Result;
}

/// The table of C callbacks.
pub(crate) struct DirTable<T>(PhantomData<T>);

impl<T: DirOperations> DirTable<T> {
    const TABLE: bindings::inode_operations = bindings::inode_operations {
        lookup: Some(lookup::<T>),
        create: Some(create::<T>),
        atomic_open: Some(atomic_open::<T>),
        tmpfile: Some(tmpfile::<T>),
        link: Some(link::<T>),
        unlink: Some(unlink::<T>),
        symlink: Some(symlink::<T>),
        mkdir: Some(mkdir::<T>),
        rmdir: Some(rmdir::<T>),
        mknod: Some(mknod::<T>),
        rename: Some(rename::<T>),
        getattr: Some(super::inode_ops::getattr::<T>),
        setattr: Some(super::inode_ops::setattr::<T>),
        permission: Some(super::inode_ops::permission::<T>),
        listxattr: Some(xattr::listxattr::<T>),
        get_inode_acl: Some(xattr::get_inode_acl::<T>),
        get_acl: Some(xattr::get_acl::<T>),
        set_acl: Some(xattr::set_acl::<T>),
        fileattr_get: Some(ioctl::fileattr_get::<T>),
        fileattr_set: Some(ioctl::fileattr_set::<T>),
        ..pin_init::zeroed()
    };

    pub(crate) const fn get() -> &'static bindings::inode_operations {
        &Self::TABLE
    }
}

/// Looks up and connects.
///
/// # Safety
///
/// As for [`lookup`].
unsafe fn look_up<T: DirOperations>(
    dir: *mut bindings::inode,
    dentry: *mut bindings::dentry,
) -> Result<*mut bindings::dentry> {
    // SAFETY: By the safety requirements.
    let (dir, dentry) = unsafe { (Inode::<T>::from_raw(dir), Dentry::<T>::from_raw(dentry)) };
    let named = T::lookup(dir, dentry)?;
    dentry.splice(named.inode, named.belief)
}

/// # Safety
///
/// Called by the VFS with a directory of the file system and an entry in lookup.
unsafe extern "C" fn lookup<T: DirOperations>(
    dir: *mut bindings::inode,
    dentry: *mut bindings::dentry,
    _flags: u32,
) -> *mut bindings::dentry {
    // SAFETY: By the safety requirements.
    match unsafe { look_up::<T>(dir, dentry) } {
        Ok(other) => other,
        Err(error) => error.to_ptr(),
    }
}

/// Makes an inode and connects it with a negative entry.
///
/// # Safety
///
/// Called by the VFS with the mount's map, a directory of the file system and a negative entry in it.
unsafe fn make<T: DirOperations>(
    map: *mut bindings::mnt_idmap,
    dir: *mut bindings::inode,
    dentry: *mut bindings::dentry,
    kind: NewKind<'_>,
) -> Result<*mut bindings::dentry> {
    // SAFETY: By the safety requirements.
    let (map, dir, dentry) = unsafe {
        (
            IdMap::from_raw(map),
            Inode::<T>::from_raw(dir),
            Dentry::<T>::from_raw(dentry),
        )
    };
    let named = T::make(dir, dentry, map, kind)?;
    let inode = named.inode.ok_or(EIO)?;
    // The server may have handed out an inode that is known under another name already: the
    // entry has to go through the same check as a looked-up one.
    dentry.unhash();
    dentry.splice(Some(inode), named.belief)
}

/// As [`make`], for callers that cannot be told of another entry.
///
/// # Safety
///
/// As for [`make`].
unsafe fn make_here<T: DirOperations>(
    map: *mut bindings::mnt_idmap,
    dir: *mut bindings::inode,
    dentry: *mut bindings::dentry,
    kind: NewKind<'_>,
) -> Result<i32> {
    // SAFETY: By the safety requirements; an entry that comes back has a reference to drop.
    unsafe {
        let other = make::<T>(map, dir, dentry, kind)?;
        if !other.is_null() {
            bindings::dput(other);
        }
    }
    Ok(0)
}

/// # Safety
///
/// As for [`make`].
unsafe extern "C" fn create<T: DirOperations>(
    map: *mut bindings::mnt_idmap,
    dir: *mut bindings::inode,
    dentry: *mut bindings::dentry,
    mode: u16,
) -> i32 {
    // SAFETY: By the safety requirements.
    c_result!(unsafe { make_here::<T>(map, dir, dentry, NewKind::Node(mode, 0)) })
}

/// # Safety
///
/// As for [`make`].
unsafe extern "C" fn mknod<T: DirOperations>(
    map: *mut bindings::mnt_idmap,
    dir: *mut bindings::inode,
    dentry: *mut bindings::dentry,
    mode: u16,
    dev: bindings::dev_t,
) -> i32 {
    // SAFETY: By the safety requirements.
    c_result!(unsafe {
        let rdev = bindings::fuse_rs_helper_encode_dev(dev);
        make_here::<T>(map, dir, dentry, NewKind::Node(mode, rdev))
    })
}

/// # Safety
///
/// As for [`make`].
unsafe extern "C" fn mkdir<T: DirOperations>(
    map: *mut bindings::mnt_idmap,
    dir: *mut bindings::inode,
    dentry: *mut bindings::dentry,
    mode: u16,
) -> *mut bindings::dentry {
    let perm = mode & !(bindings::S_IFMT as u16);
    // SAFETY: By the safety requirements.
    match unsafe { make::<T>(map, dir, dentry, NewKind::Directory(perm)) } {
        Ok(other) => other,
        Err(error) => error.to_ptr(),
    }
}

/// # Safety
///
/// As for [`make`]; the target is a string.
unsafe extern "C" fn symlink<T: DirOperations>(
    map: *mut bindings::mnt_idmap,
    dir: *mut bindings::inode,
    dentry: *mut bindings::dentry,
    target: *const kernel::ffi::c_char,
) -> i32 {
    // SAFETY: By the safety requirements.
    c_result!(unsafe {
        let target = CStr::from_char_ptr(target).to_bytes();
        make_here::<T>(map, dir, dentry, NewKind::Symlink(target))
    })
}

/// # Safety
///
/// Called by the VFS with an entry of the file system, a directory and a negative entry in it.
unsafe extern "C" fn link<T: DirOperations>(
    old: *mut bindings::dentry,
    dir: *mut bindings::inode,
    dentry: *mut bindings::dentry,
) -> i32 {
    c_result!({
        // SAFETY: By the safety requirements.
        let (old, dir, dentry) = unsafe {
            (
                Dentry::<T>::from_raw(old),
                Inode::<T>::from_raw(dir),
                Dentry::<T>::from_raw(dentry),
            )
        };
        let named = T::link(old.inode().ok_or(ENOENT)?, dir, dentry)?;
        dentry.set_belief(named.belief);
        match named.inode {
            Some(inode) => dentry.instantiate(inode),
            None => dentry.unhash(),
        }
        Ok(0)
    })
}

/// # Safety
///
/// Called by the VFS with a directory of the file system and a positive entry in it.
unsafe extern "C" fn unlink<T: DirOperations>(
    dir: *mut bindings::inode,
    dentry: *mut bindings::dentry,
) -> i32 {
    c_result!({
        // SAFETY: By the safety requirements.
        unsafe { T::unlink(Inode::from_raw(dir), Dentry::from_raw(dentry))? };
        Ok(0)
    })
}

/// # Safety
///
/// As for [`unlink`].
unsafe extern "C" fn rmdir<T: DirOperations>(
    dir: *mut bindings::inode,
    dentry: *mut bindings::dentry,
) -> i32 {
    c_result!({
        // SAFETY: By the safety requirements.
        unsafe { T::rmdir(Inode::from_raw(dir), Dentry::from_raw(dentry))? };
        Ok(0)
    })
}

/// # Safety
///
/// Called by the VFS with the mount's map, two directories of the file system and an entry in each.
unsafe extern "C" fn rename<T: DirOperations>(
    map: *mut bindings::mnt_idmap,
    old_dir: *mut bindings::inode,
    old: *mut bindings::dentry,
    new_dir: *mut bindings::inode,
    new: *mut bindings::dentry,
    flags: u32,
) -> i32 {
    c_result!({
        // SAFETY: By the safety requirements.
        unsafe {
            T::rename(
                IdMap::from_raw(map),
                Inode::from_raw(old_dir),
                Dentry::from_raw(old),
                Inode::from_raw(new_dir),
                Dentry::from_raw(new),
                flags,
            )?
        };
        Ok(0)
    })
}

/// An entry that is to be used instead of the one the VFS has given.
///
/// # Invariants
///
/// Null, or an entry to which the value owns a reference.
struct Instead(*mut bindings::dentry);

impl Instead {
    /// Leaves the file to the VFS, which looks at the entry again and opens it, or says that it
    /// does not exist.
    ///
    /// # Safety
    ///
    /// `file` is being opened by `atomic_open`.
    unsafe fn finish_no_open(self, file: *mut bindings::file) -> Result<i32> {
        let other = core::mem::ManuallyDrop::new(self).0;
        // SAFETY: By the safety requirements. The reference is handed over to the VFS.
        to_result(unsafe { bindings::finish_no_open(file, other) })?;
        Ok(0)
    }
}

impl Drop for Instead {
    fn drop(&mut self) {
        // SAFETY: By the type's invariants; null is left alone.
        unsafe { bindings::dput(self.0) };
    }
}

/// Opens a file that may have to be made, in one step if the file system can.
///
/// # Safety
///
/// Called by the VFS with a directory of the file system, an entry that is negative or in
/// lookup, and a file that is being opened.
unsafe extern "C" fn atomic_open<T: DirOperations>(
    dir: *mut bindings::inode,
    dentry: *mut bindings::dentry,
    file: *mut bindings::file,
    flags: u32,
    mode: u16,
) -> i32 {
    c_result!({
        // SAFETY: By the safety requirements; only an entry in lookup is looked up.
        let other = unsafe {
            if bindings::fuse_rs_helper_d_in_lookup(dentry) {
                look_up::<T>(dir, dentry)?
            } else {
                core::ptr::null_mut()
            }
        };
        // INVARIANT: What `look_up` returns comes with a reference.
        let other = Instead(other);
        let entry = if other.0.is_null() { dentry } else { other.0 };
        // SAFETY: The VFS has a reference to the directory and to the entry it has given, `other`
        // has one to the entry used instead. The latter is of the same file system.
        let (dir_ref, entry_ref) =
            unsafe { (Inode::<T>::from_raw(dir), Dentry::<T>::from_raw(entry)) };
        if flags & bindings::O_CREAT == 0 || entry_ref.inode().is_some() {
            // SAFETY: By the safety requirements.
            return unsafe { other.finish_no_open(file) };
        }
        // SAFETY: The file is not open yet, so its mode is ours to set.
        unsafe { (*file).f_mode |= bindings::FUSE_RS_FMODE_CREATED as u32 };
        // SAFETY: The file has a mount.
        let map = unsafe { bindings::fuse_rs_helper_file_map(file) };
        // SAFETY: The map is valid as long as the mount.
        let map_ref = unsafe { IdMap::from_raw(map) };
        match T::create(dir_ref, entry_ref, map_ref, flags, mode) {
            Ok(created) => {
                // SAFETY: The file is being opened, and the entry is negative. An opened file has
                // a reference of its own to it.
                unsafe { finish(file, entry_ref, created)? };
                Ok(0)
            }
            Err(ENOSYS) => {
                // SAFETY: By the safety requirements. The entry is negative, and stays so until we
                // change it, because the VFS has locked the directory.
                unsafe { make_here::<T>(map, dir, entry, NewKind::Node(mode, 0))? };
                // SAFETY: By the safety requirements.
                unsafe { other.finish_no_open(file) }
            }
            Err(error) => Err(error),
        }
    })
}

/// Connects the entry of a new file, and finishes opening it.
///
/// # Safety
///
/// `file` is being opened, and `entry` is negative.
unsafe fn finish<T: DirOperations>(
    file: *mut bindings::file,
    entry: &Dentry<T>,
    created: Created<T>,
) -> Result {
    entry.set_belief(created.belief);
    entry.instantiate(created.inode);
    // SAFETY: By the safety requirements; the entry was just made positive.
    unsafe { NewFile::<T>::finish_open(file, entry.as_ptr(), created.handle, created.mode) }
}

/// # Safety
///
/// Called by the VFS with the mount's map, a directory of the file system, and a file that is being
/// opened, with a negative entry that is in no directory.
unsafe extern "C" fn tmpfile<T: DirOperations>(
    map: *mut bindings::mnt_idmap,
    dir: *mut bindings::inode,
    file: *mut bindings::file,
    mode: u16,
) -> i32 {
    c_result!({
        // SAFETY: By the safety requirements.
        let (map, dir, entry, flags) = unsafe {
            (
                IdMap::from_raw(map),
                Inode::<T>::from_raw(dir),
                Dentry::<T>::from_raw((*file).__bindgen_anon_1.f_path.dentry),
                (*file).f_flags,
            )
        };
        let created = T::make_nameless(dir, entry, map, flags, mode)?;
        // SAFETY: By the safety requirements.
        unsafe { finish(file, entry, created)? };
        Ok(0)
    })
}
