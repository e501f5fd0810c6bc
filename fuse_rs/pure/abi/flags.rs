// SPDX-License-Identifier: GPL-2.0

//! Typed sets of flags.

/// Defines a set of flags over an integer.
macro_rules! flag_set {
    ($(#[$meta:meta])* $name:ident($raw:ty) { $($(#[$fmeta:meta])* $flag:ident = $bit:expr;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name($raw);

        impl $name {
            $($(#[$fmeta])* pub const $flag: Self = Self($bit);)*

            /// No flag.
            pub const fn empty() -> Self {
                Self(0)
            }

            /// The set with these bits, known or not.
            pub const fn from_bits(bits: $raw) -> Self {
                Self(bits)
            }

            /// The bits on the wire.
            pub const fn bits(self) -> $raw {
                self.0
            }

            /// Whether all flags of `other` are in the set.
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// The flags of both sets together.
            #[must_use]
            pub const fn with(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// The flags that are in both sets.
            #[must_use]
            pub const fn intersect(self, other: Self) -> Self {
                Self(self.0 & other.0)
            }

            /// The flags of this set that are not in `other`.
            #[must_use]
            pub const fn without(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }

            /// `flag` if `condition` holds, else no flag.
            #[must_use]
            pub const fn when(condition: bool, flag: Self) -> Self {
                if condition {
                    flag
                } else {
                    Self(0)
                }
            }
        }
    };
}
pub(crate) use flag_set;

flag_set! {
    /// What a SETATTR changes (`FATTR_*`).
    SetattrValid(u32) {
        /// Permission bits.
        MODE = 1 << 0;
        /// Owner.
        UID = 1 << 1;
        /// Group.
        GID = 1 << 2;
        /// Size: a truncation or extension.
        SIZE = 1 << 3;
        /// Time of last access.
        ATIME = 1 << 4;
        /// Time of last modification.
        MTIME = 1 << 5;
        /// The request carries a file handle.
        FH = 1 << 6;
        /// Set the access time to the server's present.
        ATIME_NOW = 1 << 7;
        /// Set the modification time to the server's present.
        MTIME_NOW = 1 << 8;
        /// The request carries a lock owner.
        LOCKOWNER = 1 << 9;
        /// Time of last status change.
        CTIME = 1 << 10;
        /// Drop the set-user-id and set-group-id bits.
        KILL_SUIDGID = 1 << 11;
    }
}

flag_set! {
    /// What the server says of an opened file (`FOPEN_*`).
    OpenFlags(u32) {
        /// Do not use the page cache.
        DIRECT_IO = 1 << 0;
        /// Keep what is cached from before.
        KEEP_CACHE = 1 << 1;
        /// The file cannot seek.
        NONSEEKABLE = 1 << 2;
        /// The directory may be cached.
        CACHE_DIR = 1 << 3;
        /// The file is a stream: it has no position.
        STREAM = 1 << 4;
        /// Do not send FLUSH at close.
        NOFLUSH = 1 << 5;
        /// Direct writes need not exclude each other.
        PARALLEL_DIRECT_WRITES = 1 << 6;
    }
}

flag_set! {
    /// Properties of an OPEN or CREATE (`FUSE_OPEN_*`).
    OpenInFlags(u32) {
        /// Drop the set-user-id and set-group-id bits along with truncating.
        KILL_SUIDGID = 1 << 0;
    }
}

flag_set! {
    /// Properties of an inode (`FUSE_ATTR_*`).
    AttrFlags(u32) {
        /// The inode is the root of another file system.
        SUBMOUNT = 1 << 0;
        /// Use DAX for the file.
        DAX = 1 << 1;
    }
}

flag_set! {
    /// What can be done with a mapping in the DAX window (`FUSE_SETUPMAPPING_FLAG_*`).
    MappingFlags(u64) {
        /// It can be written.
        WRITE = 1 << 0;
        /// It can be read.
        READ = 1 << 1;
    }
}

flag_set! {
    /// Properties of a WRITE (`FUSE_WRITE_*`).
    WriteFlags(u32) {
        /// The data comes from the page cache: identity and file handle are guesses.
        CACHE = 1 << 0;
        /// The lock owner field is valid.
        LOCKOWNER = 1 << 1;
        /// Drop the set-user-id and set-group-id bits.
        KILL_SUIDGID = 1 << 2;
    }
}

flag_set! {
    /// Properties of a READ (`FUSE_READ_*`).
    ReadFlags(u32) {
        /// The lock owner field is valid.
        LOCKOWNER = 1 << 1;
    }
}

flag_set! {
    /// Properties of a lock (`FUSE_LK_*`).
    LockFlags(u32) {
        /// It is one of flock(2).
        FLOCK = 1 << 0;
    }
}

flag_set! {
    /// Properties of a RELEASE (`FUSE_RELEASE_*`).
    ReleaseFlags(u32) {
        /// Write back what is cached.
        FLUSH = 1 << 0;
        /// Give back the lock of flock(2) that the lock owner has.
        FLOCK_UNLOCK = 1 << 1;
    }
}

flag_set! {
    /// Properties of an IOCTL and its reply (`FUSE_IOCTL_*`).
    IoctlFlags(u32) {
        /// A 32-bit program on a 64-bit kernel.
        COMPAT = 1 << 0;
        /// The server may ask for other memory of the caller.
        UNRESTRICTED = 1 << 1;
        /// The server does so.
        RETRY = 1 << 2;
        /// A 32-bit program.
        _32BIT = 1 << 3;
        /// It is for a directory.
        DIR = 1 << 4;
        /// A program of the x32 ABI.
        COMPAT_X32 = 1 << 5;
    }
}

flag_set! {
    /// Properties of a POLL (`FUSE_POLL_*`).
    PollFlags(u32) {
        /// Send the notification POLL at a change.
        SCHEDULE_NOTIFY = 1 << 0;
    }
}

flag_set! {
    /// Properties of a SETXATTR (`FUSE_SETXATTR_*`).
    SetxattrFlags(u32) {
        /// Drop the set-group-id bit along with setting an access control list.
        ACL_KILL_SGID = 1 << 0;
    }
}
