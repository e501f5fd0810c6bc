// SPDX-License-Identifier: GPL-2.0

//! INIT as a function: what we offer and the server's answer in, the terms of the connection out.

use crate::abi;
use crate::abi::init::InitFlags;
use crate::abi::init::InitIn;
use crate::abi::init::InitOut;
use crate::abi::init::COMPAT_22_INIT_OUT;
use crate::logic::dax_window::RANGE_SHIFT;
use zerocopy::IntoBytes;

/// Whether a feature is offered to servers, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// Offered to every server.
    Offered,
    /// Offered if there is a DAX window.
    WithWindow,
    /// Offered if there is one, and the server is to say which files are to use it.
    WithChoice,
    /// Offered if the client mounts what the server says are other file systems.
    WithSubmounts,
    /// Not offered; the reason is for people.
    Not(&'static str),
}

/// One row of the table of features.
pub struct Feature {
    /// The flag.
    pub flag: InitFlags,
    /// Its name in the protocol, without `FUSE_`.
    pub name: &'static str,
    /// Whether we offer it.
    pub support: Support,
}

macro_rules! features {
    ($($flag:ident: $support:expr;)*) => {
        /// Every flag of the protocol.
        pub const FEATURES: &[Feature] = &[$(Feature {
            flag: InitFlags::$flag,
            name: stringify!($flag),
            support: $support,
        }),*];
    };
}

use Support::Not;
use Support::Offered;
use Support::WithChoice;
use Support::WithSubmounts;
use Support::WithWindow;

features! {
    ASYNC_READ: Offered;
    POSIX_LOCKS: Offered;
    FILE_OPS: Not("never had a meaning for the kernel");
    ATOMIC_O_TRUNC: Offered;
    EXPORT_SUPPORT: Offered;
    BIG_WRITES: Offered;
    DONT_MASK: Offered;
    SPLICE_WRITE: Offered;
    SPLICE_MOVE: Not("spliced pages are copied");
    SPLICE_READ: Not("splice(2) from the device works, but copies all but the pages of a WRITE");
    FLOCK_LOCKS: Offered;
    HAS_IOCTL_DIR: Offered;
    AUTO_INVAL_DATA: Offered;
    DO_READDIRPLUS: Offered;
    READDIRPLUS_AUTO: Offered;
    ASYNC_DIO: Offered;
    WRITEBACK_CACHE: Offered;
    NO_OPEN_SUPPORT: Offered;
    PARALLEL_DIROPS: Offered;
    HANDLE_KILLPRIV: Offered;
    POSIX_ACL: Offered;
    ABORT_ERROR: Offered;
    MAX_PAGES: Offered;
    CACHE_SYMLINKS: Offered;
    NO_OPENDIR_SUPPORT: Offered;
    EXPLICIT_INVAL_DATA: Offered;
    MAP_ALIGNMENT: WithWindow;
    SUBMOUNTS: WithSubmounts;
    HANDLE_KILLPRIV_V2: Offered;
    SETXATTR_EXT: Offered;
    INIT_EXT: Offered;
    SECURITY_CTX: Offered;
    HAS_INODE_DAX: WithChoice;
    CREATE_SUPP_GROUP: Offered;
    HAS_EXPIRE_ONLY: Offered;
    DIRECT_IO_ALLOW_MMAP: Offered;
    PASSTHROUGH: Not("passthrough is not implemented yet");
    NO_EXPORT_SUPPORT: Offered;
    HAS_RESEND: Offered;
    ALLOW_IDMAP: Offered;
    OVER_IO_URING: Not("the io_uring transport is not implemented yet");
    REQUEST_TIMEOUT: Offered;
}

/// Which files use the DAX window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dax {
    /// None, or there is no window.
    Never,
    /// All.
    Always,
    /// Those of which the server says so.
    Inode,
}

/// The flags that are offered.
pub fn offered(dax: Dax, submounts: bool) -> InitFlags {
    let is_offered = |support| match support {
        Offered => true,
        WithWindow => dax != Dax::Never,
        WithChoice => dax == Dax::Inode,
        WithSubmounts => submounts,
        Not(_) => false,
    };
    FEATURES.iter().fold(InitFlags::empty(), |set, feature| {
        set.with(InitFlags::when(is_offered(feature.support), feature.flag))
    })
}

