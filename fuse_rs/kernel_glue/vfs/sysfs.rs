// SPDX-License-Identifier: GPL-2.0

//! Places in sysfs.

use crate::bindings;
use core::ptr::NonNull;
use kernel::error::to_result;
use kernel::prelude::*;

/// An empty directory to mount something on: /sys/fs/`owner`/`name`. Dropping it removes both
/// directories.
pub struct MountPoint {
    owner: NonNull<bindings::kobject>,
    name: &'static CStr,
}

// SAFETY: Objects of sysfs may be removed on any thread.
unsafe impl Send for MountPoint {}
// SAFETY: Nothing can be done with a shared reference.
unsafe impl Sync for MountPoint {}

impl MountPoint {
    /// Makes the directories.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, also if one of them exists.
    pub fn new(owner: &'static CStr, name: &'static CStr) -> Result<Self> {
        // SAFETY: The name is a string without directives; the parent always exists.
        let owner =
            unsafe { bindings::kobject_create_and_add(owner.as_char_ptr(), bindings::fs_kobj) };
        let owner = NonNull::new(owner).ok_or(ENOMEM)?;
        // SAFETY: The object was just made.
        let made = to_result(unsafe {
            bindings::sysfs_create_mount_point(owner.as_ptr(), name.as_char_ptr())
        });
        if let Err(error) = made {
            // SAFETY: The only reference is given up.
            unsafe { bindings::kobject_put(owner.as_ptr()) };
            return Err(error);
        }
        Ok(Self { owner, name })
    }
}

impl Drop for MountPoint {
    fn drop(&mut self) {
        // SAFETY: Both were made by `new`; the only reference is given up.
        unsafe {
            bindings::sysfs_remove_mount_point(self.owner.as_ptr(), self.name.as_char_ptr());
            bindings::kobject_put(self.owner.as_ptr());
        }
    }
}
