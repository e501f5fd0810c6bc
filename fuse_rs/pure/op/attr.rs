// SPDX-License-Identifier: GPL-2.0

//! GETATTR, SETATTR, ACCESS, STATFS and SYNCFS.

use super::entry::Attributes;
use super::entry::Time;
use super::entry::Timeout;
use super::operation::header_reply;
use super::operation::struct_reply;
use super::operation::Operation;
use crate::abi::attr::AttrOut;
use crate::abi::attr::GetattrIn;
use crate::abi::attr::SetattrIn;
use crate::abi::attr::StatfsOut;
use crate::abi::cursor::Malformed;
use crate::abi::cursor::Overflow;
use crate::abi::cursor::Writer;
use crate::abi::flags::SetattrValid;
use crate::abi::ids::FileHandle;
use crate::abi::ids::Opcode;
use crate::abi::misc::AccessIn;
use crate::abi::misc::SyncfsIn;
use core::mem::size_of;

/// Fresh attributes of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttrReply {
    /// How long they may be cached.
    pub valid: Timeout,
    /// The attributes.
    pub attr: Attributes,
}

impl AttrReply {
    fn from_wire(out: &AttrOut) -> Result<Self, Malformed> {
        Ok(Self {
            valid: Timeout::new(out.attr_valid, out.attr_valid_nsec),
            attr: Attributes::from_wire(&out.attr)?,
        })
    }
}

/// Asks for attributes.
pub struct Getattr {
    /// An open file of the inode, if the caller has one.
    pub fh: Option<FileHandle>,
}

impl Operation for Getattr {
    const OPCODE: Opcode = Opcode::Getattr;

    fn body_len(&self) -> usize {
        size_of::<GetattrIn>()
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        w.put(&GetattrIn {
            getattr_flags: u32::from(self.fh.is_some()),
            dummy: 0,
            fh: self.fh.map_or(0, |fh| fh.0),
        })
    }

    struct_reply!(AttrOut => AttrReply, |out, _this| AttrReply::from_wire(&out));
}

/// A time to be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetTime {
    /// The server's present; what the kernel takes it to be goes along, for servers that only look
    /// at the time.
    Now(Time),
    /// This moment.
    At(Time),
}

impl SetTime {
    /// The time, and which of the two flags go with it.
    fn to_wire(self, set: SetattrValid, now: SetattrValid) -> (Time, SetattrValid) {
        match self {
            Self::Now(time) => (time, set.with(now)),
            Self::At(time) => (time, set),
        }
    }
}

/// Changes attributes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setattr {
    /// Permission bits (with the file's type).
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Size in bytes.
    pub size: Option<u64>,
    /// Time of last access.
    pub atime: Option<SetTime>,
    /// Time of last modification.
    pub mtime: Option<SetTime>,
    /// Time of last status change.
    pub ctime: Option<Time>,
    /// The open file through which the size changes.
    pub fh: Option<FileHandle>,
    /// Whose locks allow the size to change.
    pub lock_owner: Option<u64>,
    /// Drop the set-id bits.
    pub kill_suidgid: bool,
}

impl Setattr {
    fn to_wire(self) -> SetattrIn {
        let mut valid = SetattrValid::empty();
        let mut wire = SetattrIn::default();
        if let Some(mode) = self.mode {
            valid = valid.with(SetattrValid::MODE);
            wire.mode = mode;
        }
        if let Some(uid) = self.uid {
            valid = valid.with(SetattrValid::UID);
            wire.uid = uid;
        }
        if let Some(gid) = self.gid {
            valid = valid.with(SetattrValid::GID);
            wire.gid = gid;
        }
        if let Some(size) = self.size {
            valid = valid.with(SetattrValid::SIZE);
            wire.size = size;
        }
        if let Some(set) = self.atime {
            let (time, flags) = set.to_wire(SetattrValid::ATIME, SetattrValid::ATIME_NOW);
            valid = valid.with(flags);
            (wire.atime, wire.atimensec) = (time.sec as u64, time.nsec);
        }
        if let Some(set) = self.mtime {
            let (time, flags) = set.to_wire(SetattrValid::MTIME, SetattrValid::MTIME_NOW);
            valid = valid.with(flags);
            (wire.mtime, wire.mtimensec) = (time.sec as u64, time.nsec);
        }
        if let Some(time) = self.ctime {
            valid = valid.with(SetattrValid::CTIME);
            (wire.ctime, wire.ctimensec) = (time.sec as u64, time.nsec);
        }
        if let Some(fh) = self.fh {
            valid = valid.with(SetattrValid::FH);
            wire.fh = fh.0;
        }
        if let Some(owner) = self.lock_owner {
            valid = valid.with(SetattrValid::LOCKOWNER);
            wire.lock_owner = owner;
        }
        if self.kill_suidgid {
            valid = valid.with(SetattrValid::KILL_SUIDGID);
        }
        wire.valid = valid.bits();
        wire
    }
}

impl Operation for Setattr {
    const OPCODE: Opcode = Opcode::Setattr;

    fn body_len(&self) -> usize {
        size_of::<SetattrIn>()
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        w.put(&self.to_wire())
    }

    struct_reply!(AttrOut => AttrReply, |out, _this| AttrReply::from_wire(&out));
}

/// Asks whether the caller may use an inode in these ways.
pub struct Access {
    /// `R_OK` 4, `W_OK` 2, `X_OK` 1.
    pub mask: u32,
}

impl Operation for Access {
    const OPCODE: Opcode = Opcode::Access;

    fn body_len(&self) -> usize {
        size_of::<AccessIn>()
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        w.put(&AccessIn {
            mask: self.mask,
            padding: 0,
        })
    }

    header_reply!();
}

/// Asks for the state of the file system.
pub struct Statfs;

impl Operation for Statfs {
    const OPCODE: Opcode = Opcode::Statfs;

    fn body_len(&self) -> usize {
        0
    }

    fn fill(&self, _: &mut Writer<'_>) -> Result<(), Overflow> {
        Ok(())
    }

    struct_reply!(StatfsOut => StatfsOut, |out, _this| Ok(out));
}

/// Makes everything durable.
pub struct Syncfs;

impl Operation for Syncfs {
    const OPCODE: Opcode = Opcode::Syncfs;

    fn body_len(&self) -> usize {
        size_of::<SyncfsIn>()
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        w.put(&SyncfsIn { padding: 0 })
    }

    header_reply!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_present_is_sent_as_a_time_too() {
        let now = Time { sec: -7, nsec: 9 };
        let wire = Setattr {
            mtime: Some(SetTime::Now(now)),
            atime: Some(SetTime::At(now)),
            ..Setattr::default()
        }
        .to_wire();
        assert_eq!((wire.mtime as i64, wire.mtimensec), (-7, 9));
        assert_eq!((wire.atime as i64, wire.atimensec), (-7, 9));
        let expected = SetattrValid::MTIME
            .with(SetattrValid::MTIME_NOW)
            .with(SetattrValid::ATIME);
        assert_eq!(wire.valid, expected.bits());
    }
}
