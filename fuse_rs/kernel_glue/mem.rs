// SPDX-License-Identifier: GPL-2.0

//! Memory.

pub mod few;
pub mod pages;
pub mod reserve;
pub mod user_pages;

use core::mem::MaybeUninit;
use kernel::prelude::*;

/// Fills the room that `bytes` has with zeroes.
pub fn fill_with_zeroes(bytes: &mut KVVec<u8>) {
    let room = bytes.spare_capacity_mut();
    room.fill(MaybeUninit::new(0));
    let more = room.len();
    // SAFETY: So many elements behind the end were written.
    unsafe { bytes.inc_len(more) };
}
