// SPDX-License-Identifier: GPL-2.0

//! STATX: attributes, and the time of birth, which GETATTR does not tell.

use super::entry::Attributes;
use super::entry::Time;
use super::entry::Timeout;
use super::operation::struct_reply;
use super::operation::Operation;
use crate::abi::attr;
use crate::abi::attr::Attr;
use crate::abi::attr::StatxIn;
use crate::abi::attr::StatxOut;
use crate::abi::attr::SxTime;
use crate::abi::cursor::Malformed;
use crate::abi::cursor::Overflow;
use crate::abi::cursor::Writer;
use crate::abi::ids::Opcode;
use core::mem::size_of;

/// `STATX_BASIC_STATS`: what GETATTR tells, too.
const BASIC: u32 = 0x7ff;
/// `STATX_BTIME`.
const BIRTH: u32 = 0x800;

/// Fresh attributes of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatxReply {
    /// How long they may be cached.
    pub valid: Timeout,
    /// The attributes, if the server has sent all of them.
    pub attr: Option<Attributes>,
    /// When the inode was made, if the server knows.
    pub birth: Option<Time>,
}

/// Asks for attributes and the time of birth.
pub struct Statx;

impl Operation for Statx {
    const OPCODE: Opcode = Opcode::Statx;

    fn body_len(&self) -> usize {
        size_of::<StatxIn>()
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        w.put(&StatxIn {
            sx_mask: BASIC | BIRTH,
            ..StatxIn::default()
        })
    }

    struct_reply!(StatxOut => StatxReply, |out, _this| from_wire(&out));
}

fn time(time: SxTime) -> Time {
    Time::from_wire(time.tv_sec as u64, time.tv_nsec)
}

fn from_wire(out: &StatxOut) -> Result<StatxReply, Malformed> {
    let has = |bits| out.stat.mask & bits == bits;
    let attr = if has(BASIC) {
        Some(Attributes::from_wire(&as_attr(&out.stat))?)
    } else {
        None
    };
    Ok(StatxReply {
        valid: Timeout::new(out.attr_valid, out.attr_valid_nsec),
        attr,
        birth: has(BIRTH).then(|| time(out.stat.btime)),
    })
}

/// The attributes as GETATTR would have them.
fn as_attr(stat: &attr::Statx) -> Attr {
    Attr {
        ino: stat.ino,
        size: stat.size,
        blocks: stat.blocks,
        atime: stat.atime.tv_sec as u64,
        mtime: stat.mtime.tv_sec as u64,
        ctime: stat.ctime.tv_sec as u64,
        atimensec: stat.atime.tv_nsec,
        mtimensec: stat.mtime.tv_nsec,
        ctimensec: stat.ctime.tv_nsec,
        mode: stat.mode.into(),
        nlink: stat.nlink,
        uid: stat.uid,
        gid: stat.gid,
        rdev: stat.rdev_minor & 0xff | stat.rdev_major << 8 | (stat.rdev_minor & !0xff) << 12,
        blksize: stat.blksize,
        flags: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::FileType;
    use zerocopy::IntoBytes;

    fn out() -> StatxOut {
        let mut out = StatxOut {
            attr_valid: 3,
            ..StatxOut::default()
        };
        out.stat.mask = BASIC | BIRTH;
        out.stat.mode = 0o100_640;
        out.stat.size = 1234;
        out.stat.rdev_major = 0x12;
        out.stat.rdev_minor = 0x345;
        out.stat.btime = SxTime {
            tv_sec: -5,
            tv_nsec: u32::MAX,
            reserved: 0,
        };
        out
    }

    #[test]
    fn everything() {
        let reply = Statx.parse(out().as_bytes()).unwrap();
        let attr = reply.attr.unwrap();
        assert_eq!(reply.valid, Timeout::new(3, 0));
        assert_eq!((attr.kind, attr.perm), (FileType::Regular, 0o640));
        assert_eq!((attr.size, attr.rdev), (1234, 0x0030_1245));
        let birth = reply.birth.unwrap();
        assert_eq!((birth.sec, birth.nsec), (-5, 999_999_999));
    }

    #[test]
    fn not_everything() {
        let mut some = out();
        some.stat.mask = BIRTH | 0x7fe;
        // What is not said to be there is not looked at.
        some.stat.mode = 0;
        let reply = Statx.parse(some.as_bytes()).unwrap();
        assert_eq!(reply.attr, None);
        assert!(reply.birth.is_some());
        some.stat.mask = 0;
        assert_eq!(Statx.parse(some.as_bytes()).unwrap().birth, None);
    }

    #[test]
    fn refuses_bad_type_and_huge_size() {
        let mut bad = out();
        bad.stat.mode = 0o640;
        assert!(Statx.parse(bad.as_bytes()).is_err());
        let mut bad = out();
        bad.stat.size = 1 << 63;
        assert!(Statx.parse(bad.as_bytes()).is_err());
    }
}
