// SPDX-License-Identifier: GPL-2.0

//! What a server tells without being asked.

use crate::abi::cursor::Malformed;
use crate::abi::cursor::Name;
use crate::abi::cursor::Overflow;
use crate::abi::cursor::Reader;
use crate::abi::cursor::Writer;
use crate::abi::ids::NodeId;
use crate::abi::ids::Opcode;
use crate::abi::ids::Unique;
use crate::abi::misc::NotifyDeleteOut;
use crate::abi::misc::NotifyInvalEntryOut;
use crate::abi::misc::NotifyInvalInodeOut;
use crate::abi::misc::NotifyPruneOut;
use crate::abi::misc::NotifyRetrieveIn;
use crate::abi::misc::NotifyRetrieveOut;
use crate::abi::misc::NotifyStoreOut;
use crate::abi::poll::NotifyPollWakeupOut;
use crate::op::Operation;
use crate::op::ReplyShape;
use core::mem::size_of;

/// Bytes of the longest notification without data: a head, a name and a NUL.
const MAX_NOTICE: usize = size_of::<NotifyDeleteOut>() + MAX_NAME + 1;
/// Longest name in a notification: that of the longest path, as with the C driver.
const MAX_NAME: usize = 4095;
/// The entry is to be looked up again, but may be the same.
const EXPIRE_ONLY: u32 = 1;

/// A range of cached data: first byte, and the byte behind the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First byte.
    pub start: u64,
    /// Behind the last byte; `u64::MAX` for everything.
    pub end: u64,
}

/// A notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice<'a> {
    /// An open file may be ready for something.
    Ready {
        /// Our name for it, as in POLL; any number.
        kh: u64,
    },
    /// Attributes, and perhaps data, of an inode are stale.
    InvalidInode {
        /// The inode.
        node: NodeId,
        /// Stale data.
        data: Option<Range>,
    },
    /// A name of a directory is not to be believed.
    InvalidEntry {
        /// The directory.
        parent: NodeId,
        /// The name.
        name: Name<'a>,
        /// It is to be looked up again, but may be the same.
        expire_only: bool,
    },
    /// A name is gone from a directory.
    Deleted {
        /// The directory.
        parent: NodeId,
        /// What the name stood for.
        child: NodeId,
        /// The name.
        name: Name<'a>,
    },
    /// Data for the cache follows.
    Store {
        /// The inode.
        node: NodeId,
        /// Where it belongs, in bytes.
        offset: u64,
        /// Bytes of data.
        len: u32,
    },
    /// Cached data is wanted, in a [`NotifyReply`].
    Retrieve {
        /// The id the reply is to have.
        unique: Unique,
        /// The inode.
        node: NodeId,
        /// Where the data is, in bytes.
        offset: u64,
        /// Most bytes of it.
        len: u32,
    },
    /// What was sent and is not answered is to be sent again.
    Resend,
    /// No name that has been told is to be believed any more.
    NewEpoch,
    /// Ids of nodes that had better be given back follow: see [`nodes`].
    Prune,
}

/// Bytes of a node id.
pub const NODE_LEN: usize = size_of::<u64>();

/// The nodes that a PRUNE names, from its bytes. What cannot be the id of a node is left out, and
/// so are bytes at the end that are not a whole one.
pub fn nodes(ids: &[u8]) -> impl Iterator<Item = NodeId> + '_ {
    ids.chunks_exact(NODE_LEN)
        .filter_map(|id| id.try_into().ok())
        .filter_map(|id| NodeId::from_server(u64::from_ne_bytes(id)))
}

/// Cached data that the server has asked for; it follows. Not answered.
#[derive(Clone, Copy, Debug)]
pub struct NotifyReply {
    /// Where it is, in bytes.
    pub offset: u64,
    /// Bytes of it.
    pub len: u32,
}

impl Operation for NotifyReply {
    const OPCODE: Opcode = Opcode::NotifyReply;
    type Reply = ();

    fn body_len(&self) -> usize {
        size_of::<NotifyRetrieveIn>()
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        w.put(&NotifyRetrieveIn {
            offset: self.offset,
            size: self.len,
            ..NotifyRetrieveIn::default()
        })
    }

    fn shape(&self) -> ReplyShape {
        ReplyShape::NoReply
    }

    fn parse(&self, _: &[u8]) -> Result<(), Malformed> {
        Ok(())
    }
}

/// Why a notification is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No such notification.
    Unknown,
    /// Not one that a server may send.
    Malformed,
    /// A name is too long.
    NameTooLong,
}

