// SPDX-License-Identifier: GPL-2.0

//! Types of file systems.

use super::context::MountOperations;
use super::super_block::drop_data;
use super::super_block::SuperBlock;
use super::super_block::SuperOperations;
use super::FileSystem;
use crate::bindings;
use core::marker::PhantomData;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::atomic::Atomic;
use kernel::sync::atomic::Full;
use kernel::sync::atomic::Relaxed;
use kernel::sync::Arc;
use kernel::types::Opaque;

/// The place of a type in the memory of the module, with what all its mounts share. Lockdep takes
/// the classes of super blocks' and inodes' locks from there, and demands that they are static.
///
/// # Invariants
///
/// `shared` came from `Arc::into_raw`, or is null while the type is not registered.
pub(crate) struct TypeSlot<S> {
    fs_type: Opaque<bindings::file_system_type>,
    shared: Atomic<usize>,
    _shared: PhantomData<Arc<S>>,
}

// SAFETY: What is shared may be used on any thread; the type is the VFS's while it is registered.
unsafe impl<S: Send + Sync> Sync for TypeSlot<S> {}

impl<S> TypeSlot<S> {
    /// Not registered.
    pub(crate) const fn new() -> Self {
        // INVARIANT: Null, and not registered.
        Self {
            fs_type: Opaque::zeroed(),
            shared: Atomic::new(0),
            _shared: PhantomData,
        }
    }

    /// Registers the type as `name`. `fill` sets what is not zero besides name and owner.
    ///
    /// # Errors
    ///
    /// `EBUSY` when the name is taken, or the slot.
    ///
    /// # Safety
    ///
    /// The callbacks that `fill` sets fit the slot.
    pub(crate) unsafe fn register(
        &'static self,
        name: &'static CStr,
        module: &'static ThisModule,
        shared: Arc<S>,
        fill: impl FnOnce(&mut bindings::file_system_type),
    ) -> Result<Registered<S>> {
        let shared = Arc::into_raw(shared);
        if self.shared.cmpxchg(0, shared as usize, Full).is_err() {
            // SAFETY: It came from `Arc::into_raw` above and was not kept.
            drop(unsafe { Arc::from_raw(shared) });
            return Err(EBUSY);
        }
        // From here on, dropping it undoes what was done.
        let registered = Registered(self);
        // SAFETY: The slot was not in use, so nobody else has access to it.
        let fs_type = unsafe { &mut *self.fs_type.get() };
        *fs_type = pin_init::zeroed();
        fs_type.name = name.as_char_ptr();
        fs_type.owner = module.as_ptr();
        fill(fs_type);
        // SAFETY: The type lives for ever, and its callbacks fit by the safety requirements.
        to_result(unsafe { bindings::register_filesystem(fs_type) })?;
        Ok(registered)
    }

    /// What is shared by the mounts of the context's type.
    ///
    /// # Safety
    ///
    /// `fc` is a valid context of a type that was registered by [`TypeSlot::register`] of this
    /// type of slot.
    pub(crate) unsafe fn shared(fc: *const bindings::fs_context) -> Arc<S> {
        // SAFETY: By the safety requirements. A context keeps the module, and so the registration,
        // whose reference to what is shared stays.
        unsafe {
            let fs_type: *mut Opaque<bindings::file_system_type> = (*fc).fs_type.cast();
            let slot = &*kernel::container_of!(fs_type, Self, fs_type);
            let shared =
                core::mem::ManuallyDrop::new(Arc::from_raw(slot.shared.load(Relaxed) as *const S));
            Arc::clone(&shared)
        }
    }
}

/// A registered type; dropping it unregisters.
pub struct Registered<S: 'static>(&'static TypeSlot<S>);

impl<S> Drop for Registered<S> {
    fn drop(&mut self) {
        // SAFETY: Mounts and contexts hold the module, so none is left. A type that could not be
        // registered is not found, which does no harm.
        unsafe { bindings::unregister_filesystem(self.0.fs_type.get()) };
        let shared = self.0.shared.xchg(0, Full) as *const S;
        // SAFETY: It came from `Arc::into_raw`, by the invariants, and nobody uses it any more.
        drop(unsafe { Arc::from_raw(shared) });
    }
}

/// Who may mount a type of file system, and on what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Anybody in a user namespace of theirs.
    OfUsers,
    /// An administrator, on a block device.
    OnBlockDevice,
    /// An administrator.
    OfSystem,
}

impl Kind {
    const fn flags(self) -> u32 {
        // Super blocks do not allow it unless they are told to.
        let all = bindings::FS_ALLOW_IDMAP;
        match self {
            Self::OfUsers => all | bindings::FS_HAS_SUBTYPE | bindings::FS_USERNS_MOUNT,
            Self::OnBlockDevice => all | bindings::FS_HAS_SUBTYPE | bindings::FS_REQUIRES_DEV,
            Self::OfSystem => all,
        }
    }

    /// The kind that is this number as a parameter of a type.
    pub(crate) const fn nth(number: u8) -> Self {
        match number {
            OF_USERS => Self::OfUsers,
            ON_BLOCK_DEVICE => Self::OnBlockDevice,
            _ => Self::OfSystem,
        }
    }
}

/// [`Kind::OfUsers`] as the parameter of a type.
pub const OF_USERS: u8 = 0;
/// [`Kind::OnBlockDevice`] as the parameter of a type.
pub const ON_BLOCK_DEVICE: u8 = 1;
/// [`Kind::OfSystem`] as the parameter of a type.
pub const OF_SYSTEM: u8 = 2;

/// A type of file system, as a static of the module. `KIND` is one of [`OF_USERS`],
/// [`ON_BLOCK_DEVICE`] and [`OF_SYSTEM`].
pub struct FsType<T: FileSystem, const KIND: u8>(TypeSlot<T::Shared>);

impl<T: MountOperations, const KIND: u8> FsType<T, KIND> {
    /// Not registered.
    #[expect(clippy::new_without_default, reason = "made in a static")]
    pub const fn new() -> Self {
        Self(TypeSlot::new())
    }

    /// Registers the type as `name`.
    ///
    /// # Errors
    ///
    /// `EBUSY` when the name is taken, or the type is registered.
    pub fn register(
        &'static self,
        name: &'static CStr,
        module: &'static ThisModule,
        shared: Arc<T::Shared>,
    ) -> Result<Registered<T::Shared>> {
        // SAFETY: The callbacks are those of `T`, whose contexts look for what `T` shares.
        unsafe {
            self.0.register(name, module, shared, |fs_type| {
                fs_type.fs_flags = Kind::nth(KIND).flags() as i32;
                fs_type.init_fs_context = Some(super::context::init::<T, KIND>);
                fs_type.parameters = T::options(Kind::nth(KIND)).table().cast();
                fs_type.kill_sb = Some(kill_sb::<T, KIND>);
            })
        }
    }
}

/// # Safety
///
/// Called by the VFS with a super block of the file system that is no longer mounted.
unsafe extern "C" fn kill_sb<T: SuperOperations, const KIND: u8>(sb: *mut bindings::super_block) {
    // SAFETY: By the safety requirements. The data must outlive the inodes, which the generic
    // function drops; nothing uses it afterwards.
    unsafe {
        let data = (*sb).s_fs_info.cast::<T::Super>();
        if !data.is_null() {
            T::shutdown(SuperBlock::from_raw(sb));
        }
        if KIND == ON_BLOCK_DEVICE {
            bindings::kill_block_super(sb);
        } else {
            bindings::kill_anon_super(sb);
        }
        drop_data::<T>(data);
    }
}
