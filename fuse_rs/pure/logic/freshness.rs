// SPDX-License-Identifier: GPL-2.0

//! Which attributes may be believed. They all last until a deadline; a change of our own, or a
//! notification, ends that for some earlier.

use crate::abi::flags::flag_set;

flag_set! {
    /// Attributes of an inode (`STATX_*`).
    Fields(u32) {
        /// Type and permission bits.
        MODE = 0x3;
        /// Number of hard links.
        NLINK = 0x4;
        /// Owner and group.
        OWNER = 0x18;
        /// Time of last access.
        ATIME = 0x20;
        /// Time of last modification.
        MTIME = 0x40;
        /// Time of last status change.
        CTIME = 0x80;
        /// Size in bytes.
        SIZE = 0x200;
        /// Blocks.
        BLOCKS = 0x400;
        /// All that GETATTR tells.
        ALL = 0x7ff;
    }
}

impl Fields {
    /// What permissions depend on.
    pub const PERMISSION: Self = Self::MODE.with(Self::OWNER);
    /// What a change of a file's data changes.
    pub const DATA: Self = Self::MTIME
        .with(Self::CTIME)
        .with(Self::SIZE)
        .with(Self::BLOCKS);
    /// What a change of a directory's names changes.
    pub const NAMES: Self = Self::DATA.with(Self::NLINK);
}

/// How much whoever asks for attributes cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Care {
    /// What is known will do.
    Cached,
    /// As long as they may be believed.
    Usual,
    /// They are to be those of this moment.
    Exact,
}

/// Whether the server has to be asked for attributes of which some are `wanted`. `stale` ones are
/// not to be believed, and none are if their time is `over`.
pub fn must_ask(wanted: Fields, care: Care, stale: Fields, over: bool) -> bool {
    let wanted = wanted.intersect(Fields::ALL);
    if wanted == Fields::empty() {
        return false;
    }
    match care {
        Care::Cached => false,
        Care::Usual => over || wanted.intersect(stale) != Fields::empty(),
        Care::Exact => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wanted_matters() {
        let ask = |wanted, stale, over| must_ask(wanted, Care::Usual, stale, over);
        assert!(!ask(Fields::MODE, Fields::empty(), false));
        assert!(!ask(Fields::MODE, Fields::DATA, false));
        assert!(ask(Fields::SIZE, Fields::DATA, false));
        assert!(ask(Fields::ALL, Fields::ATIME, false));
        assert!(ask(Fields::MODE, Fields::empty(), true));
        // What GETATTR does not tell is not asked for by it.
        assert!(!ask(Fields::from_bits(0x800), Fields::ALL, true));
        assert!(!ask(Fields::empty(), Fields::ALL, true));
    }

    #[test]
    fn care() {
        assert!(!must_ask(Fields::ALL, Care::Cached, Fields::ALL, true));
        assert!(must_ask(Fields::MODE, Care::Exact, Fields::empty(), false));
        assert!(!must_ask(Fields::empty(), Care::Exact, Fields::ALL, true));
    }

    #[test]
    fn names_and_data_leave_permissions_alone() {
        for changed in [Fields::DATA, Fields::NAMES, Fields::ATIME] {
            assert_eq!(changed.intersect(Fields::PERMISSION), Fields::empty());
        }
    }
}
