// SPDX-License-Identifier: GPL-2.0

//! Requests about ranges of files without their data: LSEEK, FALLOCATE,
//! COPY_FILE_RANGE, BMAP.

use super::operation::header_reply;
use super::operation::struct_reply;
use super::operation::Operation;
use crate::abi::cursor::Malformed;
use crate::abi::cursor::Overflow;
use crate::abi::cursor::Writer;
use crate::abi::ids::FileHandle;
use crate::abi::ids::NodeId;
use crate::abi::ids::Opcode;
use crate::abi::open::BmapIn;
use crate::abi::open::BmapOut;
use crate::abi::open::CopyFileRangeIn;
use crate::abi::open::CopyFileRangeOut;
use crate::abi::open::FallocateIn;
use crate::abi::open::LseekIn;
use crate::abi::open::LseekOut;
use crate::abi::open::WriteOut;
use core::mem::size_of;
use core::num::NonZeroU64;

/// What is looked for in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// `SEEK_DATA`.
    Data,
    /// `SEEK_HOLE`.
    Hole,
}

impl Extent {
    /// The number of lseek(2), as on the wire.
    pub const fn whence(self) -> u32 {
        match self {
            Self::Data => 3,
            Self::Hole => 4,
        }
    }
}

/// Looks for data or a hole.
#[derive(Clone, Copy, Debug)]
pub struct Lseek {
    /// The file.
    pub fh: FileHandle,
    /// Where to start, in bytes.
    pub offset: u64,
    /// What to look for.
    pub extent: Extent,
}

impl Operation for Lseek {
    const OPCODE: Opcode = Opcode::Lseek;

    fn body_len(&self) -> usize {
        size_of::<LseekIn>()
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        w.put(&LseekIn {
            fh: self.fh.0,
            offset: self.offset,
            whence: self.extent.whence(),
            padding: 0,
        })
    }

    struct_reply!(LseekOut => u64, |out, _this| position(out.offset));
}

/// What is done with a range of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// What is there reads as zeroes afterwards.
    pub zeroes: bool,
    /// The file may grow.
    pub grows: bool,
}

impl Allocation {
    const KEEP_SIZE: u32 = 1;
    const PUNCH_HOLE: u32 = 2;
    const ZERO_RANGE: u32 = 16;

    /// What `mode`, as for fallocate(2), stands for. None for what the protocol does not have.
    pub const fn from_mode(mode: u32) -> Option<Self> {
        if mode & !(Self::KEEP_SIZE | Self::PUNCH_HOLE | Self::ZERO_RANGE) != 0 {
            return None;
        }
        Some(Self {
            zeroes: mode & (Self::PUNCH_HOLE | Self::ZERO_RANGE) != 0,
            grows: mode & Self::KEEP_SIZE == 0,
        })
    }
}

/// Reserves space, or takes it back.
#[derive(Clone, Copy, Debug)]
pub struct Fallocate {
    /// The file.
    pub fh: FileHandle,
    /// Where the range starts, in bytes.
    pub offset: u64,
    /// Bytes of the range.
    pub length: u64,
    /// `FALLOC_FL_*` flags of fallocate(2), as on the wire.
    pub mode: u32,
}

impl Operation for Fallocate {
    const OPCODE: Opcode = Opcode::Fallocate;

    fn body_len(&self) -> usize {
        size_of::<FallocateIn>()
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        w.put(&FallocateIn {
            fh: self.fh.0,
            offset: self.offset,
            length: self.length,
            mode: self.mode,
            padding: 0,
        })
    }

    header_reply!();
}

/// From where to where is copied.
#[derive(Clone, Copy, Debug)]
pub struct Copy {
    /// The file that is copied from.
    pub from: FileHandle,
    /// Where the copying starts, in bytes.
    pub from_offset: u64,
    /// The inode that is copied to.
    pub to_node: NodeId,
    /// The file that is copied to.
    pub to: FileHandle,
    /// Where the copy starts, in bytes.
    pub to_offset: u64,
    /// Bytes to copy.
    pub len: u64,
}

impl Copy {
    fn fill(&self, w: &mut Writer<'_>, len: u64) -> Result<(), Overflow> {
        w.put(&CopyFileRangeIn {
            fh_in: self.from.0,
            off_in: self.from_offset,
            nodeid_out: self.to_node.get(),
            fh_out: self.to.0,
            off_out: self.to_offset,
            len,
            flags: 0,
        })
    }
}

/// More than was to be copied cannot have been.
fn copied(copied: u64, len: u64) -> Result<u64, Malformed> {
    if copied > len {
        Err(Malformed)
    } else {
        Ok(copied)
    }
}

/// Copies within the server (protocol 7.45); the reply is how much.
pub struct CopyFileRange64(pub Copy);

impl Operation for CopyFileRange64 {
    const OPCODE: Opcode = Opcode::CopyFileRange64;

