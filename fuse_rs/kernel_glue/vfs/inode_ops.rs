// SPDX-License-Identifier: GPL-2.0

//! Operations that every inode has, and those of symbolic links.

use super::attributes::without_set_ids;
use super::attributes::NewAttributes;
use super::attributes::Timestamp;
use super::caller::known;
use super::caller::Gid;
use super::caller::Uid;
use super::caller::UserNamespace;
use super::dentry::Dentry;
use super::file::OpenFileRef;
use super::inode::Inode;
use super::ioctl;
use super::ioctl::IoctlOperations;
use super::xattr;
use super::xattr::XattrOperations;
use super::FileSystem;
use crate::bindings;
use core::marker::PhantomData;
use kernel::error::to_result;
use kernel::prelude::*;

/// How the caller wants to use an inode.
#[derive(Clone, Copy, Debug)]
pub struct AccessMask {
    mask: i32,
}

impl AccessMask {
    /// Whether the check must not sleep.
    pub fn must_not_sleep(self) -> bool {
        self.mask & bindings::FUSE_RS_MAY_NOT_BLOCK as i32 != 0
    }

    /// Whether execution (or search) is asked for.
    pub fn executes(self) -> bool {
        self.mask & bindings::MAY_EXEC as i32 != 0
    }

    /// Whether this is access(2) or chdir(2), which have no other operation behind them.
    pub fn is_access_or_chdir(self) -> bool {
        self.mask & (bindings::MAY_ACCESS | bindings::MAY_CHDIR) as i32 != 0
    }

    /// The bits of access(2): read 4, write 2, execute 1.
    pub fn rwx(self) -> u32 {
        self.mask as u32 & (bindings::MAY_READ | bindings::MAY_WRITE | bindings::MAY_EXEC)
    }
}

/// The identities of a mount, through which operations see ids.
#[derive(Clone, Copy)]
pub struct IdMap<'a> {
    map: *mut bindings::mnt_idmap,
    _borrow: PhantomData<&'a ()>,
}

impl IdMap<'_> {
    /// Wraps an id map.
    ///
    /// # Safety
    ///
    /// `map` is valid for the value's lifetime.
    pub(crate) unsafe fn from_raw(map: *mut bindings::mnt_idmap) -> Self {
        Self {
            map,
            _borrow: PhantomData,
        }
    }

    /// The number in `ns`, the file system's, of the user to whom an inode is to belong that the
    /// caller makes, if he has one.
    pub fn caller_uid(&self, ns: &UserNamespace) -> Option<u32> {
        // SAFETY: Both are valid.
        known(unsafe { bindings::fuse_rs_helper_mapped_fsuid(self.map, ns.as_ptr()) })
    }

    /// The same of the group.
    pub fn caller_gid(&self, ns: &UserNamespace) -> Option<u32> {
        // SAFETY: Both are valid.
        known(unsafe { bindings::fuse_rs_helper_mapped_fsgid(self.map, ns.as_ptr()) })
    }

    /// Whether the caller is in the group of the inode.
    pub fn is_in_group<T: FileSystem>(&self, inode: &Inode<T>) -> bool {
        // SAFETY: Both are valid.
        unsafe { bindings::fuse_rs_helper_is_in_group(self.map, inode.as_ptr()) }
    }

    /// The file system's id of an owner of `inode` as the mount shows it.
    fn uid<T: FileSystem>(&self, inode: &Inode<T>, shown: bindings::vfsuid_t) -> Uid {
        // SAFETY: Both are valid; a super block has a user namespace.
        Uid(unsafe {
            let ns = (*(*inode.as_ptr()).i_sb).s_user_ns;
            bindings::from_vfsuid(self.map, ns, shown)
        })
    }

    /// The same of a group.
    fn gid<T: FileSystem>(&self, inode: &Inode<T>, shown: bindings::vfsgid_t) -> Gid {
        // SAFETY: Both are valid; a super block has a user namespace.
        Gid(unsafe {
            let ns = (*(*inode.as_ptr()).i_sb).s_user_ns;
            bindings::from_vfsgid(self.map, ns, shown)
        })
    }

    /// The usual check by mode, owner and capabilities.
    pub fn check_by_mode<T: FileSystem>(&self, inode: &Inode<T>, mask: AccessMask) -> Result {
        // SAFETY: Both are valid.
        to_result(unsafe { bindings::generic_permission(self.map, inode.as_ptr(), mask.mask) })
    }
}

/// What attributes a getattr wants.
#[derive(Clone, Copy, Debug)]
pub struct StatRequest {
    mask: u32,
    flags: u32,
}

impl StatRequest {
    /// The caller wants the present truth from wherever it is.
    pub fn force_sync(self) -> bool {
        self.flags & bindings::AT_STATX_SYNC_TYPE == bindings::AT_STATX_FORCE_SYNC
    }

