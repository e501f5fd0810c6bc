// SPDX-License-Identifier: GPL-2.0

//! Directory entries.

use super::inode::Inode;
use super::remembered;
use super::remembered::Remembered;
use super::submount;
use super::super_block::SuperBlock;
use super::FileSystem;
use crate::bindings;
use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::Arc;
use kernel::types::Opaque;

/// A directory entry of file system `T`.
#[repr(transparent)]
pub struct Dentry<T: FileSystem> {
    dentry: Opaque<bindings::dentry>,
    _fs: PhantomData<T>,
}

/// How a path walk wants an entry checked.
#[derive(Clone, Copy, Debug)]
pub struct Walk {
    flags: u32,
}

impl Walk {
    /// The walk must not sleep.
    pub fn is_rcu(self) -> bool {
        self.flags & bindings::FUSE_RS_LOOKUP_RCU as u32 != 0
    }

    /// The caller needs the present truth: it creates exclusively, renames onto the entry, or
    /// found it stale.
    pub fn is_exact(self) -> bool {
        let exact = bindings::FUSE_RS_LOOKUP_EXCL
            | bindings::FUSE_RS_LOOKUP_REVAL
            | bindings::FUSE_RS_LOOKUP_RENAME_TARGET;
        self.flags & exact as u32 != 0
    }
}

/// What a check of an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// The entry is as it was.
    Valid,
    /// The entry must be looked up anew.
    Invalid,
    /// Cannot be told without sleeping.
    NeedSleep,
}

/// How long entries stay valid.
pub trait DentryOperations: FileSystem {
    /// Checks whether `dentry`, named `name` in `dir`, is still valid. May sleep unless the walk
    /// is an RCU walk.
    fn revalidate(
        dir: &Inode<Self>,
        name: &[u8],
        dentry: &Dentry<Self>,
        walk: Walk,
    ) -> Result<Validity>;

    /// Makes the data of an entry that is remembered.
    fn new_entry() -> Self::Entry;

    /// An entry has been made, in a super block that
    /// [remembers](super::super_block::SuperSettings::remembers_entries) them.
    fn entry_made(sb: &SuperBlock<Self>, entry: Arc<Remembered<Self>>);

    /// The entry is gone. Must not sleep.
    fn entry_gone(sb: &SuperBlock<Self>, entry: &Remembered<Self>);
}

impl<T: FileSystem> Dentry<T> {
    /// Wraps a dentry of this file system.
    ///
    /// # Safety
    ///
    /// `dentry` is valid for `'a` and belongs to this file system.
    pub(crate) unsafe fn from_raw<'a>(dentry: *mut bindings::dentry) -> &'a Self {
        // SAFETY: By the safety requirements; the type is transparent.
        unsafe { &*dentry.cast() }
    }

    pub(crate) fn as_ptr(&self) -> *mut bindings::dentry {
        self.dentry.get()
    }

    /// The inode, if the entry is positive.
    ///
    /// The inode stays while the caller may use the dentry: operations hold a reference to it or
    /// are in an RCU section, and freeing waits for those.
    pub fn inode(&self) -> Option<&Inode<T>> {
        // SAFETY: A dentry's inode is read once.
        let inode = unsafe { (&raw const (*self.as_ptr()).d_inode).read_volatile() };
        if inode.is_null() {
            None
        } else {
            // SAFETY: The inode belongs to the same file system.
            Some(unsafe { Inode::from_raw(inode) })
        }
    }

    /// The name.
    ///
    /// To be used where the VFS keeps it from changing: in operations on the entry.
    pub fn name(&self) -> &[u8] {
        // SAFETY: The name is stable by the above, and as long as its length says.
        unsafe {
            let name = &(*self.as_ptr()).__bindgen_anon_1.d_name;
            core::slice::from_raw_parts(
                name.name,
                name.__bindgen_anon_1.__bindgen_anon_1.len as usize,
            )
        }
    }

    /// The super block.
    pub fn super_block(&self) -> &SuperBlock<T> {
        // SAFETY: A dentry's super block outlives it.
        unsafe { SuperBlock::from_raw((*self.as_ptr()).d_sb) }
    }