/// What the client offers and what bounds the answer.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// Readahead of the mount in bytes.
    pub max_readahead: u32,
    /// Most pages a request may have (the administrator's limit).
    pub max_pages_limit: u16,
    /// Most background requests an unprivileged server may ask for.
    pub max_user_background: u16,
    /// Most congestion threshold an unprivileged server may ask for.
    pub max_user_congestion: u16,
    /// The mounter may exceed the two limits above.
    pub privileged: bool,
    /// `max_read` mount option in bytes.
    pub max_read: u32,
    /// Seconds for a request if the server does not say; zero for no limit.
    pub default_timeout: u32,
    /// Most seconds for a request; zero for no limit.
    pub max_timeout: u32,
    /// Size of a page in bytes.
    pub page_size: u32,
    /// Which files are to use the DAX window.
    pub dax: Dax,
    /// What the server says are other file systems is mounted as such.
    pub submounts: bool,
    /// The kernel checks permissions, whatever the server says.
    pub judges: bool,
}

/// Pages per request when the server does not say.
pub const DEFAULT_MAX_PAGES: u16 = 32;
/// Background requests when the server does not say.
pub const DEFAULT_MAX_BACKGROUND: u16 = 12;
/// Background requests that count as congestion when the server says nothing.
pub const DEFAULT_CONGESTION_THRESHOLD: u16 = 9;
/// From this minor version on servers say how many background requests they take.
const BACKGROUND_MINOR: u32 = 13;
/// From this minor version on servers say whether they keep locks of flock(2).
const FLOCK_MINOR: u32 = 17;
/// Fewest seconds until a request is overdue.
pub const MIN_REQUEST_TIMEOUT: u32 = 15;
/// Smallest `max_write`, and the largest write without BIG_WRITES.
pub const MIN_MAX_WRITE: u32 = 4096;

/// The terms of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// The lower of both sides' minor versions.
    pub minor: u32,
    /// What both sides can do.
    pub features: InitFlags,
    /// Readahead in bytes.
    pub max_readahead: u32,
    /// Largest WRITE in bytes; a multiple of nothing in particular, at least 4096.
    pub max_write: u32,
    /// Largest READ in bytes, at least 4096.
    pub max_read: u32,
    /// Most pages per request, at least one.
    pub max_pages: u16,
    /// Background requests at a time, at least one.
    pub max_background: u16,
    /// Background requests that count as congestion.
    pub congestion_threshold: u16,
    /// Granularity of times in nanoseconds, 1 to 1 000 000 000.
    pub time_gran: u32,
    /// Seconds until a request that is not answered ends the connection.
    pub request_timeout: Option<u32>,
    /// Which files use the DAX window.
    pub dax: Dax,
}

/// Why a server's INIT reply ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The reply is too short to be one.
    Short,
    /// Another major version.
    Major(u32),
    /// An older protocol than we serve.
    Minor(u32),
    /// Mounts that map ids, of a server that checks permissions itself: it is not told ids.
    MappedIds,
}

impl Offer {
    /// The body of INIT.
    pub fn request(&self) -> InitIn {
        let flags = offered(self.dax, self.submounts);
        InitIn {
            major: abi::MAJOR,
            minor: abi::MINOR,
            max_readahead: self.max_readahead,
            flags: flags.low(),
            flags2: flags.high(),
            unused: [0; 11],
        }
    }

    /// Judges the reply.
    pub fn accept(&self, body: &[u8]) -> Result<Negotiated, Refusal> {
        if body.len() < COMPAT_22_INIT_OUT {
            return Err(Refusal::Short);
        }
        // What an older server does not send is zero.
        let mut out = InitOut::default();
        for (to, from) in out.as_mut_bytes().iter_mut().zip(body) {
            *to = *from;
        }
        if out.major != abi::MAJOR {
            return Err(Refusal::Major(out.major));
        }
        if out.minor < abi::MINOR_MIN {
            return Err(Refusal::Minor(out.minor));
        }
        let terms = self.terms(&out);
        let judges = self.judges || terms.features.contains(InitFlags::POSIX_ACL);
        if terms.features.contains(InitFlags::ALLOW_IDMAP) && !judges {
            return Err(Refusal::MappedIds);
        }
        Ok(terms)
    }