    /// The caller is content with what is cached.
    pub fn dont_sync(self) -> bool {
        self.flags & bindings::AT_STATX_SYNC_TYPE == bindings::AT_STATX_DONT_SYNC
    }

    /// Nothing at all is asked for.
    pub fn wants_nothing(self) -> bool {
        self.mask == 0
    }

    /// What is asked for (`STATX_*`).
    pub fn fields(self) -> u32 {
        self.mask
    }

    /// The time the inode was made is asked for.
    pub fn wants_birth(self) -> bool {
        self.mask & bindings::STATX_BTIME != 0
    }
}

/// What a getattr reports beyond what is in the inode.
#[derive(Clone, Copy, Debug, Default)]
pub struct StatExtra {
    /// Inode number.
    pub ino: u64,
    /// Preferred block size; zero for the mount's.
    pub block_size: u32,
    /// Permission bits.
    pub perm: u16,
    /// When the inode was made, if that is known.
    pub birth: Option<Timestamp>,
}

/// Operations of every inode.
pub trait InodeOperations: IoctlOperations + XattrOperations {
    /// Makes the inode's attributes as fresh as the request wants. May sleep.
    ///
    /// `None` tells the caller nothing but the device the inode is on.
    fn getattr(inode: &Inode<Self>, request: StatRequest) -> Result<Option<StatExtra>>;

    /// Whether the mode is checked by the kernel before attributes are changed.
    fn checks_by_mode(inode: &Inode<Self>) -> bool;

    /// Whether set-id bits are dropped wherever the inode is, without being asked for a new mode.
    fn drops_set_ids(inode: &Inode<Self>) -> bool;

    /// The mode as it is at this moment, from wherever it is. `file` is an open file of the inode,
    /// if there is one. The caller holds the inode's lock. May sleep.
    fn present_mode(inode: &Inode<Self>, file: Option<&Self::Handle>) -> Result<u16>;

    /// Whether the kernel changes the times of this inode when the content is written to.
    fn keeps_times(inode: &Inode<Self>) -> bool;

    /// Changes attributes. The caller holds the inode's lock. `file` is the open file through
    /// which the size changes.
    fn setattr(dentry: &Dentry<Self>, attr: &NewAttributes, file: Option<&Self::Handle>) -> Result;

