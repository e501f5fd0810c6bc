// SPDX-License-Identifier: GPL-2.0

//! Types of file systems.

use super::context::MountOperations;
use super::super_block::drop_data;
use super::super_block::SuperOperations;
use super::FileSystem;
use crate::bindings;
use core::ptr::NonNull;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::types::Opaque;

/// A registered type of file system; dropping it unregisters. `BLOCK` types live on a block
/// device.
#[pin_data(PinnedDrop)]
pub struct FsType<T: FileSystem, const BLOCK: bool> {
    #[pin]
    fs_type: Opaque<bindings::file_system_type>,
    shared: Arc<T::Shared>,
}

// SAFETY: Registration and removal may happen on different threads.
unsafe impl<T: FileSystem, const BLOCK: bool> Send for FsType<T, BLOCK> {}
// SAFETY: Nothing can be done with a shared reference.
unsafe impl<T: FileSystem, const BLOCK: bool> Sync for FsType<T, BLOCK> {}

impl<T: MountOperations, const BLOCK: bool> FsType<T, BLOCK> {
    /// Registers the type as `name`.
    ///
    /// # Errors
    ///
    /// `EBUSY` when the name is taken.
    pub fn register(
        name: &'static CStr,
        module: &'static ThisModule,
        shared: Arc<T::Shared>,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // Before the type, which may be used as soon as it is registered.
            shared,
            fs_type <- Opaque::try_ffi_init(move |slot: *mut bindings::file_system_type| {
                let flags = bindings::FS_HAS_SUBTYPE
                    | if BLOCK { bindings::FS_REQUIRES_DEV } else { bindings::FS_USERNS_MOUNT };
                // SAFETY: `slot` is valid for writing and stays where it is until it is
                // unregistered in `drop`.
                unsafe {
                    slot.write(pin_init::zeroed());
                    (*slot).name = name.as_char_ptr();
                    (*slot).owner = module.as_ptr();
                    (*slot).fs_flags = flags as i32;
                    (*slot).init_fs_context = Some(super::context::init::<T, BLOCK>);
                    (*slot).parameters = super::context::parameters::<T>(BLOCK).cast();
                    (*slot).kill_sb = Some(kill_sb::<T, BLOCK>);
                    to_result(bindings::register_filesystem(slot))
                }
            }),
        })
    }

    /// What all mounts share, for a context of the type.
    ///
    /// # Safety
    ///
    /// `fc` is a valid context of a type registered by [`FsType::register`].
    pub(crate) unsafe fn shared(fc: *const bindings::fs_context) -> Arc<T::Shared> {
        // SAFETY: By the safety requirements. The type lives as long as it is registered, and a
        // context keeps the module that owns it.
        unsafe {
            let this: *mut Opaque<bindings::file_system_type> = (*fc).fs_type.cast();
            (*kernel::container_of!(this, Self, fs_type)).shared.clone()
        }
    }
}

#[pinned_drop]
impl<T: FileSystem, const BLOCK: bool> PinnedDrop for FsType<T, BLOCK> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: The type was registered; mounts hold the module, so none is left.
        unsafe { bindings::unregister_filesystem(self.fs_type.get()) };
    }
}

/// # Safety
///
/// Called by the VFS with a super block of the file system that is no longer mounted.
unsafe extern "C" fn kill_sb<T: SuperOperations, const BLOCK: bool>(
    sb: *mut bindings::super_block,
) {
    // SAFETY: By the safety requirements. The data must outlive the inodes, which the generic
    // function drops; nothing uses it afterwards.
    unsafe {
        let data = (*sb).s_fs_info.cast::<T::Super>();
        if let Some(data) = NonNull::new(data) {
            T::shutdown(data.as_ref());
        }
        if BLOCK {
            bindings::kill_block_super(sb);
        } else {
            bindings::kill_anon_super(sb);
        }
        drop_data::<T>(data);
    }
}
