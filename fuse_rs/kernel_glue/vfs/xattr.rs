// SPDX-License-Identifier: GPL-2.0

//! Extended attributes, and access control lists, which are stored as such.

use super::dentry::Dentry;
use super::inode::Inode;
use super::FileSystem;
use crate::bindings;
use crate::mem::pages::PAGE_SIZE;
use core::ffi::c_void;
use core::marker::PhantomData;
use kernel::prelude::*;
use kernel::str::CStr;

/// Where a value, or a list of names, goes.
pub struct XattrBuffer<'a> {
    address: *mut u8,
    size: usize,
    _borrow: PhantomData<&'a mut [u8]>,
}

impl<'a> XattrBuffer<'a> {
    /// Wraps the arguments of a callback.
    ///
    /// # Safety
    ///
    /// For `'a`, nobody else uses the `size` bytes at `address`, which can be written to.
    unsafe fn from_raw(address: *mut c_void, size: usize) -> Self {
        Self {
            address: address.cast(),
            size,
            _borrow: PhantomData,
        }
    }

    fn new(bytes: &'a mut [u8]) -> Self {
        Self {
            address: bytes.as_mut_ptr(),
            size: bytes.len(),
            _borrow: PhantomData,
        }
    }

    /// Bytes there is room for. If there is none, the caller asks for the size only.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Stores `bytes`, and returns how many those are.
    ///
    /// # Errors
    ///
    /// `ERANGE` when there is no room for them.
    pub fn put(self, bytes: &[u8]) -> Result<usize> {
        if bytes.len() > self.size {
            return Err(ERANGE);
        }
        // SAFETY: There is room for them, which nobody else uses.
        unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), self.address, bytes.len()) };
        Ok(bytes.len())
    }
}

/// The name of an attribute, of which nobody has looked at the length yet.
pub struct LazyName<'a>(*const kernel::ffi::c_char, PhantomData<&'a CStr>);

impl<'a> LazyName<'a> {
    /// It, complete and not empty.
    pub fn bytes(&self) -> &'a [u8] {
        // SAFETY: It wraps a string that lives for `'a`.
        unsafe { CStr::from_char_ptr(self.0) }.to_bytes()
    }
}

/// Operations on extended attributes. Names are complete and not empty. All may sleep.
pub trait XattrOperations: FileSystem {
    /// Reads an attribute; returns its size. Called at each write if the file system has not said that
    /// it will have no attributes.
    fn get_xattr(inode: &Inode<Self>, name: LazyName<'_>, to: XattrBuffer<'_>) -> Result<usize>;

    /// Sets an attribute; `flags` as for setxattr(2). The caller holds the inode's lock.
    fn set_xattr(inode: &Inode<Self>, name: &[u8], value: &[u8], flags: u32) -> Result;

    /// Removes an attribute. The caller holds the inode's lock.
    fn remove_xattr(inode: &Inode<Self>, name: &[u8]) -> Result;