    fn body_len(&self) -> usize {
        size_of::<CopyFileRangeIn>()
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        self.0.fill(w, self.0.len)
    }

    struct_reply!(CopyFileRangeOut => u64, |out, this| copied(out.bytes_copied, this.0.len));
}

/// Copies within the server (protocol 7.28), not more than its reply can tell.
pub struct CopyFileRange(pub Copy);

impl CopyFileRange {
    /// The most that is copied at a time, in bytes: whole pages.
    const MAX: u64 = 0xffff_f000;

    fn len(&self) -> u64 {
        self.0.len.min(Self::MAX)
    }
}

impl Operation for CopyFileRange {
    const OPCODE: Opcode = Opcode::CopyFileRange;

    fn body_len(&self) -> usize {
        size_of::<CopyFileRangeIn>()
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        self.0.fill(w, self.len())
    }

    struct_reply!(WriteOut => u64, |out, this| copied(out.size.into(), this.len()));
}

/// Asks where a block of a file lies on the device of the file system; the reply is the number of
/// the block there, if it is not a hole.
#[derive(Clone, Copy, Debug)]
pub struct Bmap {
    /// Number of the block in the file.
    pub block: u64,
    /// Bytes of a block.
    pub block_size: u32,
    /// Blocks of the device.
    pub device_blocks: u64,
}

impl Operation for Bmap {
    const OPCODE: Opcode = Opcode::Bmap;

    fn body_len(&self) -> usize {
        size_of::<BmapIn>()
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        w.put(&BmapIn {
            block: self.block,
            blocksize: self.block_size,
            padding: 0,
        })
    }

    struct_reply!(BmapOut => Option<NonZeroU64>, |out, this| {
        if out.block == 0 || out.block < this.device_blocks {
            Ok(NonZeroU64::new(out.block))
        } else {
            Err(Malformed)
        }
    });
}

/// A position in a file is not negative.
fn position(offset: u64) -> Result<u64, Malformed> {
    if offset > i64::MAX as u64 {
        Err(Malformed)
    } else {
        Ok(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::IntoBytes;

    #[test]
    fn modes_of_allocation() {
        let mode = |zeroes, grows| Some(Allocation { zeroes, grows });
        assert_eq!(Allocation::from_mode(0), mode(false, true));
        assert_eq!(Allocation::from_mode(1), mode(false, false));
        assert_eq!(Allocation::from_mode(3), mode(true, false));
        assert_eq!(Allocation::from_mode(16), mode(true, true));
        assert_eq!(Allocation::from_mode(17), mode(true, false));
        for other in [8, 32, 64, 128, 1 << 31] {
            assert_eq!(Allocation::from_mode(other), None);
        }
    }

    #[test]
    fn copied_is_bounded_by_asked() {
        let copy = Copy {
            from: FileHandle(1),
            from_offset: 2,
            to_node: NodeId::ROOT,
            to: FileHandle(4),
            to_offset: 5,
            len: 1 << 40,
        };
        let bytes_copied = |bytes_copied| CopyFileRangeOut { bytes_copied };
        let op = CopyFileRange64(copy);
        assert_eq!(op.parse(bytes_copied(1 << 40).as_bytes()), Ok(1 << 40));
        assert!(op.parse(bytes_copied((1 << 40) + 1).as_bytes()).is_err());
        let op = CopyFileRange(copy);
        let mut body = [0; 56];
        op.fill(&mut Writer::new(&mut body)).unwrap();
        assert_eq!(body[40..48], 0xffff_f000u64.to_le_bytes());
        let size = |size| WriteOut { size, padding: 0 };
        assert_eq!(op.parse(size(0xffff_f000).as_bytes()), Ok(0xffff_f000));
        assert!(op.parse(size(0xffff_f001).as_bytes()).is_err());
        let op = CopyFileRange(Copy { len: 7, ..copy });
        assert_eq!(op.parse(size(7).as_bytes()), Ok(7));
        assert!(op.parse(size(8).as_bytes()).is_err());
    }

    #[test]
    fn blocks_are_on_the_device() {
        let block = |device_blocks, block| {
            let op = Bmap {
                block: 7,
                block_size: 512,
                device_blocks,
            };
            op.parse(BmapOut { block }.as_bytes())
        };
        assert_eq!(block(10, 0), Ok(None));
        assert_eq!(block(10, 9), Ok(NonZeroU64::new(9)));
        assert!(block(10, 10).is_err());
        assert_eq!(block(0, 0), Ok(None));
    }

    #[test]
    fn positions_are_not_negative() {
        let op = Lseek {
            fh: FileHandle(1),
            offset: 7,
            extent: Extent::Hole,
        };
        let reply = |offset| op.parse(LseekOut { offset }.as_bytes());
        assert_eq!(reply(0), Ok(0));
        assert_eq!(reply(i64::MAX as u64), Ok(i64::MAX as u64));
        assert!(reply(1 << 63).is_err());
        assert!(reply(u64::MAX).is_err());
    }
}