    /// Whether the caller may do this.
    fn permission(inode: &Inode<Self>, map: IdMap<'_>, mask: AccessMask) -> Result;

    /// Reads a symbolic link: the target without NUL, not empty. May sleep.
    fn readlink(inode: &Inode<Self>) -> Result<KVec<u8>>;

    /// Whether a target that was kept ([`Inode::keep_target`]) may be used. Must not sleep.
    fn may_use_kept_target(inode: &Inode<Self>) -> bool;
}

/// The table of C callbacks of files that are neither directories nor symbolic links.
pub(crate) struct FileTable<T>(PhantomData<T>);

impl<T: InodeOperations> FileTable<T> {
    const TABLE: bindings::inode_operations = bindings::inode_operations {
        getattr: Some(getattr::<T>),
        setattr: Some(setattr::<T>),
        permission: Some(permission::<T>),
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

/// The table of C callbacks of symbolic links.
pub(crate) struct SymlinkTable<T>(PhantomData<T>);

impl<T: InodeOperations> SymlinkTable<T> {
    const TABLE: bindings::inode_operations = bindings::inode_operations {
        get_link: Some(get_link::<T>),
        getattr: Some(getattr::<T>),
        setattr: Some(setattr::<T>),
        listxattr: Some(xattr::listxattr::<T>),
        get_inode_acl: Some(xattr::get_inode_acl::<T>),
        ..pin_init::zeroed()
    };

    pub(crate) const fn get() -> &'static bindings::inode_operations {
        &Self::TABLE
    }
}

/// # Safety
///
/// Called by the VFS with a path of the file system.
pub(crate) unsafe extern "C" fn getattr<T: InodeOperations>(
    map: *mut bindings::mnt_idmap,
    path: *const bindings::path,
    stat: *mut bindings::kstat,
    mask: u32,
    flags: u32,
) -> i32 {
    c_result!({
        // SAFETY: By the safety requirements; the path is positive.
        let inode = unsafe { Inode::<T>::from_raw((*(*path).dentry).d_inode) };
        let Some(extra) = T::getattr(inode, StatRequest { mask, flags })? else {
            // SAFETY: The VFS gives a structure to fill, and an inode has a super block.
            unsafe {
                (*stat).result_mask = 0;
                (*stat).dev = (*(*inode.as_ptr()).i_sb).s_dev;
            }
            return Ok(0);
        };
        // SAFETY: The VFS gives a structure to fill.
        unsafe {
            bindings::generic_fillattr(map, mask, inode.as_ptr(), stat);
            (*stat).ino = extra.ino;
            (*stat).mode = (*stat).mode & bindings::S_IFMT as u16 | extra.perm & 0o7777;
            if let Some(birth) = extra.birth {
                (*stat).btime = birth.to_c();
                (*stat).result_mask |= bindings::STATX_BTIME;
            }
            if extra.block_size != 0 {
                (*stat).blksize = extra.block_size;
            }
        }
        Ok(0)
    })
}

/// # Safety
///
/// Called by the VFS with a dentry of the file system.
pub(crate) unsafe extern "C" fn setattr<T: InodeOperations>(
    map: *mut bindings::mnt_idmap,
    dentry: *mut bindings::dentry,
    attr: *mut bindings::iattr,
) -> i32 {
    c_result!({
        // SAFETY: By the safety requirements; the structure is the caller's copy.
        let (entry, attr) = unsafe { (Dentry::<T>::from_raw(dentry), &mut *attr) };
        let inode = entry.inode().ok_or(ENOENT)?;
        let file = if attr.ia_valid & bindings::ATTR_FILE != 0 {
            // SAFETY: With this flag the file is valid and of this inode.
            Some(unsafe { OpenFileRef::<T>::from_raw(attr.ia_file) })
        } else {
            None
        };
        let handle = file.as_ref().and_then(|file| file.handle());
        if attr.ia_valid & (bindings::ATTR_KILL_SUID | bindings::ATTR_KILL_SGID) != 0 {
            kill_set_ids(inode, handle, attr)?;
        }
        if !T::checks_by_mode(inode) {
            // Whoever serves the file system decides.
            attr.ia_valid |= bindings::ATTR_FORCE;
        }
        // SAFETY: All arguments are valid.
        to_result(unsafe { bindings::setattr_prepare(map, dentry, attr) })?;
        // SAFETY: By the safety requirements.
        let map = unsafe { IdMap::from_raw(map) };
        // SAFETY: The VFS gives ids as the mount shows them.
        let (uid, gid) = unsafe {
            (
                attr.__bindgen_anon_1.ia_vfsuid,
                attr.__bindgen_anon_2.ia_vfsgid,
            )
        };
        let new = NewAttributes::from_c(attr, map.uid(inode, uid), map.gid(inode, gid));
        if !new.is_empty() {
            T::setattr(entry, &new, handle)?;
        }
        Ok(0)
    })
}

/// Turns a wish to drop set-id bits into a new mode, if that is for us to do.
///
/// What the VFS has made of it comes from a mode that may be out of date: the bits may have been
/// set since, and other bits must not be set back.
fn kill_set_ids<T: InodeOperations>(
    inode: &Inode<T>,
    file: Option<&T::Handle>,
    attr: &mut bindings::iattr,
) -> Result {
    attr.ia_valid &= !(bindings::ATTR_KILL_SUID | bindings::ATTR_KILL_SGID | bindings::ATTR_MODE);
    if T::drops_set_ids(inode) {
        return Ok(());
    }
    let mode = T::present_mode(inode, file)?;
    let new = without_set_ids(mode);
    if new != mode {
        attr.ia_valid |= bindings::ATTR_MODE;
        attr.ia_mode = new;
    }
    Ok(())
}

/// # Safety
///
/// Called by the VFS with an inode of the file system, possibly in an RCU section.
pub(crate) unsafe extern "C" fn permission<T: InodeOperations>(
    map: *mut bindings::mnt_idmap,
    inode: *mut bindings::inode,
    mask: i32,
) -> i32 {
    c_result!({
        // SAFETY: By the safety requirements.
        let (inode, map) = unsafe { (Inode::<T>::from_raw(inode), IdMap::from_raw(map)) };
        T::permission(inode, map, AccessMask { mask })?;
        Ok(0)
    })
}

/// # Safety
///
/// Called by the VFS with a symbolic link of the file system.
unsafe extern "C" fn get_link<T: InodeOperations>(
    dentry: *mut bindings::dentry,
    inode: *mut bindings::inode,
    done: *mut bindings::delayed_call,
) -> *const kernel::ffi::c_char {
    // SAFETY: By the safety requirements.
    let link = unsafe { Inode::<T>::from_raw(inode) };
    if T::may_use_kept_target(link) {
        // SAFETY: By the safety requirements.
        if let Some(target) = unsafe { link.kept_target(done) } {
            return target;
        }
    }
    if dentry.is_null() {
        // An RCU walk: it must not sleep.
        return ECHILD.to_ptr();
    }
    let target = match T::readlink(link) {
        Ok(target) => target,
        Err(error) => return error.to_ptr(),
    };
    // SAFETY: Copies the bytes and a NUL into memory that `done` frees.
    unsafe {
        let text =
            bindings::kmemdup_nul(target.as_ptr().cast(), target.len(), bindings::GFP_KERNEL);
        if text.is_null() {
            return ENOMEM.to_ptr();
        }
        bindings::fuse_rs_helper_set_delayed_kfree(done, text.cast());
        text
    }
}