    /// How long the entry may be believed, as stored: in a form of the file system's.
    #[inline]
    pub fn belief(&self) -> u64 {
        // SAFETY: The field is the file system's; races only give an older or newer value.
        unsafe { (&raw const (*self.as_ptr()).d_time).read_volatile() as u64 }
    }

    /// Stores how long the entry may be believed.
    #[inline]
    pub fn set_belief(&self, belief: u64) {
        // SAFETY: As for `belief`.
        unsafe { (&raw mut (*self.as_ptr()).d_time).write_volatile(belief as usize) };
    }

    /// Makes the entry positive.
    ///
    /// # Context
    ///
    /// In operations that make an inode for a negative entry.
    pub(crate) fn instantiate(&self, inode: ARef<Inode<T>>) {
        let inode = ARef::into_raw(inode);
        // SAFETY: The entry is negative and takes over the reference.
        unsafe { bindings::d_instantiate(self.as_ptr(), inode.as_ref().as_ptr()) };
    }

    /// Takes the entry out of the cache.
    pub fn unhash(&self) {
        // SAFETY: The dentry is valid.
        unsafe { bindings::d_drop(self.as_ptr()) };
    }

    /// Connects a looked-up entry with its inode. Returns the entry to use instead if there is
    /// another one for the inode, and stores the belief in the one that is used.
    pub(crate) fn splice(
        &self,
        inode: Option<ARef<Inode<T>>>,
        belief: u64,
    ) -> Result<*mut bindings::dentry> {
        let inode = match inode {
            Some(inode) => {
                let raw = ARef::into_raw(inode);
                // SAFETY: The reference keeps it valid.
                unsafe { raw.as_ref().as_ptr() }
            }
            None => core::ptr::null_mut(),
        };
        // First, because others find the entry as soon as it is connected. A new entry has the
        // field as the last user of the memory left it.
        self.set_belief(belief);
        // SAFETY: The entry is in lookup or unhashed, and the reference to the inode is taken
        // over.
        let other = unsafe { bindings::d_splice_alias(inode, self.as_ptr()) };
        let other = kernel::error::from_err_ptr(other)?;
        if let Some(other) = NonNull::new(other) {
            // SAFETY: The entry comes with a reference and is of the same file system.
            unsafe { Self::from_raw(other.as_ptr()) }.set_belief(belief);
        }
        Ok(other)
    }
}

/// An entry of a directory that is being listed.
pub enum Child<T: FileSystem> {
    /// One that is known.
    Known(KnownChild<T>),
    /// One that nobody has looked up; others who do wait.
    New(NewChild<T>),
}

/// An entry that is known. Owns a reference.
pub struct KnownChild<T: FileSystem>(NonNull<bindings::dentry>, PhantomData<T>);

/// An entry in lookup. Owns a reference; dropping it ends the lookup without a result.
pub struct NewChild<T: FileSystem>(NonNull<bindings::dentry>, PhantomData<T>);

impl<T: FileSystem> KnownChild<T> {
    /// The entry.
    pub fn dentry(&self) -> &Dentry<T> {
        // SAFETY: We own a reference.
        unsafe { Dentry::from_raw(self.0.as_ptr()) }
    }

    /// It is wrong: forgets it, and what is known below it.
    ///
    /// # Context
    ///
    /// May sleep.
    pub fn invalidate(&self) {
        // SAFETY: We own a reference.
        unsafe { bindings::d_invalidate(self.0.as_ptr()) };
    }

