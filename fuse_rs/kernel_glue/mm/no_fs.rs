// SPDX-License-Identifier: GPL-2.0

//! Having memory without the help of file systems.

use crate::bindings;
use kernel::types::NotThreadSafe;

/// Memory is not to be had by asking file systems for theirs as long as the value lives.
pub struct NoFs(u32, NotThreadSafe);

impl NoFs {
    /// From now on.
    pub fn begin() -> Self {
        // SAFETY: Sets a flag of the current task.
        let before = unsafe { bindings::fuse_rs_helper_memalloc_nofs_save() };
        Self(before, NotThreadSafe)
    }
}

impl Drop for NoFs {
    fn drop(&mut self) {
        // SAFETY: The value cannot go to another task, and such values are dropped in the reverse
        // order of their making, as scopes are.
        unsafe { bindings::fuse_rs_helper_memalloc_nofs_restore(self.0) };
    }
}