    /// Lists the names, each ended by a NUL; returns the size of the list.
    fn list_xattrs(inode: &Inode<Self>, to: XattrBuffer<'_>) -> Result<usize>;

    /// Reads an access control list, which is an attribute of this name; no bytes if there is
    /// none.
    fn get_acl(inode: &Inode<Self>, name: &[u8], to: XattrBuffer<'_>) -> Result<usize>;

    /// Whether the kernel judges by access control lists, which it then keeps in memory until
    /// [`Inode::forget_acls`].
    fn judges_by_acls(inode: &Inode<Self>) -> bool;

    /// Sets an access control list, or removes it. `is_member`: the caller is in the inode's group,
    /// or may do as if he were. The caller holds the inode's lock.
    fn set_acl(inode: &Inode<Self>, name: &[u8], value: Option<&[u8]>, is_member: bool) -> Result;
}

/// The table of handlers: one, for all names.
pub(crate) struct HandlerTable<T>(PhantomData<T>);

impl<T: XattrOperations> HandlerTable<T> {
    const HANDLER: bindings::xattr_handler = bindings::xattr_handler {
        // An empty string.
        prefix: core::ptr::from_ref(&0u8),
        get: Some(get::<T>),
        set: Some(set::<T>),
        ..pin_init::zeroed()
    };

    const TABLE: [*const bindings::xattr_handler; 2] = [&Self::HANDLER, core::ptr::null()];

    pub(crate) const fn get() -> *const *const bindings::xattr_handler {
        let table: &'static [*const bindings::xattr_handler; 2] = &Self::TABLE;
        table.as_ptr()
    }
}

/// # Safety
///
/// Called by the VFS with an inode of the file system, a name, and a buffer of this size.
unsafe extern "C" fn get<T: XattrOperations>(
    _handler: *const bindings::xattr_handler,
    _dentry: *mut bindings::dentry,
    inode: *mut bindings::inode,
    name: *const kernel::ffi::c_char,
    buffer: *mut c_void,
    size: usize,
) -> i32 {
    c_result!({
        // SAFETY: By the safety requirements.
        let (inode, to) = unsafe {
            (
                Inode::<T>::from_raw(inode),
                XattrBuffer::from_raw(buffer, size),
            )
        };
        length(T::get_xattr(inode, LazyName(name, PhantomData), to)?)
    })
}

/// # Safety
///
/// Called by the VFS with a locked inode of the file system, a name, and a value of this size or
/// none.
unsafe extern "C" fn set<T: XattrOperations>(
    _handler: *const bindings::xattr_handler,
    _map: *mut bindings::mnt_idmap,
    _dentry: *mut bindings::dentry,
    inode: *mut bindings::inode,
    name: *const kernel::ffi::c_char,
    value: *const c_void,
    size: usize,
    flags: i32,
) -> i32 {
    c_result!({
        // SAFETY: By the safety requirements; the name is a string.
        let (inode, name) = unsafe { (Inode::<T>::from_raw(inode), CStr::from_char_ptr(name)) };
        if value.is_null() {
            T::remove_xattr(inode, name.to_bytes())?;
        } else {
            // SAFETY: By the safety requirements.
            let value = unsafe { core::slice::from_raw_parts(value.cast(), size) };
            T::set_xattr(inode, name.to_bytes(), value, flags as u32)?;
        }
        Ok(0)
    })
}

/// # Safety
///
/// Called by the VFS with an entry of the file system and a buffer of this size.
pub(crate) unsafe extern "C" fn listxattr<T: XattrOperations>(
    dentry: *mut bindings::dentry,
    list: *mut kernel::ffi::c_char,
    size: usize,
) -> isize {
    c_result!({
        // SAFETY: By the safety requirements.
        let (entry, to) = unsafe {
            (
                Dentry::<T>::from_raw(dentry),
                XattrBuffer::from_raw(list.cast(), size),
            )
        };
        Ok(length(T::list_xattrs(entry.inode().ok_or(ENOENT)?, to)?)? as isize)
    })
}

fn length(len: usize) -> Result<i32> {
    i32::try_from(len).map_err(|_| E2BIG)
}

/// The attribute that holds a list, by the kind the kernel gives.
fn acl_name(kind: i32) -> Result<&'static [u8]> {
    match kind as u32 {
        bindings::ACL_TYPE_ACCESS => Ok(b"system.posix_acl_access"),
        bindings::ACL_TYPE_DEFAULT => Ok(b"system.posix_acl_default"),
        _ => Err(EOPNOTSUPP),
    }
}

/// The list for checks of permission.
///
/// # Safety
///
/// Called by the VFS with an inode of the file system, in an RCU section if `rcu`.
pub(crate) unsafe extern "C" fn get_inode_acl<T: XattrOperations>(
    inode: *mut bindings::inode,
    kind: i32,
    rcu: bool,
) -> *mut bindings::posix_acl {
    // SAFETY: By the safety requirements.
    let inode = unsafe { Inode::<T>::from_raw(inode) };
    if !T::judges_by_acls(inode) {
        return core::ptr::null_mut();
    }
    if rcu {
        return ECHILD.to_ptr();
    }
    match read_acl(inode, kind) {
        Ok(acl) => acl,
        Err(error) => error.to_ptr(),
    }
}

/// # Safety
///
/// Called by the VFS with an entry of the file system.
pub(crate) unsafe extern "C" fn get_acl<T: XattrOperations>(
    _map: *mut bindings::mnt_idmap,
    dentry: *mut bindings::dentry,
    kind: i32,
) -> *mut bindings::posix_acl {
    // SAFETY: By the safety requirements.
    let dentry = unsafe { Dentry::<T>::from_raw(dentry) };
    match dentry
        .inode()
        .ok_or(ENOENT)
        .and_then(|inode| read_acl(inode, kind))
    {
        Ok(acl) => acl,
        Err(error) => error.to_ptr(),
    }
}

fn read_acl<T: XattrOperations>(inode: &Inode<T>, kind: i32) -> Result<*mut bindings::posix_acl> {
    let mut value = KVec::from_elem(0u8, PAGE_SIZE, GFP_KERNEL)?;
    let len = match T::get_acl(inode, acl_name(kind)?, XattrBuffer::new(&mut value)) {
        Ok(0) | Err(ENODATA) => return Ok(core::ptr::null_mut()),
        // Larger than a page.
        Err(ERANGE) => return Err(E2BIG),
        other => other?,
    };
    let value = value.get(..len).ok_or(EIO)?;
    // SAFETY: The value is as long as said, and an inode's super block has a user namespace.
    kernel::error::from_err_ptr(unsafe {
        let ns = (*(*inode.as_ptr()).i_sb).s_user_ns;
        bindings::posix_acl_from_xattr(ns, value.as_ptr().cast(), value.len())
    })
}

/// # Safety
///
/// Called by the VFS with an entry of the file system, the inode of which is locked, and a list or
/// none.
pub(crate) unsafe extern "C" fn set_acl<T: XattrOperations>(
    map: *mut bindings::mnt_idmap,
    dentry: *mut bindings::dentry,
    acl: *mut bindings::posix_acl,
    kind: i32,
) -> i32 {
    c_result!({
        // SAFETY: By the safety requirements.
        let inode = unsafe { Dentry::<T>::from_raw(dentry) }
            .inode()
            .ok_or(ENOENT)?;
        let name = acl_name(kind)?;
        // SAFETY: By the safety requirements.
        let is_member = unsafe { bindings::fuse_rs_helper_is_member(map, inode.as_ptr()) };
        if acl.is_null() {
            T::set_acl(inode, name, None, is_member)?;
            return Ok(0);
        }
        let mut size = 0;
        // SAFETY: The list is valid, and an inode's super block has a user namespace.
        let value = unsafe {
            let ns = (*(*inode.as_ptr()).i_sb).s_user_ns;
            bindings::posix_acl_to_xattr(ns, acl, &mut size, bindings::GFP_KERNEL)
        };
        if value.is_null() {
            return Err(ENOMEM);
        }
        let done = if size > PAGE_SIZE {
            // It could not be read back.
            Err(E2BIG)
        } else {
            // SAFETY: As long as said, and nobody else has it.
            let bytes = unsafe { core::slice::from_raw_parts(value.cast(), size) };
            T::set_acl(inode, name, Some(bytes), is_member)
        };
        // SAFETY: The value was allocated for us.
        unsafe { bindings::kfree(value) };
        done.map(|()| 0)
    })
}