    fn terms(&self, out: &InitOut) -> Negotiated {
        let low = InitFlags::from_halves(out.flags, 0);
        let features = if low.contains(InitFlags::INIT_EXT) {
            InitFlags::from_halves(out.flags, out.flags2)
        } else {
            low
        }
        .intersect(offered(self.dax, self.submounts));
        // An older server that keeps locks keeps both sorts.
        let both = out.minor < FLOCK_MINOR && features.contains(InitFlags::POSIX_LOCKS);
        let features = features.with(InitFlags::when(both, InitFlags::FLOCK_LOCKS));
        let features = if features.contains(InitFlags::AUTO_INVAL_DATA) {
            features.without(InitFlags::EXPLICIT_INVAL_DATA)
        } else {
            features
        };

        let max_pages = if features.contains(InitFlags::MAX_PAGES) {
            out.max_pages.clamp(1, self.max_pages_limit.max(1))
        } else {
            DEFAULT_MAX_PAGES.min(self.max_pages_limit.max(1))
        };
        let transfer = u32::from(max_pages).saturating_mul(self.page_size);
        let max_write = if features.contains(InitFlags::BIG_WRITES) {
            out.max_write.max(MIN_MAX_WRITE)
        } else {
            MIN_MAX_WRITE
        };
        // Before this, the fields were not there, whatever lies in their place.
        let (background, congestion) = if out.minor >= BACKGROUND_MINOR {
            (out.max_background, out.congestion_threshold)
        } else {
            (0, 0)
        };
        let max_background =
            self.bounded(background, DEFAULT_MAX_BACKGROUND, self.max_user_background);
        Negotiated {
            minor: out.minor.min(abi::MINOR),
            features,
            max_readahead: out.max_readahead.min(self.max_readahead),
            max_write: max_write.min(transfer).max(MIN_MAX_WRITE),
            max_read: self.max_read.max(MIN_MAX_WRITE).min(transfer),
            max_pages,
            max_background,
            congestion_threshold: self.bounded(
                congestion,
                DEFAULT_CONGESTION_THRESHOLD,
                self.max_user_congestion,
            ),
            time_gran: match out.time_gran {
                gran @ 1..=1_000_000_000 => gran,
                _ => 1,
            },
            request_timeout: self.timeout(if features.contains(InitFlags::REQUEST_TIMEOUT) {
                out.request_timeout.into()
            } else {
                0
            }),
            dax: self.dax(features, out.map_alignment),
        }
    }

    /// Which files use the DAX window, of which the server can align mappings to a power of two.
    fn dax(&self, features: InitFlags, alignment: u16) -> Dax {
        let fits =
            !features.contains(InitFlags::MAP_ALIGNMENT) || u32::from(alignment) <= RANGE_SHIFT;
        match self.dax {
            Dax::Inode if !features.contains(InitFlags::HAS_INODE_DAX) => Dax::Never,
            dax if fits => dax,
            _ => Dax::Never,
        }
    }

    /// How many seconds a request may take if the server says `asked`, where zero is no limit.
    fn timeout(&self, asked: u32) -> Option<u32> {
        let asked = if asked == 0 {
            self.default_timeout
        } else {
            asked
        };
        match (asked, self.max_timeout) {
            (0, 0) => None,
            (0, limit) | (limit, 0) => Some(limit),
            (asked, max) => Some(asked.min(max)),
        }
        .map(|seconds| seconds.max(MIN_REQUEST_TIMEOUT))
    }

