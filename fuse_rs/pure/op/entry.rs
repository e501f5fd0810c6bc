// SPDX-License-Identifier: GPL-2.0

//! Entries and attributes as a server may send them, and LOOKUP.

use super::operation::struct_reply;
use super::operation::Operation;
use crate::abi::attr::Attr;
use crate::abi::attr::EntryOut;
use crate::abi::cursor::Malformed;
use crate::abi::cursor::Name;
use crate::abi::cursor::Overflow;
use crate::abi::cursor::Writer;
use crate::abi::flags::AttrFlags;
use crate::abi::ids::Generation;
use crate::abi::ids::NodeId;
use crate::abi::ids::Opcode;

const NSEC_PER_SEC: u64 = 1_000_000_000;

/// How long something may be cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout {
    nanos: u64,
}

impl Timeout {
    /// May not be cached.
    pub const ZERO: Self = Self { nanos: 0 };

    /// From the fields on the wire. More than a second's worth of nanoseconds counts as one
    /// nanosecond less than a second; what does not fit is for ever.
    #[inline]
    pub const fn new(secs: u64, nsec: u32) -> Self {
        let nsec = clamp_nsec(nsec) as u64;
        Self {
            nanos: secs.saturating_mul(NSEC_PER_SEC).saturating_add(nsec),
        }
    }

    /// Nanoseconds; `u64::MAX` is for ever.
    pub const fn as_nanos(self) -> u64 {
        self.nanos
    }

    /// The moment until which something fetched at `now` (nanoseconds) is valid.
    ///
    /// Zero when it may not be cached at all, so that a deadline of zero is always past.
    #[inline]
    pub const fn deadline(self, now: u64) -> u64 {
        if self.nanos == 0 {
            0
        } else {
            now.saturating_add(self.nanos)
        }
    }
}

const fn clamp_nsec(nsec: u32) -> u32 {
    if nsec as u64 >= NSEC_PER_SEC {
        (NSEC_PER_SEC - 1) as u32
    } else {
        nsec
    }
}

/// A moment: seconds since 1970, any sign, and nanoseconds below one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    /// Seconds.
    pub sec: i64,
    /// Nanoseconds, below 1 000 000 000.
    pub nsec: u32,
}

impl Time {
    /// From the fields on the wire.
    pub const fn from_wire(sec: u64, nsec: u32) -> Self {
        Self {
            sec: sec as i64,
            nsec: clamp_nsec(nsec),
        }
    }
}

/// What kind of file an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileType {
    /// Regular file.
    Regular,
    /// Directory.
    Directory,
    /// Symbolic link.
    Symlink,
    /// Character device.
    CharDevice,
    /// Block device.
    BlockDevice,
    /// Named pipe.
    Fifo,
    /// Socket.
    Socket,
}

impl FileType {
    /// Mask of the type in a mode.
    pub const MASK: u32 = 0o170_000;

    /// The type in `mode`.
    pub const fn from_mode(mode: u32) -> Option<Self> {
        Some(match mode & Self::MASK {
            0o100_000 => Self::Regular,
            0o040_000 => Self::Directory,
            0o120_000 => Self::Symlink,
            0o020_000 => Self::CharDevice,
            0o060_000 => Self::BlockDevice,
            0o010_000 => Self::Fifo,
            0o140_000 => Self::Socket,
            _ => return None,
        })
    }

    /// The bits in a mode.
    pub const fn bits(self) -> u32 {
        match self {
            Self::Regular => 0o100_000,
            Self::Directory => 0o040_000,
            Self::Symlink => 0o120_000,
            Self::CharDevice => 0o020_000,
            Self::BlockDevice => 0o060_000,
            Self::Fifo => 0o010_000,
            Self::Socket => 0o140_000,
        }
    }
}

