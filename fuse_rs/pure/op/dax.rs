// SPDX-License-Identifier: GPL-2.0

//! SETUPMAPPING and REMOVEMAPPING: what the server shows in the DAX window.

use super::operation::header_reply;
use super::operation::Operation;
use crate::abi::cursor::Overflow;
use crate::abi::cursor::Writer;
use crate::abi::flags::MappingFlags;
use crate::abi::ids::Opcode;
use crate::abi::misc::RemoveMappingIn;
use crate::abi::misc::RemoveMappingOne;
use crate::abi::misc::SetupMappingIn;
use crate::logic::dax_window::RangeId;
use crate::logic::dax_window::RANGE;
use core::mem::size_of;

/// Shows a piece of a file in a range of the window; what was there before is shown no longer.
#[derive(Clone, Copy, Debug)]
pub struct SetupMapping {
    /// Number of the piece in the file.
    pub index: u64,
    /// Where it is to be seen.
    pub range: RangeId,
    /// It can be written, too.
    pub write: bool,
}

impl Operation for SetupMapping {
    const OPCODE: Opcode = Opcode::SetupMapping;

    fn body_len(&self) -> usize {
        size_of::<SetupMappingIn>()
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        let write = MappingFlags::when(self.write, MappingFlags::WRITE);
        w.put(&SetupMappingIn {
            // It is for all who have the file open.
            fh: u64::MAX,
            foffset: self.index.saturating_mul(RANGE),
            len: RANGE,
            flags: MappingFlags::READ.with(write).bits(),
            moffset: self.range.offset(),
        })
    }

    header_reply!();
}

/// Shows nothing any longer in these ranges of the window.
#[derive(Clone, Copy, Debug)]
pub struct RemoveMapping<'a> {
    /// The ranges.
    pub ranges: &'a [RangeId],
}

impl Operation for RemoveMapping<'_> {
    const OPCODE: Opcode = Opcode::RemoveMapping;

    fn body_len(&self) -> usize {
        let entries = self
            .ranges
            .len()
            .saturating_mul(size_of::<RemoveMappingOne>());
        size_of::<RemoveMappingIn>().saturating_add(entries)
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        let count = u32::try_from(self.ranges.len()).map_err(|_| Overflow)?;
        w.put(&RemoveMappingIn { count })?;
        for range in self.ranges {
            w.put(&RemoveMappingOne {
                moffset: range.offset(),
                len: RANGE,
            })?;
        }
        Ok(())
    }

    header_reply!();
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::vec;
    use std::vec::Vec;

    fn words(op: &impl Operation, skip: usize) -> Vec<u64> {
        let mut body = vec![0; op.body_len()];
        let mut writer = Writer::new(&mut body);
        op.fill(&mut writer).unwrap();
        assert_eq!(writer.written(), op.body_len());
        body[skip..]
            .chunks(8)
            .map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
            .collect()
    }

    #[test]
    fn a_piece_lies_in_file_and_window() {
        let range = RangeId::from_index(3).unwrap();
        let op = |write| SetupMapping {
            index: 5,
            range,
            write,
        };
        let expected = |flags| [u64::MAX, 5 << 21, 2 << 20, flags, 3 << 21];
        assert_eq!(words(&op(false), 0), expected(2));
        assert_eq!(words(&op(true), 0), expected(3));
    }

    #[test]
    fn several_ranges_in_one_request() {
        let ranges = [7, 1].map(|index| RangeId::from_index(index).unwrap());
        let op = RemoveMapping { ranges: &ranges };
        assert_eq!(op.body_len(), 4 + 2 * 16);
        assert_eq!(words(&op, 4), [7 << 21, 2 << 20, 1 << 21, 2 << 20]);
    }
}