    /// What the entry names has been removed behind our back: makes it so here, too. The caller
    /// holds the lock of the directory. `expected` says whether the inode is the right one.
    ///
    /// # Context
    ///
    /// May sleep.
    ///
    /// # Errors
    ///
    /// `EINTR` when the caller is killed; `ENOENT` for another inode or none, `EBUSY` for a mount
    /// point, `ENOTEMPTY` for a directory with entries that are in use.
    pub fn remove(&self, expected: impl FnOnce(&Inode<T>) -> bool) -> Result {
        let entry = self.0.as_ptr();
        let inode = self.dentry().inode().ok_or(ENOENT)?;
        if !expected(inode) {
            return Err(ENOENT);
        }
        // SAFETY: We own a reference to the entry; with its directory locked it stays positive.
        // The inode is locked for its count and flags, and the entry is deleted afterwards.
        unsafe {
            kernel::error::to_result(bindings::fuse_rs_helper_inode_lock_killable(inode.as_ptr()))?;
            let removed = if bindings::fuse_rs_helper_d_mountpoint(entry) {
                Err(EBUSY)
            } else if inode.is_directory() && {
                bindings::shrink_dcache_parent(entry);
                bindings::simple_empty(entry) == 0
            } {
                Err(ENOTEMPTY)
            } else {
                if inode.is_directory() {
                    (*inode.as_ptr()).i_flags |= bindings::FUSE_RS_S_DEAD as u32;
                }
                bindings::fuse_rs_helper_dont_mount(entry);
                bindings::clear_nlink(inode.as_ptr());
                Ok(())
            };
            bindings::fuse_rs_helper_inode_unlock(inode.as_ptr());
            if removed.is_ok() {
                bindings::d_delete(entry);
            }
            removed
        }
    }
}

impl<T: FileSystem> Drop for KnownChild<T> {
    fn drop(&mut self) {
        // SAFETY: We give our reference up.
        unsafe { bindings::dput(self.0.as_ptr()) };
    }
}

impl<T: FileSystem> NewChild<T> {
    /// It names `inode`, which may be believed as `belief` says.
    ///
    /// # Context
    ///
    /// May sleep.
    pub fn connect(self, inode: ARef<Inode<T>>, belief: u64) -> Result {
        // SAFETY: We own a reference.
        let dentry = unsafe { Dentry::<T>::from_raw(self.0.as_ptr()) };
        let other = dentry.splice(Some(inode), belief)?;
        if !other.is_null() {
            // SAFETY: It came with a reference.
            unsafe { bindings::dput(other) };
        }
        Ok(())
    }
}

impl<T: FileSystem> Drop for NewChild<T> {
    fn drop(&mut self) {
        // SAFETY: The entry is in lookup, or has just been connected; both end here, and so does
        // our reference.
        unsafe {
            bindings::fuse_rs_helper_d_lookup_done(self.0.as_ptr());
            bindings::dput(self.0.as_ptr());
        }
    }
}

impl<T: FileSystem> Dentry<T> {
    /// The entry `name` of the directory `self`, if it is cached.
    fn cached_child(&self, name: &[u8]) -> Result<Option<KnownChild<T>>> {
        let len = u32::try_from(name.len()).map_err(|_| EINVAL)?;
        // SAFETY: The dentry is valid, and the name as long as said.
        let dentry = unsafe {
            let mut q = core::mem::MaybeUninit::<bindings::qstr>::zeroed();
            bindings::fuse_rs_helper_qstr(q.as_mut_ptr(), self.as_ptr(), name.as_ptr().cast(), len);
            bindings::d_lookup(self.as_ptr(), q.as_ptr())
        };
        Ok(NonNull::new(dentry).map(|owned| KnownChild(owned, PhantomData)))
    }

    /// The entry `name` of the directory `self`, which is being listed: the caller holds the
    /// lock of the directory.
    ///
    /// # Context
    ///
    /// May sleep, also for others who look the name up.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINVAL` for a name that is too long.
    pub(crate) fn child(&self, name: &[u8]) -> Result<Child<T>> {
        let len = u32::try_from(name.len()).map_err(|_| EINVAL)?;
        // SAFETY: The dentry is valid, and the name as long as said; the kernel copies it.
        unsafe {
            let mut q = core::mem::MaybeUninit::<bindings::qstr>::zeroed();
            bindings::fuse_rs_helper_qstr(q.as_mut_ptr(), self.as_ptr(), name.as_ptr().cast(), len);
            let mut dentry = bindings::d_lookup(self.as_ptr(), q.as_ptr());
            if dentry.is_null() {
                dentry = kernel::error::from_err_ptr(bindings::d_alloc_parallel(
                    self.as_ptr(),
                    q.as_ptr(),
                ))?;
            }
            let owned = NonNull::new(dentry).ok_or(ENOMEM)?;
            if bindings::fuse_rs_helper_d_in_lookup(dentry) {
                Ok(Child::New(NewChild(owned, PhantomData)))
            } else {
                Ok(Child::Known(KnownChild(owned, PhantomData)))
            }
        }
    }
}

