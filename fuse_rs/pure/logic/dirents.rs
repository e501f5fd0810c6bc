// SPDX-License-Identifier: GPL-2.0

//! The bodies of READDIR and READDIRPLUS replies.

use crate::abi::attr::Dirent;
use crate::abi::attr::EntryOut;
use crate::abi::cursor::Malformed;
use crate::abi::cursor::Reader;
use crate::abi::ids::NodeId;
use core::mem::size_of;

/// Longest name taken from a server in a directory listing.
pub const NAME_MAX: usize = 1024;

/// One entry of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The name: 1 to [`NAME_MAX`] bytes, without `/` and NUL.
    pub name: &'a [u8],
    /// Inode number.
    pub ino: u64,
    /// Position after this entry; fits a signed 64-bit offset's bits.
    pub next: u64,
    /// `DT_*`, a small number.
    pub kind: u32,
}

/// Whether one of the eight bytes is zero.
const fn has_zero(word: u64) -> bool {
    const ONES: u64 = u64::MAX / 255;
    word.wrapping_sub(ONES) & !word & (ONES << 7) != 0
}

/// Whether `name` is without `/` and NUL.
fn is_component(name: &[u8]) -> bool {
    const SLASHES: u64 = (u64::MAX / 255).wrapping_mul(b'/' as u64);
    let mut rest = name;
    while let Some((word, tail)) = rest.split_first_chunk() {
        let word = u64::from_ne_bytes(*word);
        if has_zero(word) || has_zero(word ^ SLASHES) {
            return false;
        }
        rest = tail;
    }
    rest.iter().all(|byte| *byte != b'/' && *byte != 0)
}

impl Entry<'_> {
    /// Bytes on the wire, with the padding.
    #[inline]
    pub fn wire_len(&self) -> usize {
        padded(size_of::<Dirent>().saturating_add(self.name.len()))
    }
}

/// `len` rounded up to the 8 bytes to which entries are padded.
#[inline]
const fn padded(len: usize) -> usize {
    len.saturating_add(len.wrapping_neg() & 7)
}

/// Iterates over the entries; stops at the first that is cut off, which is how a server ends a
/// full buffer, and yields `Err` for one that no server may send.
pub struct Entries<'a> {
    rest: &'a [u8],
}

impl<'a> Entries<'a> {
    /// Reads `body`.
    pub fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let rest = core::mem::take(&mut self.rest);
        let mut reader = Reader::new(rest);
        let Ok(head) = reader.take::<Dirent>() else {
            return None;
        };
        let len = head.namelen as usize;
        if len == 0 || len > NAME_MAX {
            return Some(Err(Malformed));
        }
        let Ok(name) = reader.bytes(len) else {
            return None;
        };
        if !is_component(name) {
            return Some(Err(Malformed));
        }
        // The padding of the last may be missing.
        let padding = padded(len).saturating_sub(len);
        if reader.bytes(padding.min(reader.remaining())).is_err() {
            return None;
        }
        self.rest = reader.rest();
        Some(Ok(Entry {
            name,
            ino: head.ino,
            next: head.off,
            kind: head.kind & 15,
        }))
    }
}

/// One entry of a directory, with what LOOKUP would say of it.
#[derive(Clone, Copy, Debug)]
pub struct PlusEntry<'a> {
    /// The entry.
    pub entry: Entry<'a>,
    /// What the server says of the inode.
    pub lookup: EntryOut,
}

impl PlusEntry<'_> {
    /// The node of which the server has counted a lookup, if it has.
    #[inline]
    pub fn looked_up(&self) -> Option<NodeId> {
        if matches!(self.entry.name, b"." | b"..") {
            None
        } else {
            NodeId::from_server(self.lookup.nodeid).filter(|id| *id != NodeId::ROOT)
        }
    }
}

/// As [`Entries`], for a READDIRPLUS reply.
pub struct PlusEntries<'a> {
    entries: Entries<'a>,
}

impl<'a> PlusEntries<'a> {
    /// Reads `body`.
    pub fn new(body: &'a [u8]) -> Self {
        Self {
            entries: Entries::new(body),
        }
    }
}

impl<'a> Iterator for PlusEntries<'a> {
    type Item = Result<PlusEntry<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let mut reader = Reader::new(self.entries.rest);
        let Ok(lookup) = reader.take::<EntryOut>() else {
            self.entries.rest = &[];
            return None;
        };
        self.entries.rest = reader.rest();
        let entry = self.entries.next()?;
        Some(entry.map(|entry| PlusEntry { entry, lookup }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::vec::Vec;
    use zerocopy::IntoBytes;

    fn push(out: &mut Vec<u8>, name: &[u8], off: u64) {
        let head = Dirent {
            ino: 7,
            off,
            namelen: name.len() as u32,
            kind: 4,
        };
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(name);
        while out.len() % 8 != 0 {
            out.push(0);
        }
    }

    #[test]
    fn reads_back_what_was_written() {
        let mut body = Vec::new();
        for (i, name) in [&b"a"[..], b"12345678", b"."].iter().enumerate() {
            push(&mut body, name, i as u64);
        }
        let names: Vec<_> = Entries::new(&body).map(|e| e.unwrap().name).collect();
        assert_eq!(names, [&b"a"[..], b"12345678", b"."]);
    }

    #[test]
    fn every_place_of_a_name_is_checked() {
        for len in 1..40 {
            // With the neighbours of the two in value, and bytes with the top bit set.
            let name: Vec<u8> = (0..len)
                .map(|i| [1, 0x2e, 0x30, 0x80, 0xaf, 0xff][i % 6])
                .collect();
            assert!(is_component(&name), "{len}");
            for at in 0..len {
                for bad in [0, b'/'] {
                    let mut name = name.clone();
                    name[at] = bad;
                    assert!(!is_component(&name), "{len} {at} {bad}");
                }
            }
        }
    }

    #[test]
    fn a_cut_off_entry_ends_the_listing() {
        let mut body = Vec::new();
        push(&mut body, b"whole", 1);
        push(&mut body, b"cutcutcut", 2);
        for cut in 32..body.len() - 8 {
            assert_eq!(Entries::new(&body[..cut]).count(), 1, "{cut}");
        }
    }

    #[test]
    fn bad_names_are_errors_and_end_the_iteration() {
        for name in [&b"a/b"[..], b"\0", b"", &[b'x'; 1025]] {
            let mut body = Vec::new();
            push(&mut body, name, 1);
            push(&mut body, b"next", 2);
            let mut entries = Entries::new(&body);
            assert_eq!(entries.next(), Some(Err(Malformed)));
            assert_eq!(entries.next(), None);
        }
    }

    fn push_plus(out: &mut Vec<u8>, name: &[u8], node: u64) {
        let lookup = EntryOut {
            nodeid: node,
            ..EntryOut::default()
        };
        out.extend_from_slice(lookup.as_bytes());
        push(out, name, node);
    }

    #[test]
    fn plus_entries_count_lookups_but_for_dots() {
        let mut body = Vec::new();
        push_plus(&mut body, b".", 1);
        push_plus(&mut body, b"..", 1);
        push_plus(&mut body, b"file", 7);
        push_plus(&mut body, b"unknown", 0);
        let nodes: Vec<_> = PlusEntries::new(&body)
            .map(|e| e.unwrap().looked_up().map(NodeId::get))
            .collect();
        assert_eq!(nodes, [None, None, Some(7), None]);
        let whole = PlusEntries::new(&body).count();
        for cut in 0..body.len() {
            assert!(PlusEntries::new(&body[..cut]).count() <= whole);
        }
    }
}
