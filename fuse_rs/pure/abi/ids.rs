// SPDX-License-Identifier: GPL-2.0

//! Numbers that name things on the wire, each with a type of its own.

/// Names an inode to the server. Never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u64);

impl NodeId {
    /// The root directory, known without a lookup.
    pub const ROOT: Self = Self(1);

    /// Accepts a node id that a server sent; zero names nothing.
    pub const fn from_server(raw: u64) -> Option<Self> {
        if raw == 0 {
            None
        } else {
            Some(Self(raw))
        }
    }

    /// The number on the wire.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Tells successive uses of one node id apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation(pub u64);

/// The server's name for an open file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileHandle(pub u64);

/// Names a request; replies carry it back.
///
/// Ordinary requests have even ids. The INTERRUPT for a request has its id plus one. The highest bit
/// marks a request that is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Unique(u64);

impl Unique {
    /// Distance between the ids of two requests.
    pub const STEP: u64 = 2;
    const INTERRUPT: u64 = 1;
    const RESENT: u64 = 1 << 63;

    /// The id of the `n`-th request of a connection, counted from one.
    pub const fn nth(n: u64) -> Self {
        Self(n.wrapping_mul(Self::STEP))
    }

    /// An id as a server sent it.
    pub const fn from_server(raw: u64) -> Self {
        Self(raw)
    }

    /// The number on the wire.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Whether this is the id of an INTERRUPT.
    pub const fn is_interrupt(self) -> bool {
        self.0 & Self::INTERRUPT != 0
    }

    /// The id of the INTERRUPT for this request.
    pub const fn interrupt(self) -> Self {
        Self(self.0 | Self::INTERRUPT)
    }

    /// The request an INTERRUPT is about.
    pub const fn interrupted(self) -> Self {
        Self(self.0 & !Self::INTERRUPT)
    }

    /// The id under which this request is sent again.
    pub const fn resent(self) -> Self {
        Self(self.0 | Self::RESENT)
    }

    /// The id under which this request was sent first.
    pub const fn sent_first(self) -> Self {
        Self(self.0 & !Self::RESENT)
    }

    /// Zero in a reply marks a notification.
    pub const fn is_notification(self) -> bool {
        self.0 == 0
    }
}

macro_rules! opcodes {
    ($($(#[$doc:meta])* $name:ident = $value:expr, $text:expr;)*) => {
        /// What a request asks for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u32)]
        pub enum Opcode {
            $(
                #[doc = $text]
                $name = $value,
            )*
        }

        impl Opcode {
            /// Every opcode.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name in the protocol's documentation.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// The number on the wire.
            pub const fn get(self) -> u32 {
                match self {
                    $(Self::$name => $value,)*
                }
            }
        }
    };
}

opcodes! {
    Lookup = 1, "LOOKUP";
    Forget = 2, "FORGET";
    Getattr = 3, "GETATTR";
    Setattr = 4, "SETATTR";
    Readlink = 5, "READLINK";
    Symlink = 6, "SYMLINK";
    Mknod = 8, "MKNOD";
    Mkdir = 9, "MKDIR";
    Unlink = 10, "UNLINK";
    Rmdir = 11, "RMDIR";
    Rename = 12, "RENAME";
    Link = 13, "LINK";
    Open = 14, "OPEN";
    Read = 15, "READ";
    Write = 16, "WRITE";
    Statfs = 17, "STATFS";
    Release = 18, "RELEASE";
    Fsync = 20, "FSYNC";
    Setxattr = 21, "SETXATTR";
    Getxattr = 22, "GETXATTR";
    Listxattr = 23, "LISTXATTR";
    Removexattr = 24, "REMOVEXATTR";
    Flush = 25, "FLUSH";
    Init = 26, "INIT";
    Opendir = 27, "OPENDIR";
    Readdir = 28, "READDIR";
    Releasedir = 29, "RELEASEDIR";
    Fsyncdir = 30, "FSYNCDIR";
    Getlk = 31, "GETLK";
    Setlk = 32, "SETLK";
    Setlkw = 33, "SETLKW";
    Access = 34, "ACCESS";
    Create = 35, "CREATE";
    Interrupt = 36, "INTERRUPT";
    Bmap = 37, "BMAP";
    Destroy = 38, "DESTROY";
    Ioctl = 39, "IOCTL";
    Poll = 40, "POLL";
    NotifyReply = 41, "NOTIFY_REPLY";
    BatchForget = 42, "BATCH_FORGET";
    Fallocate = 43, "FALLOCATE";
    Readdirplus = 44, "READDIRPLUS";
    Rename2 = 45, "RENAME2";
    Lseek = 46, "LSEEK";
    CopyFileRange = 47, "COPY_FILE_RANGE";
    SetupMapping = 48, "SETUPMAPPING";
    RemoveMapping = 49, "REMOVEMAPPING";
    Syncfs = 50, "SYNCFS";
    Tmpfile = 51, "TMPFILE";
    Statx = 52, "STATX";
    CopyFileRange64 = 53, "COPY_FILE_RANGE_64";
}
