// SPDX-License-Identifier: GPL-2.0

//! The headers of requests and replies.

use super::cursor::Malformed;
use super::wire_size;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Stands before every request.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct InHeader {
    /// Length of the whole request in bytes, this header included.
    pub len: u32,
    /// What is asked for.
    pub opcode: u32,
    /// Names the request.
    pub unique: u64,
    /// The inode it is about, or zero.
    pub nodeid: u64,
    /// The caller's file-system user id in the mount's user namespace.
    pub uid: u32,
    /// The caller's file-system group id in the mount's user namespace.
    pub gid: u32,
    /// The caller's process in the mounter's process namespace.
    pub pid: u32,
    /// Length of the extensions, in units of 8 bytes.
    pub total_extlen: u16,
    /// Zero.
    pub padding: u16,
}

/// Stands before every reply and notification.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct OutHeader {
    /// Length of the whole reply in bytes, this header included.
    pub len: u32,
    /// Zero or a negated errno; the code of a notification.
    pub error: i32,
    /// The request this answers; zero marks a notification.
    pub unique: u64,
}

/// Size of [`InHeader`] in bytes.
pub const IN_HEADER: usize = 40;
/// Size of [`OutHeader`] in bytes.
pub const OUT_HEADER: usize = 16;

wire_size!(InHeader = IN_HEADER, OutHeader = OUT_HEADER);

/// An errno that a server may answer with: 1 to 511.
///
/// The upper end keeps the kernel's internal codes (`ERESTARTSYS` is 512) out of a server's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerErrno(u16);

impl ServerErrno {
    /// One above the largest errno a server may use.
    pub const LIMIT: i32 = 512;

    /// Reads the error field of a reply.
    ///
    /// `Ok(None)` is success; an error is a value no server may send.
    pub fn parse(error: i32) -> Result<Option<Self>, Malformed> {
        match error {
            0 => Ok(None),
            e if e < 0 && e > -Self::LIMIT => Ok(Some(Self(e.unsigned_abs() as u16))),
            _ => Err(Malformed),
        }
    }

    /// The positive errno.
    pub const fn get(self) -> i32 {
        self.0 as i32
    }
}

#[cfg(test)]
mod tests {
    use super::ServerErrno;

    #[test]
    fn error_field_range() {
        assert_eq!(ServerErrno::parse(0), Ok(None));
        assert_eq!(ServerErrno::parse(-2).unwrap().unwrap().get(), 2);
        assert_eq!(ServerErrno::parse(-511).unwrap().unwrap().get(), 511);
        for bad in [1, 5, i32::MAX, -512, -513, -4095, i32::MIN] {
            assert!(ServerErrno::parse(bad).is_err(), "{bad}");
        }
    }
}
