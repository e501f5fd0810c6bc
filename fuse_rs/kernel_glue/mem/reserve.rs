// SPDX-License-Identifier: GPL-2.0

//! Folios that nobody needs at the moment, kept for who needs one next: memory that comes from the
//! kernel is cleared first, which costs about as much as filling it.

use crate::bindings;
use core::ptr::NonNull;
use kernel::sync::atomic::Acquire;
use kernel::sync::atomic::Atomic;
use kernel::sync::atomic::Full;
use kernel::sync::atomic::Relaxed;

/// Most folios that are kept.
const SLOTS: usize = 32;

/// Addresses of folios, or zero.
static FOLIOS: [Atomic<usize>; SLOTS] = [const { Atomic::new(0) }; SLOTS];

/// How many there are, more or less.
static COUNT: Atomic<usize> = Atomic::new(0);

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
        for slot in &FOLIOS {
            if let Some(folio) = NonNull::new(slot.xchg(0, Full) as *mut bindings::folio) {
                // SAFETY: The slot had a reference.
                unsafe { bindings::fuse_rs_helper_folio_put(folio.as_ptr()) };
            }
        }
    }
}

/// A folio that was kept, with its only reference. What is in it is old.
pub(super) fn take() -> Option<NonNull<bindings::folio>> {
    let count = COUNT.load(Relaxed).min(SLOTS);
    let found = FOLIOS.iter().take(count).rev().find_map(|slot| {
        if slot.load(Relaxed) == 0 {
            return None;
        }
        NonNull::new(slot.xchg(0, Full) as *mut bindings::folio)
    });
    if found.is_some() {
        COUNT.fetch_sub(1, Relaxed);
    }
    found
}

/// Keeps a folio, of which the only reference is given up; gives it back if there are enough.
pub(super) fn keep(folio: NonNull<bindings::folio>) -> Result<(), NonNull<bindings::folio>> {
    let address = folio.as_ptr() as usize;
    let count = COUNT.load(Acquire).min(SLOTS);
    let kept = FOLIOS
        .iter()
        .skip(count)
        .any(|slot| slot.cmpxchg(0, address, Full).is_ok());
    if kept {
        COUNT.fetch_add(1, Relaxed);
        Ok(())
    } else {
        Err(folio)
    }
}