impl From<Malformed> for Refusal {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// How many bytes of a notification [`Notice::parse`] needs, of `len` in all. Of one that is too
/// long it sees one byte too many.
pub fn head_len(code: i32, len: usize) -> usize {
    match code {
        STORE => len.min(size_of::<NotifyStoreOut>()),
        PRUNE => len.min(size_of::<NotifyPruneOut>()),
        _ => len.min(MAX_NOTICE + 1),
    }
}

const POLL: i32 = 1;
const INVAL_INODE: i32 = 2;
const INVAL_ENTRY: i32 = 3;
const STORE: i32 = 4;
const RETRIEVE: i32 = 5;
const DELETE: i32 = 6;
const RESEND: i32 = 7;
const INC_EPOCH: i32 = 8;
const PRUNE: i32 = 9;

fn node(id: u64) -> Result<NodeId, Refusal> {
    NodeId::from_server(id).ok_or(Refusal::Malformed)
}

/// The name that ends a notification, of `len` bytes and a NUL.
fn name<'a>(reader: &mut Reader<'a>, len: u32) -> Result<Name<'a>, Refusal> {
    if len as usize > MAX_NAME {
        return Err(Refusal::NameTooLong);
    }
    let bytes = reader.bytes(len as usize)?;
    reader.bytes(1)?;
    reader.finish()?;
    Name::new(bytes).ok_or(Refusal::Malformed)
}

