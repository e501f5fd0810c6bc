// SPDX-License-Identifier: GPL-2.0
//! What the device itself must know of FUSE messages: where the fields are that it reads or changes.
//! All numbers are little endian, as on every machine that runs virtio-fs.

/// Length of the header of a request.
pub const IN_HEADER: usize = 40;
/// Length of the header of a reply.
pub const OUT_HEADER: usize = 16;
/// Length of `fuse_attr`.
pub const ATTR: usize = 88;
/// Where the attributes are in an entry, and how long an entry is.
pub const ENTRY_ATTR: usize = 40;
pub const ENTRY: usize = ENTRY_ATTR + ATTR;
/// Where the attributes are in the reply to GETATTR.
pub const ATTR_OUT_ATTR: usize = 16;

const ATTR_SIZE: usize = 8;
const ATTR_MODE: usize = 60;
const ATTR_FLAGS: usize = 84;
/// The client shall use DAX for this file.
const FLAG_ATTR_DAX: u32 = 1 << 1;

/// INIT: the reply tells the alignment of mappings.
pub const INIT_MAP_ALIGNMENT: u64 = 1 << 26;
/// INIT: there is a second word of flags.
pub const INIT_EXT: u64 = 1 << 30;
/// INIT: attributes may say which file is for DAX.
pub const INIT_HAS_INODE_DAX: u64 = 1 << 33;

/// What SETUPMAPPING's flags say: the mapping is for writing.
pub const MAP_WRITE: u64 = 1;

macro_rules! opcodes {
    ($($name:ident = $number:literal,)*) => {
        $(pub const $name: u32 = $number;)*
        /// Every opcode with its name.
        pub const OPCODES: &[(u32, &str)] = &[$(($number, stringify!($name)),)*];
    };
}

opcodes! {
    LOOKUP = 1, FORGET = 2, GETATTR = 3, SETATTR = 4, READLINK = 5, SYMLINK = 6, MKNOD = 8,
    MKDIR = 9, UNLINK = 10, RMDIR = 11, RENAME = 12, LINK = 13, OPEN = 14, READ = 15, WRITE = 16,
    STATFS = 17, RELEASE = 18, FSYNC = 20, SETXATTR = 21, GETXATTR = 22, LISTXATTR = 23,
    REMOVEXATTR = 24, FLUSH = 25, INIT = 26, OPENDIR = 27, READDIR = 28, RELEASEDIR = 29,
    FSYNCDIR = 30, GETLK = 31, SETLK = 32, SETLKW = 33, ACCESS = 34, CREATE = 35, INTERRUPT = 36,
    BMAP = 37, DESTROY = 38, IOCTL = 39, POLL = 40, NOTIFY_REPLY = 41, BATCH_FORGET = 42,
    FALLOCATE = 43, READDIRPLUS = 44, RENAME2 = 45, LSEEK = 46, COPY_FILE_RANGE = 47,
    SETUPMAPPING = 48, REMOVEMAPPING = 49, SYNCFS = 50, TMPFILE = 51, STATX = 52,
    COPY_FILE_RANGE_64 = 53,
}

/// Bytes of a fixed length at a place, if there are so many.
fn bytes<const N: usize>(message: &[u8], at: usize) -> Option<[u8; N]> {
    message.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// A 32-bit number in a message.
pub fn u32_at(message: &[u8], at: usize) -> Option<u32> {
    bytes(message, at).map(u32::from_le_bytes)
}

/// A 64-bit number in a message.
pub fn u64_at(message: &[u8], at: usize) -> Option<u64> {
    bytes(message, at).map(u64::from_le_bytes)
}

/// Writes bytes into a message, if they fit.
pub fn put(message: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = message.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

/// The header of a request.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    pub opcode: u32,
    pub unique: u64,
    pub nodeid: u64,
}

impl Header {
    pub fn of(request: &[u8]) -> Option<Self> {
        bytes::<IN_HEADER>(request, 0)?;
        Some(Header {
            opcode: u32_at(request, 4)?,
            unique: u64_at(request, 8)?,
            nodeid: u64_at(request, 16)?,
        })
    }
}

/// A reply with nothing but an error number, or zero.
pub fn status(unique: u64, errno: i32) -> Vec<u8> {
    let mut reply = Vec::with_capacity(OUT_HEADER);
    reply.extend((OUT_HEADER as u32).to_le_bytes());
    reply.extend((-errno).to_le_bytes());
    reply.extend(unique.to_le_bytes());
    reply
}

/// Whether a reply brings what was asked for.
pub fn succeeded(reply: &[u8]) -> bool {
    u32_at(reply, 4) == Some(0)
}

/// The attributes of a file in a reply.
pub struct Attr<'a>(&'a mut [u8]);

