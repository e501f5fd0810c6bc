// SPDX-License-Identifier: GPL-2.0

//! Files in the DAX window.
//!
//! A device may have memory in which the server shows pieces of files: the window. Such files have no
//! page cache: they are copied from and to that memory, and it is what processes map. Only what makes
//! a file longer is sent as WRITE, so that data and size change together.

mod mapping;
pub(crate) mod reclaim;
pub(crate) mod rw;
pub(crate) mod window;

use crate::filesystem::inode;
use crate::filesystem::Fuse;
use crate::filesystem::Inode;
use crate::prelude::*;
use core::ops::Range;
use fuse_pure::abi::flags::AttrFlags;
use fuse_pure::logic::dax_window::RANGE;
use fuse_pure::logic::negotiate::Dax;
use kernel_glue::dax::device::Device;
use kernel_glue::dax::layout::FaultsBlocked;
use kernel_glue::dax::Access;
use kernel_glue::dax::DaxOperations;
use kernel_glue::dax::Hold;
use kernel_glue::dax::Place;
pub(crate) use mapping::Pieces;
use window::Window;

/// What is said by mount options of the files that are to be in the window.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Nothing: it is up to the server.
    Unsaid,
    /// It is up to the server.
    Inode,
    /// All.
    Always,
    /// None.
    Never,
}

impl Mode {
    /// Of the value of the option.
    pub(crate) fn named(name: &CStr) -> Option<Self> {
        match name.to_bytes() {
            b"inode" => Some(Self::Inode),
            b"always" => Some(Self::Always),
            b"never" => Some(Self::Never),
            _ => None,
        }
    }

    /// The value of the option, if it was given.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::Unsaid => None,
            Self::Inode => Some("inode"),
            Self::Always => Some("always"),
            Self::Never => Some("never"),
        }
    }

    /// What is offered to a server that has a window.
    pub(crate) fn offered(self) -> Dax {
        match self {
            Self::Unsaid | Self::Inode => Dax::Inode,
            Self::Always => Dax::Always,
            Self::Never => Dax::Never,
        }
    }
}

/// The window of an inode's mount.
fn window(inode: &Inode) -> Result<&Arc<Window>> {
    inode::mount(inode).window.as_ref().ok_or(EIO)
}

/// Whether a file of which the server says `flags` is to be in the window.
pub(crate) fn is_wanted(inode: &Inode, flags: AttrFlags) -> bool {
    let terms = inode::connection(inode).terms();
    let dax = terms.map_or(Dax::Never, |terms| terms.dax);
    window(inode).is_ok()
        && match dax {
            Dax::Never => false,
            Dax::Always => true,
            Dax::Inode => flags.contains(AttrFlags::DAX),
        }
}

/// The server says `flags` of a file that is known. An inode is in the window or not as long as it
/// lives, so it is not to live longer than it must if that is to change.
pub(crate) fn told(inode: &Inode, flags: AttrFlags) {
    if inode.is_regular() && is_wanted(inode, flags) != inode.is_in_memory() {
        inode.keep_no_longer();
    }
}

impl DaxOperations for Fuse {
    fn device(inode: &Inode) -> Option<&Device> {
        window(inode).ok().map(|window| window.device())
    }

    fn find(inode: &Inode, range: Range<u64>, access: Access) -> Result<Place> {
        let window = window(inode)?;
        let size = inode.size();
        if range.start >= size {
            return if access.write {
                Err(EIO)
            } else {
                Ok(Place::Hole)
            };
        }
        let index = range.start / RANGE;
        let used = if access.mapped {
            mapping::used(inode, window, index, access.write).ok_or(EAGAIN)?
        } else {
            mapping::show(inode, window, index, access.write)?
        };
        let within = range.start % RANGE;
        let asked = range.end.min(size).saturating_sub(range.start);
        Ok(Place::Memory {
            offset: used.range().offset().saturating_add(within),
            len: asked.min(RANGE.saturating_sub(within)),
            hold: used.into_hold(),
        })
    }

    fn before_fault(inode: &Inode, position: u64, write: bool) -> Result<Option<Hold>> {
        if position >= inode.size() {
            return Ok(None);
        }
        let used = mapping::show(inode, window(inode)?, position / RANGE, write)?;
        Ok(Some(used.into_hold()))
    }

    fn leave(inode: &Inode, hold: Hold) {
        if let Ok(window) = window(inode) {
            window.leave(hold);
        }
    }
}

/// Before the server changes where the bytes of a file lie: takes its memory away from those who have
/// mapped it, and from those who have pinned it when they are done. As long as the value lives nobody
/// maps it.
///
/// The inode is locked.
///
/// # Errors
///
/// `EINTR` when the caller is killed, `ERESTARTSYS` when a signal comes while others have pinned it.
pub(crate) fn stop_faults(inode: &Inode) -> Result<Option<FaultsBlocked<'_, Fuse>>> {
    if !inode.is_in_memory() {
        return Ok(None);
    }
    let mut faults = inode.block_faults()?;
    faults.unmap_all()?;
    Ok(Some(faults))
}

/// The file ends at `size`: who has mapped what lies behind gets `SIGBUS`. Those who have pinned it
/// keep it.
///
/// # Errors
///
/// `EINTR` when the caller is killed.
pub(crate) fn cut_behind(inode: &Inode, size: u64) -> Result {
    inode.block_faults()?.unmap(size..u64::MAX);
    Ok(())
}