    fn bounded(&self, asked: u16, default: u16, user_limit: u16) -> u16 {
        let value = if asked == 0 { default } else { asked };
        let value = if self.privileged {
            value
        } else {
            value.min(user_limit)
        };
        value.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer() -> Offer {
        Offer {
            max_readahead: 128 << 10,
            max_pages_limit: 256,
            max_user_background: 100,
            max_user_congestion: 75,
            privileged: false,
            max_read: u32::MAX,
            default_timeout: 0,
            max_timeout: 0,
            page_size: 4096,
            dax: Dax::Never,
            submounts: false,
            judges: false,
        }
    }

    fn out() -> InitOut {
        InitOut {
            major: 7,
            minor: 31,
            max_readahead: 1 << 20,
            flags: InitFlags::BIG_WRITES.with(InitFlags::MAX_PAGES).low(),
            max_write: 1 << 20,
            max_pages: 256,
            ..InitOut::default()
        }
    }

    #[test]
    fn ordinary_server() {
        let n = offer().accept(out().as_bytes()).unwrap();
        assert_eq!(n.minor, 31);
        assert_eq!(n.max_write, 1 << 20);
        assert_eq!(n.max_pages, 256);
        assert_eq!(n.max_readahead, 128 << 10);
        assert_eq!(n.max_background, DEFAULT_MAX_BACKGROUND);
        assert_eq!(n.congestion_threshold, 9);
    }

    #[test]
    fn old_server_sends_24_bytes() {
        let body = out();
        let n = offer().accept(&body.as_bytes()[..24]).unwrap();
        // Beyond the 24 bytes: max_pages reads as zero, which counts as one.
        assert_eq!(n.max_pages, 1);
        assert_eq!(n.max_write, 4096);
    }

    #[test]
    fn refusals() {
        assert_eq!(offer().accept(&[0; 23]), Err(Refusal::Short));
        let mut o = out();
        o.major = 8;
        assert_eq!(offer().accept(o.as_bytes()), Err(Refusal::Major(8)));
        let mut o = out();
        o.minor = 11;
        assert_eq!(offer().accept(o.as_bytes()), Err(Refusal::Minor(11)));
    }

    #[test]
    fn ids_are_mapped_only_where_the_kernel_judges() {
        let accepted = |flags: InitFlags, judges| {
            let flags = flags.with(InitFlags::INIT_EXT);
            let body = InitOut {
                flags: flags.low(),
                flags2: flags.high(),
                ..out()
            };
            Offer { judges, ..offer() }.accept(body.as_bytes())
        };
        let mapped = InitFlags::ALLOW_IDMAP;
        assert_eq!(accepted(mapped, false), Err(Refusal::MappedIds));
        assert!(accepted(mapped, true).unwrap().features.contains(mapped));
        assert!(accepted(mapped.with(InitFlags::POSIX_ACL), false).is_ok());
        assert!(accepted(InitFlags::empty(), false).is_ok());
    }

    #[test]
    fn user_limits_bind_users_only() {
        let mut o = out();
        o.max_background = 60000;
        let n = offer().accept(o.as_bytes()).unwrap();
        assert_eq!(n.max_background, 100);
        let n = Offer {
            privileged: true,
            ..offer()
        }
        .accept(o.as_bytes())
        .unwrap();
        assert_eq!(n.max_background, 60000);
    }

    #[test]
    fn old_servers_keep_both_sorts_of_locks() {
        let both = InitFlags::POSIX_LOCKS.with(InitFlags::FLOCK_LOCKS);
        let kept = |minor, flags: InitFlags| {
            let body = InitOut {
                minor,
                flags: flags.low(),
                ..out()
            };
            let terms = offer().accept(body.as_bytes()).unwrap();
            terms.features.intersect(both)
        };
        assert_eq!(kept(16, InitFlags::POSIX_LOCKS), both);
        assert_eq!(kept(16, InitFlags::empty()), InitFlags::empty());
        assert_eq!(kept(17, InitFlags::POSIX_LOCKS), InitFlags::POSIX_LOCKS);
        assert_eq!(kept(17, InitFlags::FLOCK_LOCKS), InitFlags::FLOCK_LOCKS);
    }

    #[test]
    fn the_lowest_timeout_counts() {
        let timeout = |asked, default_timeout, max_timeout| {
            let offer = Offer {
                default_timeout,
                max_timeout,
                ..offer()
            };
            let mut out = out();
            out.flags |= InitFlags::INIT_EXT.low();
            out.flags2 = InitFlags::REQUEST_TIMEOUT.high();
            out.request_timeout = asked;
            offer.accept(out.as_bytes()).unwrap().request_timeout
        };
        assert_eq!(timeout(0, 0, 0), None);
        assert_eq!(timeout(100, 0, 0), Some(100));
        assert_eq!(timeout(100, 200, 0), Some(100));
        assert_eq!(timeout(0, 200, 0), Some(200));
        assert_eq!(timeout(0, 200, 50), Some(50));
        assert_eq!(timeout(100, 0, 50), Some(50));
        assert_eq!(timeout(0, 0, 50), Some(50));
        assert_eq!(timeout(1, 0, 0), Some(MIN_REQUEST_TIMEOUT));
        // Without the flag the field is not there.
        let mut out = out();
        out.request_timeout = 100;
        assert_eq!(
            offer().accept(out.as_bytes()).unwrap().request_timeout,
            None
        );
    }

    #[test]
    fn requests_are_as_large_as_the_administrator_allows() {
        let mut out = out();
        out.max_pages = u16::MAX;
        out.max_write = u32::MAX;
        let terms = |max_pages_limit| {
            Offer {
                max_pages_limit,
                ..offer()
            }
            .accept(out.as_bytes())
            .unwrap()
        };
        assert_eq!(terms(256).max_write, 1 << 20);
        assert_eq!(terms(1024).max_write, 4 << 20);
        assert_eq!(terms(u16::MAX).max_read, 65535 * 4096);
        assert_eq!(terms(1).max_write, 4096);
    }

    #[test]
    fn unknown_and_unoffered_flags_are_ignored() {
        let mut o = out();
        o.flags = u32::MAX;
        o.flags2 = u32::MAX;
        let n = offer().accept(o.as_bytes()).unwrap();
        // The one excludes the other.
        let explicit = InitFlags::EXPLICIT_INVAL_DATA;
        assert_eq!(n.features, offered(Dax::Never, false).without(explicit));
        o.flags = explicit.low();
        let n = offer().accept(o.as_bytes()).unwrap();
        assert!(n.features.contains(explicit));
    }

    #[test]
    fn the_window_is_used_as_the_server_can() {
        let (align, inode) = (InitFlags::MAP_ALIGNMENT, InitFlags::HAS_INODE_DAX);
        let flags = |dax| {
            InitFlags::from_halves(
                offer_dax(dax).request().flags,
                offer_dax(dax).request().flags2,
            )
        };
        fn offer_dax(dax: Dax) -> Offer {
            Offer { dax, ..offer() }
        }
        let terms = |dax, flags: InitFlags, map_alignment| {
            let mut out = out();
            out.flags |= InitFlags::INIT_EXT.with(flags).low();
            out.flags2 = flags.high();
            out.map_alignment = map_alignment;
            offer_dax(dax).accept(out.as_bytes()).unwrap().dax
        };
        assert_eq!(
            flags(Dax::Never).intersect(align.with(inode)),
            InitFlags::empty()
        );
        assert_eq!(flags(Dax::Always).intersect(align.with(inode)), align);
        assert_eq!(
            flags(Dax::Inode).intersect(align.with(inode)),
            align.with(inode)
        );
        for fits in [0, 12, 21] {
            assert_eq!(terms(Dax::Always, align, fits), Dax::Always);
        }
        for too_large in [22, 63, u16::MAX] {
            assert_eq!(terms(Dax::Always, align, too_large), Dax::Never);
            // Without the flag the field is not there.
            assert_eq!(terms(Dax::Always, inode, too_large), Dax::Always);
        }
        assert_eq!(terms(Dax::Inode, align.with(inode), 12), Dax::Inode);
        assert_eq!(terms(Dax::Inode, align, 12), Dax::Never);
        assert_eq!(terms(Dax::Never, align.with(inode), 12), Dax::Never);
    }

    #[test]
    fn submounts_are_offered_where_they_are_mounted() {
        let has = |submounts| {
            let request = Offer {
                submounts,
                ..offer()
            }
            .request();
            InitFlags::from_halves(request.flags, request.flags2).contains(InitFlags::SUBMOUNTS)
        };
        assert!(has(true));
        assert!(!has(false));
    }

    #[test]
    fn every_flag_is_in_the_table_once() {
        let mut seen = InitFlags::empty();
        for feature in FEATURES {
            assert!(!seen.contains(feature.flag), "{}", feature.name);
            seen = seen.with(feature.flag);
        }
        assert_eq!(seen.bits().count_ones(), 42);
    }
}
