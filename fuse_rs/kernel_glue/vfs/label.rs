// SPDX-License-Identifier: GPL-2.0

//! Security labels that new inodes are to have.

use super::dentry::Dentry;
use super::FileSystem;
use crate::bindings;
use kernel::error::to_result;
use kernel::prelude::*;

/// A label.
///
/// # Invariants
///
/// The context was filled by `security_dentry_init_security` and holds a label; the name is a
/// string that lives for ever.
pub struct Label {
    context: bindings::lsm_context,
    name: *const kernel::ffi::c_char,
}

impl Label {
    /// The extended attribute that the label is kept in.
    pub fn attribute(&self) -> &[u8] {
        // SAFETY: By the type's invariants.
        unsafe { CStr::from_char_ptr(self.name) }.to_bytes()
    }

    /// The label.
    pub fn value(&self) -> &[u8] {
        // SAFETY: By the type's invariants; a label that is not empty is as long as it says.
        unsafe {
            core::slice::from_raw_parts(self.context.context.cast(), self.context.len as usize)
        }
    }
}

impl Drop for Label {
    fn drop(&mut self) {
        // SAFETY: By the type's invariants.
        unsafe { bindings::security_release_secctx(&mut self.context) };
    }
}

impl<T: FileSystem> Dentry<T> {
    /// The label that an inode of the type in `mode` is to have which the caller makes for this
    /// entry, if the security module labels inodes.
    ///
    /// # Context
    ///
    /// May sleep. In operations that make an inode for a negative entry.
    pub fn label_for_new(&self, mode: u32) -> Result<Option<Label>> {
        let mut name = core::ptr::null();
        let mut context = bindings::lsm_context::default();
        // SAFETY: The entry is valid, and its name does not change during operations on it.
        let result = to_result(unsafe {
            bindings::fuse_rs_helper_label_for_new(
                self.as_ptr(),
                mode as i32,
                &mut name,
                &mut context,
            )
        });
        match result {
            // INVARIANT: The context was filled, and the module has named the attribute.
            Ok(()) if context.len > 0 && !name.is_null() => Ok(Some(Label { context, name })),
            Ok(()) | Err(EOPNOTSUPP) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
