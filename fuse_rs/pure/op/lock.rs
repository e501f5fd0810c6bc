// SPDX-License-Identifier: GPL-2.0

//! GETLK, SETLK and SETLKW: locks that the server keeps.

use super::operation::header_reply;
use super::operation::struct_reply;
use super::operation::Operation;
use crate::abi::cursor::Malformed;
use crate::abi::cursor::Overflow;
use crate::abi::cursor::Writer;
use crate::abi::flags::LockFlags;
use crate::abi::ids::FileHandle;
use crate::abi::ids::Opcode;
use crate::abi::lock::FileLock;
use crate::abi::lock::LkIn;
use crate::abi::lock::LkOut;
use core::mem::size_of;

/// Last byte that a lock can be about.
const MAX_END: u64 = i64::MAX as u64;

/// What a lock keeps others from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    /// Others may have such a lock, too.
    Shared,
    /// Nobody else may have one.
    Exclusive,
}

impl LockKind {
    const F_RDLCK: u32 = 0;
    const F_WRLCK: u32 = 1;
    const F_UNLCK: u32 = 2;

    fn to_wire(kind: Option<Self>) -> u32 {
        match kind {
            Some(Self::Shared) => Self::F_RDLCK,
            Some(Self::Exclusive) => Self::F_WRLCK,
            None => Self::F_UNLCK,
        }
    }

    fn from_wire(kind: u32) -> Result<Option<Self>, Malformed> {
        match kind {
            Self::F_RDLCK => Ok(Some(Self::Shared)),
            Self::F_WRLCK => Ok(Some(Self::Exclusive)),
            Self::F_UNLCK => Ok(None),
            _ => Err(Malformed),
        }
    }
}

/// A lock as somebody wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// The open file.
    pub fh: FileHandle,
    /// Whose it is to be, as the server knows lock owners.
    pub owner: u64,
    /// The first byte.
    pub start: u64,
    /// The last byte.
    pub end: u64,
    /// The lock; none to give back what there is.
    pub kind: Option<LockKind>,
    /// The process; zero if it does not matter.
    pub pid: u32,
    /// It is a lock of flock(2).
    pub flock: bool,
}

impl Lock {
    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        w.put(&LkIn {
            fh: self.fh.0,
            owner: self.owner,
            lk: FileLock {
                start: self.start,
                end: self.end,
                kind: LockKind::to_wire(self.kind),
                pid: self.pid,
            },
            lk_flags: LockFlags::when(self.flock, LockFlags::FLOCK).bits(),
            padding: 0,
        })
    }
}

/// A lock that somebody has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldLock {
    /// What it keeps others from.
    pub kind: LockKind,
    /// The first byte.
    pub start: u64,
    /// The last byte, not before the first and at most `i64::MAX`.
    pub end: u64,
    /// The process, as the server calls it; any number.
    pub pid: u32,
}

/// Asks for a lock that is in the way of another; the reply is one of them.
pub struct Getlk(pub Lock);

impl Operation for Getlk {
    const OPCODE: Opcode = Opcode::Getlk;

    fn body_len(&self) -> usize {
        size_of::<LkIn>()
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        self.0.fill(w)
    }

    struct_reply!(LkOut => Option<HeldLock>, |out, _this| {
        let Some(kind) = LockKind::from_wire(out.lk.kind)? else {
            return Ok(None);
        };
        if out.lk.start > out.lk.end || out.lk.end > MAX_END {
            return Err(Malformed);
        }
        Ok(Some(HeldLock {
            kind,
            start: out.lk.start,
            end: out.lk.end,
            pid: out.lk.pid,
        }))
    });
}

/// Takes a lock or gives it back; with `WAIT`, not before it can be had.
#[derive(Clone, Copy, Debug)]
pub struct Setlk<const WAIT: bool>(pub Lock);

impl<const WAIT: bool> Operation for Setlk<WAIT> {
    const OPCODE: Opcode = if WAIT { Opcode::Setlkw } else { Opcode::Setlk };

    fn body_len(&self) -> usize {
        size_of::<LkIn>()
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        self.0.fill(w)
    }

    header_reply!();
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::IntoBytes;

    fn lock() -> Lock {
        Lock {
            fh: FileHandle(1),
            owner: 2,
            start: 3,
            end: 4,
            kind: Some(LockKind::Exclusive),
            pid: 5,
            flock: true,
        }
    }

    #[test]
    fn what_is_asked_for() {
        let mut body = [0; 48];
        Setlk::<true>(lock())
            .fill(&mut Writer::new(&mut body))
            .unwrap();
        let words: [u64; 6] = zerocopy::transmute!(body);
        assert_eq!(words, [1, 2, 3, 4, 5 << 32 | 1, 1]);
        assert_eq!(Setlk::<true>::OPCODE, Opcode::Setlkw);
        assert_eq!(Setlk::<false>::OPCODE, Opcode::Setlk);
    }

    #[test]
    fn locks_in_the_way_are_locks() {
        let reply = |kind, start, end| {
            let lk = FileLock {
                start,
                end,
                kind,
                pid: u32::MAX,
            };
            Getlk(lock()).parse(LkOut { lk }.as_bytes())
        };
        let held = |kind, start, end| {
            Ok(Some(HeldLock {
                kind,
                start,
                end,
                pid: u32::MAX,
            }))
        };
        assert_eq!(reply(0, 0, MAX_END), held(LockKind::Shared, 0, MAX_END));
        assert_eq!(reply(1, 7, 7), held(LockKind::Exclusive, 7, 7));
        assert_eq!(reply(2, 9, 0), Ok(None));
        for kind in [3, 4, 8, 32, u32::MAX] {
            assert_eq!(reply(kind, 0, 1), Err(Malformed));
        }
        assert_eq!(reply(0, 8, 7), Err(Malformed));
        assert_eq!(reply(1, 0, MAX_END + 1), Err(Malformed));
        assert_eq!(reply(1, u64::MAX, u64::MAX), Err(Malformed));
    }
}
