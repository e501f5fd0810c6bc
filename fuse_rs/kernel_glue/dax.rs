// SPDX-License-Identifier: GPL-2.0

//! Files whose data is memory: no page cache, but a device's memory that is copied from and to, and
//! mapped by processes.

pub mod device;
pub mod fault;
pub mod io;
pub mod layout;

use crate::vfs::inode::Inode;
use crate::vfs::FileSystem;
use core::ops::Range;
use device::Device;
use kernel::prelude::*;

/// What bytes of a file are to be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// They are written.
    pub write: bool,
    /// They get mapped, and this must not wait: what is not there gives `EAGAIN`.
    pub mapped: bool,
}

/// Where bytes of a file are to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: they read as zeroes.
    Hole,
    /// In the device's memory, until [`DaxOperations::leave`].
    Memory {
        /// Where it starts, in bytes.
        offset: u64,
        /// Bytes that lie there in a row.
        len: u64,
        /// What it is left by.
        hold: Hold,
    },
}

/// What a file system needs to tell which memory is no longer used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold(pub u32);

/// Files of a file system in a device's memory.
pub trait DaxOperations: FileSystem {
    /// The device of this file; none if it is in no memory.
    fn device(inode: &Inode<Self>) -> Option<&Device>;

    /// Where bytes of the file are, from the start of a range on that is not empty. Up to
    /// [`DaxOperations::leave`] they stay there.
    ///
    /// The inode is locked, or faults are blocked by others, so the size does not change.
    ///
    /// # Context
    ///
    /// May sleep; but see [`Access::mapped`].
    fn find(inode: &Inode<Self>, range: Range<u64>, access: Access) -> Result<Place>;

    /// Prepares for a fault at `position`: until the hold, if there is one, is left, what is there
    /// is found without waiting.
    ///
    /// # Context
    ///
    /// May sleep. The caller's memory map is locked.
    ///
    /// # Errors
    ///
    /// Those of the file system, for which the process gets `SIGBUS`.
    fn before_fault(inode: &Inode<Self>, position: u64, write: bool) -> Result<Option<Hold>>;

    /// What was found is not used any more. Does not sleep.
    fn leave(inode: &Inode<Self>, hold: Hold);
}