/// Attributes that hold what their types say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Inode number for users.
    pub ino: u64,
    /// Size in bytes, at most `i64::MAX`.
    pub size: u64,
    /// Blocks of 512 bytes.
    pub blocks: u64,
    /// Time of last access.
    pub atime: Time,
    /// Time of last modification.
    pub mtime: Time,
    /// Time of last status change.
    pub ctime: Time,
    /// What kind of file it is.
    pub kind: FileType,
    /// Permission bits, with set-id and sticky bits.
    pub perm: u16,
    /// Number of hard links.
    pub nlink: u32,
    /// Owner, in the mount's user namespace.
    pub uid: u32,
    /// Group, in the mount's user namespace.
    pub gid: u32,
    /// Device number in the 32-bit user encoding.
    pub rdev: u32,
    /// Preferred block size as the server gave it; zero for the default.
    pub blksize: u32,
    /// Further properties.
    pub flags: AttrFlags,
}

impl Attributes {
    /// Checks attributes as a server sent them.
    #[inline]
    pub fn from_wire(attr: &Attr) -> Result<Self, Malformed> {
        if attr.size > i64::MAX as u64 {
            return Err(Malformed);
        }
        Ok(Self {
            ino: attr.ino,
            size: attr.size,
            blocks: attr.blocks,
            atime: Time::from_wire(attr.atime, attr.atimensec),
            mtime: Time::from_wire(attr.mtime, attr.mtimensec),
            ctime: Time::from_wire(attr.ctime, attr.ctimensec),
            kind: FileType::from_mode(attr.mode).ok_or(Malformed)?,
            perm: (attr.mode & 0o7777) as u16,
            nlink: attr.nlink,
            uid: attr.uid,
            gid: attr.gid,
            rdev: attr.rdev,
            blksize: attr.blksize,
            flags: AttrFlags::from_bits(attr.flags),
        })
    }

    /// Type and permission bits together.
    pub const fn mode(&self) -> u16 {
        (self.kind.bits() as u16) | self.perm
    }
}

/// An inode the server has told us about, and one lookup of it that must be given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The inode; never the root, which nothing looks up.
    pub node: NodeId,
    /// Tells successive uses of the node id apart.
    pub generation: Generation,
    /// How long the name may be cached.
    pub entry_valid: Timeout,
    /// How long the attributes may be cached.
    pub attr_valid: Timeout,
    /// The attributes.
    pub attr: Attributes,
}

impl Entry {
    /// Checks an entry as a server sent it.
    #[inline]
    pub fn from_wire(entry: &EntryOut) -> Result<Self, Malformed> {
        let node = NodeId::from_server(entry.nodeid).ok_or(Malformed)?;
        if node == NodeId::ROOT {
            return Err(Malformed);
        }
        Ok(Self {
            node,
            generation: Generation(entry.generation),
            entry_valid: Timeout::new(entry.entry_valid, entry.entry_valid_nsec),
            attr_valid: Timeout::new(entry.attr_valid, entry.attr_valid_nsec),
            attr: Attributes::from_wire(&entry.attr)?,
        })
    }
}

/// The node id in the reply to a request that looks an inode up, whether or not the rest of the
/// reply is well-formed: the server has counted the lookup.
pub fn looked_up_node(body: &[u8]) -> Option<NodeId> {
    let (head, _) = body.split_first_chunk::<8>()?;
    NodeId::from_server(u64::from_ne_bytes(*head)).filter(|node| *node != NodeId::ROOT)
}

/// Looks a name up in a directory.
pub struct Lookup<'a> {
    /// The name.
    pub name: Name<'a>,
}

/// What LOOKUP found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupReply {
    /// The entry.
    Found(Entry),
    /// There is no such entry, and that may be remembered for so long.
    Negative(Timeout),
}

impl Operation for Lookup<'_> {
    const OPCODE: Opcode = Opcode::Lookup;

    fn body_len(&self) -> usize {
        self.name.wire_len()
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        w.name(self.name)
    }

    struct_reply!(EntryOut => LookupReply, |entry, _this| {
        if entry.nodeid == 0 {
            Ok(LookupReply::Negative(Timeout::new(
                entry.entry_valid,
                entry.entry_valid_nsec,
            )))
        } else {
            Entry::from_wire(&entry).map(LookupReply::Found)
        }
    });
}

/// Looks up a node by its id, as the entry "." of itself.
pub struct LookupSelf {
    /// The node.
    pub node: NodeId,
}

impl Operation for LookupSelf {
    const OPCODE: Opcode = Opcode::Lookup;

    fn body_len(&self) -> usize {
        2
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        w.bytes(b".\0")
    }

