// SPDX-License-Identifier: GPL-2.0

//! IOCTL: commands that only the server understands.
//!
//! What goes in and comes out is as large as the command's number says. A server that asks for
//! other memory of the caller (`FUSE_IOCTL_RETRY`) does not get it.

use super::operation::Operation;
use super::operation::ReplyShape;
use crate::abi::cursor::Malformed;
use crate::abi::cursor::Overflow;
use crate::abi::cursor::Reader;
use crate::abi::cursor::Writer;
use crate::abi::flags::IoctlFlags;
use crate::abi::header::ServerErrno;
use crate::abi::ids::FileHandle;
use crate::abi::ids::Opcode;
use crate::abi::ioctl::IoctlIn;
use crate::abi::ioctl::IoctlOut;
use core::mem::size_of;

/// A command for an open file.
pub struct Ioctl<'a> {
    /// The open file.
    pub fh: FileHandle,
    /// How the command came.
    pub flags: IoctlFlags,
    /// Its number.
    pub command: u32,
    /// Its argument.
    pub argument: u64,
    /// What goes in.
    pub data: &'a [u8],
    /// The most that comes out, in bytes.
    pub out_size: u32,
}

/// What a server says of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoctlReply {
    /// What the call returns, or an errno.
    pub result: Result<u32, ServerErrno>,
    /// Bytes that come out: the last ones of the reply.
    pub len: usize,
}

impl Operation for Ioctl<'_> {
    const OPCODE: Opcode = Opcode::Ioctl;
    type Reply = IoctlReply;

    fn body_len(&self) -> usize {
        size_of::<IoctlIn>().saturating_add(self.data.len())
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        w.put(&IoctlIn {
            fh: self.fh.0,
            flags: self.flags.bits(),
            cmd: self.command,
            arg: self.argument,
            in_size: u32::try_from(self.data.len()).map_err(|_| Overflow)?,
            out_size: self.out_size,
        })?;
        w.bytes(self.data)
    }

    fn shape(&self) -> ReplyShape {
        ReplyShape::UpTo(size_of::<IoctlOut>().saturating_add(self.out_size as usize))
    }

    fn parse(&self, body: &[u8]) -> Result<IoctlReply, Malformed> {
        let mut reader = Reader::new(body);
        let out: IoctlOut = reader.take()?;
        if IoctlFlags::from_bits(out.flags).contains(IoctlFlags::RETRY) {
            return Err(Malformed);
        }
        let result = match u32::try_from(out.result) {
            Ok(value) => Ok(value),
            Err(_) => match ServerErrno::parse(out.result)? {
                Some(errno) => Err(errno),
                None => return Err(Malformed),
            },
        };
        Ok(IoctlReply {
            result,
            len: reader.remaining(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(data: &[u8]) -> Ioctl<'_> {
        Ioctl {
            fh: FileHandle(1),
            flags: IoctlFlags::DIR,
            command: 2,
            argument: 3,
            data,
            out_size: 4,
        }
    }

    #[test]
    fn data_follows_the_body() {
        let op = op(b"abc");
        let mut body = [0; 35];
        assert_eq!(op.body_len(), body.len());
        op.fill(&mut Writer::new(&mut body)).unwrap();
        assert_eq!(body[8..16], [16, 0, 0, 0, 2, 0, 0, 0]);
        assert_eq!(body[24..], *b"\x03\0\0\0\x04\0\0\0abc");
    }

    #[test]
    fn results_are_values_or_errnos() {
        let reply = |result, flags, data: &[u8]| {
            let out = IoctlOut {
                result,
                flags,
                ..IoctlOut::default()
            };
            let mut body = [0; 20];
            let mut writer = Writer::new(&mut body);
            writer.put(&out).unwrap();
            writer.bytes(data).unwrap();
            let len = writer.written();
            op(b"").parse(&body[..len])
        };
        let value = |result, len| Ok(IoctlReply { result, len });
        assert_eq!(reply(7, 0, b""), value(Ok(7), 0));
        assert_eq!(reply(i32::MAX, 0, b"abcd"), value(Ok(i32::MAX as u32), 4));
        let failed = reply(-25, 0, b"ab").unwrap();
        assert_eq!(failed.result.unwrap_err().get(), 25);
        assert_eq!(failed.len, 2);
        for bad in [-512, -4096, i32::MIN] {
            assert_eq!(reply(bad, 0, b""), Err(Malformed));
        }
        assert_eq!(reply(0, IoctlFlags::RETRY.bits(), b""), Err(Malformed));
        assert_eq!(op(b"").parse(&[0; 15]), Err(Malformed));
        assert!(op(b"").shape().allows(20));
        assert!(!op(b"").shape().allows(21));
    }
}