impl<'a> Attr<'a> {
    pub fn at(reply: &'a mut [u8], at: usize) -> Option<Self> {
        reply.get_mut(at..at.checked_add(ATTR)?).map(Attr)
    }

    pub fn size(&self) -> u64 {
        u64_at(self.0, ATTR_SIZE).unwrap_or(0)
    }

    pub fn is_regular(&self) -> bool {
        u32_at(self.0, ATTR_MODE).unwrap_or(0) & libc::S_IFMT == libc::S_IFREG
    }

    pub fn set_dax(&mut self) {
        let flags = u32_at(self.0, ATTR_FLAGS).unwrap_or(0) | FLAG_ATTR_DAX;
        put(self.0, ATTR_FLAGS, &flags.to_le_bytes());
    }
}

/// The entries of a READDIRPLUS reply: where each begins, and its name.
pub fn plus_entries(reply: &[u8]) -> Vec<(usize, Vec<u8>)> {
    const DIRENT_NAME: usize = 24;
    let mut found = Vec::new();
    let mut at = OUT_HEADER;
    while let Some(length) = u32_at(reply, at + ENTRY + 16) {
        let name = at + ENTRY + DIRENT_NAME;
        let Some(bytes) = reply.get(name..name + length as usize) else {
            break;
        };
        found.push((at, bytes.to_vec()));
        at = name + (length as usize).next_multiple_of(8);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_request_has_no_header() {
        assert!(Header::of(&[0; IN_HEADER - 1]).is_none());
        let mut request = [0; IN_HEADER];
        put(&mut request, 4, &LOOKUP.to_le_bytes());
        put(&mut request, 8, &7u64.to_le_bytes());
        put(&mut request, 16, &1u64.to_le_bytes());
        let header = Header::of(&request).unwrap();
        assert_eq!(
            (header.opcode, header.unique, header.nodeid),
            (LOOKUP, 7, 1)
        );
    }

    #[test]
    fn a_status_is_a_negative_errno() {
        let reply = status(9, libc::ENOENT);
        assert_eq!(reply.len(), OUT_HEADER);
        assert_eq!(u32_at(&reply, 4), Some(-libc::ENOENT as u32));
        assert!(!succeeded(&reply));
        assert!(succeeded(&status(9, 0)));
    }

    #[test]
    fn entries_of_a_listing_are_found_until_it_is_cut() {
        let mut reply = vec![0; OUT_HEADER];
        for name in ["a", "ninechars"] {
            let at = reply.len();
            let length = (ENTRY + 24 + name.len()).next_multiple_of(8);
            reply.resize(at + length, 0);
            put(
                &mut reply,
                at + ENTRY + 16,
                &(name.len() as u32).to_le_bytes(),
            );
            put(&mut reply, at + ENTRY + 24, name.as_bytes());
        }
        let names = |reply: &[u8]| {
            plus_entries(reply)
                .into_iter()
                .map(|e| e.1)
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&reply), [b"a".to_vec(), b"ninechars".to_vec()]);
        reply.truncate(reply.len() - 8);
        assert_eq!(names(&reply), [b"a".to_vec()]);
    }
}
