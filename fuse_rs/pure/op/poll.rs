// SPDX-License-Identifier: GPL-2.0

//! POLL: what an open file is ready for.

use super::operation::struct_reply;
use super::operation::Operation;
use crate::abi::cursor::Overflow;
use crate::abi::cursor::Writer;
use crate::abi::flags::PollFlags;
use crate::abi::ids::FileHandle;
use crate::abi::ids::Opcode;
use crate::abi::poll::PollIn;
use crate::abi::poll::PollOut;
use core::mem::size_of;

/// `POLL*` events that a file can have: not those that say what is wrong with the call.
const EVENTS: u32 = 0x27df;

/// Asks what an open file is ready for.
pub struct Poll {
    /// The open file.
    pub fh: FileHandle,
    /// Our name for it.
    pub kh: u64,
    /// Somebody waits: the notification POLL is to be sent at a change.
    pub notify: bool,
    /// `POLL*` events that are of interest.
    pub events: u32,
}

impl Operation for Poll {
    const OPCODE: Opcode = Opcode::Poll;

    fn body_len(&self) -> usize {
        size_of::<PollIn>()
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        w.put(&PollIn {
            fh: self.fh.0,
            kh: self.kh,
            flags: PollFlags::when(self.notify, PollFlags::SCHEDULE_NOTIFY).bits(),
            events: self.events,
        })
    }

    // The events that there are.
    struct_reply!(PollOut => u32, |out, _this| Ok(out.revents & EVENTS));
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::IntoBytes;

    #[test]
    fn events_are_those_of_files() {
        let op = Poll {
            fh: FileHandle(1),
            kh: 2,
            notify: true,
            events: 3,
        };
        let reply = |revents| {
            let padding = 0;
            op.parse(PollOut { revents, padding }.as_bytes())
        };
        assert_eq!(reply(0), Ok(0));
        assert_eq!(reply(0x1f), Ok(0x1f));
        // No POLLNVAL, and nothing that means something to epoll only.
        assert_eq!(reply(u32::MAX), Ok(0x27df));
        let mut body = [0; 24];
        op.fill(&mut Writer::new(&mut body)).unwrap();
        assert_eq!(body[16..], [1, 0, 0, 0, 3, 0, 0, 0]);
    }
}