impl<T: FileSystem> SuperBlock<T> {
    /// Forgets all entries that nobody uses.
    ///
    /// # Context
    ///
    /// May sleep. The super block is not being shut down.
    pub fn drop_unused_names(&self) {
        // SAFETY: The super block is live.
        unsafe { bindings::shrink_dcache_sb(self.as_ptr()) };
    }
}

impl<T: FileSystem> Inode<T> {
    /// Forgets all entries for this inode that nobody uses.
    ///
    /// # Context
    ///
    /// May sleep.
    pub fn drop_unused_names(&self) {
        // SAFETY: The inode is valid.
        unsafe { bindings::d_prune_aliases(self.as_ptr()) };
    }

    /// Lets `change` have the cached entry `name` of this directory, which is locked meanwhile.
    ///
    /// # Context
    ///
    /// May sleep.
    ///
    /// # Errors
    ///
    /// `EINTR` when the caller is killed; `ENOTDIR`; `ENOENT` if there is no such entry.
    pub fn with_cached_child<R>(
        &self,
        name: &[u8],
        change: impl FnOnce(KnownChild<T>) -> Result<R>,
    ) -> Result<R> {
        if !self.is_directory() {
            return Err(ENOTDIR);
        }
        let _lock = self.lock_as_parent()?;
        // SAFETY: The inode is valid; an alias comes with a reference, which is given up below.
        let dir = unsafe { bindings::d_find_alias(self.as_ptr()) };
        let dir = NonNull::new(dir).ok_or(ENOENT)?;
        let alias = KnownChild::<T>(dir, PhantomData);
        let child = alias.dentry().cached_child(name)?;
        drop(alias);
        change(child.ok_or(ENOENT)?)
    }
}

/// The table of C callbacks.
pub(crate) struct DentryTable<T>(PhantomData<T>);

impl<T: DentryOperations> DentryTable<T> {
    const TABLE: bindings::dentry_operations = bindings::dentry_operations {
        d_revalidate: Some(revalidate::<T>),
        d_automount: Some(submount::automount),
        ..pin_init::zeroed()
    };

    const REMEMBERING: bindings::dentry_operations = bindings::dentry_operations {
        d_init: Some(remembered::init::<T>),
        d_release: Some(remembered::release::<T>),
        ..Self::TABLE
    };

    /// The table of a super block that remembers entries, or not.
    pub(crate) const fn get(remembers: bool) -> &'static bindings::dentry_operations {
        if remembers {
            &Self::REMEMBERING
        } else {
            &Self::TABLE
        }
    }
}

/// # Safety
///
/// Called by the VFS with an entry of the file system, its directory, and its name as of the
/// walk.
unsafe extern "C" fn revalidate<T: DentryOperations>(
    dir: *mut bindings::inode,
    name: *const bindings::qstr,
    dentry: *mut bindings::dentry,
    flags: u32,
) -> i32 {
    c_result!({
        // SAFETY: By the safety requirements.
        let (dir, dentry, name) = unsafe {
            (
                Inode::<T>::from_raw(dir),
                Dentry::<T>::from_raw(dentry),
                core::slice::from_raw_parts(
                    (*name).name,
                    (*name).__bindgen_anon_1.__bindgen_anon_1.len as usize,
                ),
            )
        };
        match T::revalidate(dir, name, dentry, Walk { flags })? {
            Validity::Valid => Ok(1),
            Validity::Invalid => Ok(0),
            Validity::NeedSleep => Err(ECHILD),
        }
    })
}
