// SPDX-License-Identifier: GPL-2.0

//! Folios that nobody needs at the moment, kept for who needs one next: memory that comes from the
//! kernel is cleared first, which costs about as much as filling it.

use super::few::Few;
use crate::bindings;
use core::ptr::NonNull;

/// Most folios that are kept.
const SLOTS: usize = 32;

static FOLIOS: Few<SLOTS> = Few::new();

/// As long as the value lives, folios may be kept.
pub struct Reserve(());

impl Reserve {
    /// Of the module, of which there is one value.
    pub fn new() -> Self {
        Self(())
    }
}

impl Default for Reserve {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        for folio in FOLIOS.drain() {
            // SAFETY: The reference was kept with it.
            unsafe { bindings::fuse_rs_helper_folio_put(folio.as_ptr()) };
        }
    }
}

/// A folio that was kept, with its only reference. What is in it is old.
pub(super) fn take() -> Option<NonNull<bindings::folio>> {
    FOLIOS.take()
}

/// Keeps a folio, of which the only reference is given up; gives it back if there are enough.
pub(super) fn keep(folio: NonNull<bindings::folio>) -> Result<(), NonNull<bindings::folio>> {
    FOLIOS.keep(folio)
}
