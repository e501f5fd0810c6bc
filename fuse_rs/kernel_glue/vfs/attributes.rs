// SPDX-License-Identifier: GPL-2.0

//! Attributes of inodes, as the kernel and a file system exchange them.

use super::caller::Gid;
use super::caller::Uid;
use crate::bindings;

/// A moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// Seconds since 1970.
    pub sec: i64,
    /// Nanoseconds, below one second.
    pub nsec: u32,
}

impl Timestamp {
    pub(crate) fn to_c(self) -> bindings::timespec64 {
        bindings::timespec64 {
            tv_sec: self.sec,
            tv_nsec: self.nsec as isize,
        }
    }

    pub(crate) fn from_c(time: &bindings::timespec64) -> Self {
        Self {
            sec: time.tv_sec,
            nsec: time.tv_nsec as u32,
        }
    }
}

/// Everything a file system tells about an inode but its size.
#[derive(Clone, Copy)]
pub struct InodeAttributes {
    /// Permission bits.
    pub perm: u16,
    /// Number of hard links.
    pub nlink: u32,
    /// Owner.
    pub uid: Uid,
    /// Group.
    pub gid: Gid,
    /// Blocks of 512 bytes.
    pub blocks: u64,
    /// Time of last access.
    pub atime: Timestamp,
    /// Time of last modification.
    pub mtime: Timestamp,
    /// Time of last status change.
    pub ctime: Timestamp,
}

/// What is left of a mode when the data or owner of the file changes.
///
/// The set-group-id bit means a set id only together with execution by the group.
pub fn without_set_ids(mode: u16) -> u16 {
    let mode = u32::from(mode);
    let sgid = if mode & bindings::S_IXGRP != 0 {
        bindings::S_ISGID
    } else {
        0
    };
    (mode & !(bindings::S_ISUID | sgid)) as u16
}

/// A time somebody wants to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewTime {
    /// The present; what the kernel takes it to be.
    Now(Timestamp),
    /// A given moment.
    At(Timestamp),
}

/// Attributes somebody wants to set.
#[derive(Clone, Copy, Default)]
pub struct NewAttributes {
    /// Type and permission bits.
    pub mode: Option<u16>,
    /// Owner.
    pub uid: Option<Uid>,
    /// Group.
    pub gid: Option<Gid>,
    /// Size in bytes.
    pub size: Option<u64>,
    /// Time of last access.
    pub atime: Option<NewTime>,
    /// Time of last modification.
    pub mtime: Option<NewTime>,
    /// This is the truncation of an open with `O_TRUNC`.
    pub by_open: bool,
}

impl NewAttributes {
    /// Of what the VFS wants; the ids are those of the file system.
    pub(crate) fn from_c(attr: &bindings::iattr, uid: Uid, gid: Gid) -> Self {
        let valid = attr.ia_valid;
        let has = |bit: u32| valid & bit != 0;
        let time = |set: u32, explicit: u32, value: &bindings::timespec64| {
            has(set).then(|| {
                let at = Timestamp::from_c(value);
                if has(explicit) {
                    NewTime::At(at)
                } else {
                    NewTime::Now(at)
                }
            })
        };
        // A file system changes the time of modification together with the size by itself; asking
        // for it as well needs more rights than truncating through an open file does.
        let size_only = has(bindings::ATTR_SIZE)
            && has(bindings::ATTR_OPEN | bindings::ATTR_FILE)
            && !has(bindings::ATTR_MTIME_SET);
        Self {
            mode: has(bindings::ATTR_MODE).then_some(attr.ia_mode),
            uid: has(bindings::ATTR_UID).then_some(uid),
            gid: has(bindings::ATTR_GID).then_some(gid),
            size: has(bindings::ATTR_SIZE).then_some(attr.ia_size as u64),
            atime: time(
                bindings::ATTR_ATIME,
                bindings::ATTR_ATIME_SET,
                &attr.ia_atime,
            ),
            mtime: time(
                bindings::ATTR_MTIME,
                bindings::ATTR_MTIME_SET,
                &attr.ia_mtime,
            )
            .filter(|_| !size_only),
            by_open: has(bindings::ATTR_OPEN),
        }
    }

    /// Whether nothing is to be set.
    pub fn is_empty(&self) -> bool {
        self.mode.is_none()
            && self.uid.is_none()
            && self.gid.is_none()
            && self.size.is_none()
            && self.atime.is_none()
            && self.mtime.is_none()
    }
}

/// What statfs(2) wants to know.
#[derive(Clone, Copy, Debug, Default)]
pub struct FsStatistics {
    /// Number that tells the kind of file system.
    pub magic: u64,
    /// Block size in bytes.
    pub block_size: u32,
    /// Fragment size in bytes.
    pub fragment_size: u32,
    /// Size in fragments.
    pub blocks: u64,
    /// Free fragments.
    pub free: u64,
    /// Free fragments for users.
    pub available: u64,
    /// Inodes.
    pub files: u64,
    /// Free inodes.
    pub free_files: u64,
    /// Longest name.
    pub name_max: u32,
}