impl<'a> Notice<'a> {
    /// Reads the first [`head_len`] bytes of a notification of `len` bytes in all.
    pub fn parse(code: i32, len: usize, head: &'a [u8]) -> Result<Self, Refusal> {
        let mut reader = Reader::new(head);
        match code {
            POLL => {
                let out: NotifyPollWakeupOut = reader.take()?;
                reader.finish()?;
                Ok(Self::Ready { kh: out.kh })
            }
            INVAL_INODE => {
                let out: NotifyInvalInodeOut = reader.take()?;
                reader.finish()?;
                let data = u64::try_from(out.off).ok().map(|start| Range {
                    start,
                    end: match u64::try_from(out.len) {
                        Ok(len @ 1..) => start.saturating_add(len),
                        _ => u64::MAX,
                    },
                });
                Ok(Self::InvalidInode {
                    node: node(out.ino)?,
                    data,
                })
            }
            INVAL_ENTRY => {
                let out: NotifyInvalEntryOut = reader.take()?;
                Ok(Self::InvalidEntry {
                    parent: node(out.parent)?,
                    name: name(&mut reader, out.namelen)?,
                    expire_only: out.flags & EXPIRE_ONLY != 0,
                })
            }
            DELETE => {
                let out: NotifyDeleteOut = reader.take()?;
                Ok(Self::Deleted {
                    parent: node(out.parent)?,
                    child: node(out.child)?,
                    name: name(&mut reader, out.namelen)?,
                })
            }
            STORE => {
                let out: NotifyStoreOut = reader.take()?;
                let rest = len.checked_sub(size_of::<NotifyStoreOut>());
                let fits = out.offset.checked_add(u64::from(out.size));
                if rest != Some(out.size as usize) || fits.is_none_or(|end| end > i64::MAX as u64) {
                    return Err(Refusal::Malformed);
                }
                Ok(Self::Store {
                    node: node(out.nodeid)?,
                    offset: out.offset,
                    len: out.size,
                })
            }
            RETRIEVE => {
                let out: NotifyRetrieveOut = reader.take()?;
                reader.finish()?;
                if out.offset > i64::MAX as u64 {
                    return Err(Refusal::Malformed);
                }
                Ok(Self::Retrieve {
                    unique: Unique::from_server(out.notify_unique),
                    node: node(out.nodeid)?,
                    offset: out.offset,
                    len: out.size,
                })
            }
            RESEND => Ok(Self::Resend),
            INC_EPOCH => Ok(Self::NewEpoch),
            PRUNE => {
                let out: NotifyPruneOut = reader.take()?;
                let rest = len.checked_sub(size_of::<NotifyPruneOut>());
                if rest.is_none() || rest != NODE_LEN.checked_mul(out.count as usize) {
                    return Err(Refusal::Malformed);
                }
                Ok(Self::Prune)
            }
            _ => Err(Refusal::Unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::vec::Vec;
    use zerocopy::IntoBytes;

    fn inval_inode(off: i64, len: i64) -> Option<Range> {
        let out = NotifyInvalInodeOut { ino: 5, off, len };
        match Notice::parse(INVAL_INODE, 24, out.as_bytes()) {
            Ok(Notice::InvalidInode { data, .. }) => data,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn ranges() {
        assert_eq!(inval_inode(-1, 5), None);
        let all = Some(Range {
            start: 0,
            end: u64::MAX,
        });
        assert_eq!(inval_inode(0, 0), all);
        assert_eq!(inval_inode(0, -7), all);
        assert_eq!(inval_inode(3, 4), Some(Range { start: 3, end: 7 }));
        assert!(inval_inode(i64::MAX, i64::MAX).is_some());
    }

    fn entry(namelen: u32, name: &[u8]) -> Vec<u8> {
        let out = NotifyInvalEntryOut {
            parent: 1,
            namelen,
            flags: 0,
        };
        let mut bytes = out.as_bytes().to_vec();
        bytes.extend_from_slice(name);
        bytes
    }

    #[test]
    fn names_are_what_their_length_says() {
        let good = entry(4, b"name\0");
        assert!(Notice::parse(INVAL_ENTRY, good.len(), &good).is_ok());
        for bad in [
            entry(4, b"name"),
            entry(5, b"name\0"),
            entry(3, b"name\0"),
            entry(0, b"\0"),
        ] {
            assert_eq!(
                Notice::parse(INVAL_ENTRY, bad.len(), &bad),
                Err(Refusal::Malformed)
            );
        }
        let long = entry(5000, b"");
        assert_eq!(
            Notice::parse(INVAL_ENTRY, long.len(), &long),
            Err(Refusal::NameTooLong)
        );
    }

    #[test]
    fn data_is_as_long_as_it_says_and_fits_a_file() {
        for (offset, size, len, good) in [
            (0, 10, 34, true),
            (0, 10, 35, false),
            (0, 10, 24, false),
            (u64::MAX, 10, 34, false),
            (i64::MAX as u64, 10, 34, false),
        ] {
            let out = NotifyStoreOut {
                nodeid: 9,
                offset,
                size,
                padding: 0,
            };
            assert_eq!(Notice::parse(STORE, len, out.as_bytes()).is_ok(), good);
        }
    }

    #[test]
    fn files_are_named_by_a_number() {
        let kh = u64::MAX;
        assert_eq!(
            Notice::parse(POLL, 8, NotifyPollWakeupOut { kh }.as_bytes()),
            Ok(Notice::Ready { kh })
        );
        for len in [0, 7, 9] {
            let bad = Notice::parse(POLL, len, &[0; 9][..len]);
            assert_eq!(bad, Err(Refusal::Malformed));
        }
    }

    #[test]
    fn data_is_retrieved_from_where_files_may_be() {
        for (offset, good) in [(0, true), (i64::MAX as u64, true), (1 << 63, false)] {
            let out = NotifyRetrieveOut {
                notify_unique: 7,
                nodeid: 2,
                offset,
                size: 5,
                padding: 0,
            };
            let notice = Notice::parse(RETRIEVE, 32, out.as_bytes());
            let expected = Notice::Retrieve {
                unique: Unique::from_server(7),
                node: NodeId::from_server(2).unwrap(),
                offset,
                len: 5,
            };
            assert_eq!(notice.ok(), good.then_some(expected));
        }
        assert!(Notice::parse(RETRIEVE, 8, &[0; 8]).is_err());
        assert_eq!(Notice::parse(RESEND, 0, &[]), Ok(Notice::Resend));
    }

    #[test]
    fn as_many_nodes_are_pruned_as_follow() {
        for (count, rest, good) in [
            (0, 0, true),
            (2, 16, true),
            (2, 15, false),
            (2, 17, false),
            (1, 16, false),
            (u32::MAX, 8, false),
            (1 << 29, 0, false),
        ] {
            let out = NotifyPruneOut {
                count,
                ..NotifyPruneOut::default()
            };
            let notice = Notice::parse(PRUNE, 16 + rest, out.as_bytes());
            assert_eq!(notice.ok(), good.then_some(Notice::Prune));
        }
        assert!(Notice::parse(PRUNE, 8, &[0; 8]).is_err());
        let ids = [7u64, 0, u64::MAX].map(u64::to_ne_bytes).concat();
        let named: Vec<_> = nodes(&ids[..23]).map(NodeId::get).collect();
        assert_eq!(named, [7]);
        assert_eq!(nodes(&ids).count(), 2);
    }

    #[test]
    fn others_are_unknown() {
        for code in [0, 10, 100, -1] {
            assert_eq!(Notice::parse(code, 0, &[]), Err(Refusal::Unknown));
        }
    }
}