    struct_reply!(EntryOut => Option<Entry>, |entry, this| {
        if entry.nodeid == 0 {
            return Ok(None);
        }
        let entry = Entry::from_wire(&entry)?;
        if entry.node == this.node {
            Ok(Some(entry))
        } else {
            Err(Malformed)
        }
    });
}

/// Looks up the directory that a directory is in, as its entry "..".
pub struct LookupParent;

/// The directory that a directory is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parent {
    /// There is none.
    None,
    /// The root, of which no lookups are counted.
    Root,
    /// Another directory.
    Other(Entry),
}

impl Parent {
    /// The node, if a lookup of it has been counted.
    pub fn node(&self) -> Option<NodeId> {
        match self {
            Self::None | Self::Root => None,
            Self::Other(entry) => Some(entry.node),
        }
    }
}

impl Operation for LookupParent {
    const OPCODE: Opcode = Opcode::Lookup;

    fn body_len(&self) -> usize {
        3
    }

    fn fill(&self, w: &mut Writer<'_>) -> Result<(), Overflow> {
        w.bytes(b"..\0")
    }

    struct_reply!(EntryOut => Parent, |entry, _this| {
        match NodeId::from_server(entry.nodeid) {
            None => return Ok(Parent::None),
            Some(NodeId::ROOT) => return Ok(Parent::Root),
            Some(_) => {}
        }
        let entry = Entry::from_wire(&entry)?;
        if entry.attr.kind == FileType::Directory {
            Ok(Parent::Other(entry))
        } else {
            Err(Malformed)
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::IntoBytes;

    fn entry() -> EntryOut {
        EntryOut {
            nodeid: 2,
            entry_valid: 1,
            attr: Attr {
                mode: 0o100_644,
                ..Attr::default()
            },
            ..EntryOut::default()
        }
    }

    fn lookup(out: &EntryOut) -> Result<LookupReply, Malformed> {
        let op = Lookup {
            name: Name::new(b"x").unwrap(),
        };
        op.parse(out.as_bytes())
    }

    #[test]
    fn accepts_a_plain_entry() {
        assert!(matches!(lookup(&entry()), Ok(LookupReply::Found(_))));
    }

    #[test]
    fn zero_node_is_negative() {
        let out = EntryOut {
            nodeid: 0,
            attr: Attr::default(),
            ..entry()
        };
        assert_eq!(lookup(&out), Ok(LookupReply::Negative(Timeout::new(1, 0))));
    }

    #[test]
    fn refuses_root_bad_type_and_huge_size() {
        let mut bad = entry();
        bad.nodeid = 1;
        assert!(lookup(&bad).is_err());
        let mut bad = entry();
        bad.attr.mode = 0o644;
        assert!(lookup(&bad).is_err());
        let mut bad = entry();
        bad.attr.size = 1 << 63;
        assert!(lookup(&bad).is_err());
    }

    #[test]
    fn a_node_is_found_in_itself() {
        let found = |node| {
            LookupSelf {
                node: NodeId::from_server(node).unwrap(),
            }
            .parse(entry().as_bytes())
        };
        assert!(matches!(found(2), Ok(Some(_))));
        assert!(found(3).is_err());
    }

    #[test]
    fn a_parent_is_a_directory() {
        let mut out = entry();
        assert!(LookupParent.parse(out.as_bytes()).is_err());
        out.attr.mode = 0o040_755;
        let parent = LookupParent.parse(out.as_bytes()).unwrap();
        assert_eq!(parent.node(), NodeId::from_server(2));
        out.nodeid = 1;
        assert_eq!(LookupParent.parse(out.as_bytes()), Ok(Parent::Root));
        out.nodeid = 0;
        assert_eq!(LookupParent.parse(out.as_bytes()), Ok(Parent::None));
    }

    #[test]
    fn timeouts_saturate() {
        assert_eq!(Timeout::new(u64::MAX, u32::MAX).as_nanos(), u64::MAX);
        assert_eq!(Timeout::new(0, u32::MAX).as_nanos(), NSEC_PER_SEC - 1);
        assert_eq!(Timeout::ZERO.deadline(77), 0);
        assert_eq!(Timeout::new(u64::MAX, 0).deadline(77), u64::MAX);
    }
}
