// SPDX-License-Identifier: GPL-2.0

//! Properties of the pure crate: it takes any bytes from a server without panicking, and what it
//! lets through is what its types say.

use fuse_pure::abi::attr::{Attr, AttrOut, Dirent, EntryOut};
use fuse_pure::abi::cursor::{Name, Reader, Writer};
use fuse_pure::abi::header::{InHeader, OutHeader, ServerErrno};
use fuse_pure::abi::ids::{FileHandle, NodeId};
use fuse_pure::abi::init::{InitFlags, InitOut};
use fuse_pure::logic::background::Background;
use fuse_pure::logic::dirents::{Entries, NAME_MAX};
use fuse_pure::logic::dirty_pages::DirtyPages;
use fuse_pure::logic::forget_turn::{ForgetTurn, Turn, FORGETS, REQUESTS};
use fuse_pure::logic::listing::{Fill, Listing, Span, Stamp, Start, Tail, Walk};
use fuse_pure::logic::negotiate::{offered, Dax, Offer};
use fuse_pure::op::attr::{Getattr, Setattr};
use fuse_pure::op::create::{Create, Named};
use fuse_pure::op::name::{Readlink, Rename2};
use fuse_pure::op::range::{Copy, CopyFileRange, CopyFileRange64, Extent, Lseek};
use fuse_pure::op::rw::Read;
use fuse_pure::op::statx::Statx;
use fuse_pure::op::entry::Time;
use fuse_pure::op::xattr::{Getxattr, Listxattr};
use fuse_pure::op::{Lookup, LookupReply, Operation, Timeout};
use proptest::prelude::*;
use std::collections::BTreeSet;
use zerocopy::{FromBytes, IntoBytes};

fn offer() -> impl Strategy<Value = Offer> {
    (
        any::<u32>(),
        any::<u16>(),
        any::<u16>(),
        any::<u16>(),
        any::<bool>(),
        any::<u32>(),
        any::<(u32, u32)>(),
    )
        .prop_map(|(readahead, pages, bg, congestion, privileged, max_read, timeouts)| Offer {
            max_readahead: readahead,
            max_pages_limit: pages,
            max_user_background: bg,
            max_user_congestion: congestion,
            privileged,
            max_read,
            default_timeout: timeouts.0,
            max_timeout: timeouts.1,
            page_size: 4096,
            dax: Dax::Inode,
            submounts: true,
            judges: false,
        })
}

/// An INIT reply that gets past the version check as often as not.
fn init_body() -> impl Strategy<Value = Vec<u8>> {
    (prop::collection::vec(any::<u8>(), 0..100), any::<bool>(), 0u32..100).prop_map(
        |(mut bytes, good, minor)| {
            if good && bytes.len() >= 8 {
                bytes[..4].copy_from_slice(&7u32.to_ne_bytes());
                bytes[4..8].copy_from_slice(&minor.to_ne_bytes());
            }
            bytes
        },
    )
}

fn a_name() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(1u8..=255, 1..300)
}

/// A name as a well-behaved server lists it.
fn a_listed_name() -> impl Strategy<Value = Vec<u8>> {
    a_name().prop_map(|name| name.into_iter().map(|b| if b == b'/' { b'x' } else { b }).collect())
}

fn message<O: Operation>(op: &O) -> Vec<u8> {
    let mut bytes = vec![0; op.body_len()];
    let mut writer = Writer::new(&mut bytes);
    op.fill(&mut writer).unwrap();
    assert_eq!(writer.written(), op.body_len(), "a body has the length it says");
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn negotiation_stays_within_limits(offer in offer(), body in init_body()) {
        if let Ok(terms) = offer.accept(&body) {
            prop_assert!(terms.minor >= 12 && terms.minor <= 46);
            prop_assert_eq!(terms.features.without(offered(Dax::Inode, true)), InitFlags::empty());
            prop_assert!(terms.max_readahead <= offer.max_readahead);
            prop_assert!(terms.max_write >= 4096);
            prop_assert!(terms.max_pages >= 1);
            prop_assert!(terms.max_pages <= offer.max_pages_limit.max(1));
            prop_assert!(terms.max_write <= u32::from(terms.max_pages) * 4096);
            prop_assert!(terms.max_read >= 4096 && terms.max_read <= u32::from(terms.max_pages) * 4096);
            prop_assert!(terms.max_background >= 1);
            prop_assert!(offer.privileged || terms.max_background <= offer.max_user_background.max(1));
            prop_assert!((1..=1_000_000_000).contains(&terms.time_gran));
        }
    }

    #[test]
    fn short_init_reads_as_zeros(offer in offer(), mut out in prop::array::uniform32(any::<u8>())) {
        out[..4].copy_from_slice(&7u32.to_ne_bytes());
        out[4..8].copy_from_slice(&20u32.to_ne_bytes());
        let mut padded = out[..24].to_vec();
        padded.resize(64, 0);
        prop_assert_eq!(offer.accept(&out[..24]), offer.accept(&padded));
    }

    #[test]
    fn entries_hold_what_their_types_say(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let op = Lookup { name: Name::new(b"x").unwrap() };
        if let Ok(LookupReply::Found(entry)) = op.parse(&bytes) {
            prop_assert_eq!(bytes.len(), size_of::<EntryOut>());
            prop_assert!(entry.node != NodeId::ROOT);
            prop_assert!(entry.attr.size <= i64::MAX as u64);
            prop_assert!(entry.attr.mtime.nsec < 1_000_000_000);
            prop_assert_eq!(u32::from(entry.attr.mode()) & 0o170_000, entry.attr.kind.bits());
        }
    }

    #[test]
    fn plausible_entries(
        nodeid in any::<u64>(), mode in any::<u32>(), size in any::<u64>(), nsec in any::<u32>(),
    ) {
        let out = EntryOut {
            nodeid,
            attr: Attr { mode, size, mtimensec: nsec, ..Attr::default() },
            ..EntryOut::default()
        };
        let op = Lookup { name: Name::new(b"x").unwrap() };
        let known_type = matches!((mode >> 12) & 15, 1 | 2 | 4 | 6 | 8 | 10 | 12);
        let good = nodeid > 1 && known_type && size <= i64::MAX as u64;
        match op.parse(out.as_bytes()) {
            Ok(LookupReply::Found(entry)) => {
                prop_assert!(good);
                prop_assert_eq!(entry.attr.mtime.nsec, nsec.min(999_999_999));
            }
            Ok(LookupReply::Negative(_)) => prop_assert_eq!(nodeid, 0),
            Err(_) => prop_assert!(!good && nodeid != 0),
        }
    }

    #[test]
    fn no_reply_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let name = Name::new(b"n").unwrap();
        let _ = Getattr { fh: None }.parse(&bytes);
        let _ = Setattr::default().parse(&bytes);
        let _ = Create { name, flags: 0, mode: 0, umask: 0, kill_suidgid: false, creation: Named }.parse(&bytes);
        let _ = Statx.parse(&bytes);
        let _ = Statx.parse(bytes.get(..288).unwrap_or(&bytes));
        for size in [0, 400] {
            let _ = Getxattr { name, size }.parse(&bytes);
            let _ = Listxattr { size }.parse(&bytes);
        }
        let eight = bytes.get(..8).unwrap_or(&bytes);
        let fh = FileHandle(0);
        let _ = Lseek { fh, offset: 0, extent: Extent::Data }.parse(eight);
        let copy = Copy {
            from: fh,
            from_offset: 0,
            to_node: NodeId::ROOT,
            to: fh,
            to_offset: 0,
            len: 1 << 33,
        };
        let _ = CopyFileRange(copy).parse(eight);
        let _ = CopyFileRange64(copy).parse(eight);
        let _ = Readlink { max: 4095 }.parse(&bytes);
        let _ = Reader::new(&bytes).take::<OutHeader>();
        let _ = Reader::new(&bytes).take::<AttrOut>();
        for entry in Entries::new(&bytes) {
            let Ok(entry) = entry else { break };
            prop_assert!(!entry.name.is_empty() && entry.name.len() <= NAME_MAX);
            prop_assert!(!entry.name.contains(&0) && !entry.name.contains(&b'/'));
        }
    }

    #[test]
    fn listings_are_read_back(names in prop::collection::vec(a_listed_name(), 0..40), cut in any::<usize>()) {
        let mut body = Vec::new();
        let mut ends = Vec::new();
        for (i, name) in names.iter().enumerate() {
            let head = Dirent { ino: i as u64, off: i as u64 + 1, namelen: name.len() as u32, kind: 8 };
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(name);
            ends.push(body.len());
            body.resize(body.len().next_multiple_of(8), 0);
        }
        let read: Vec<_> = Entries::new(&body).map(|e| e.unwrap().name.to_vec()).collect();
        prop_assert_eq!(&read, &names);
        // Cut anywhere, the whole entries before the cut are there and nothing else.
        let cut = cut % (body.len() + 1);
        let whole = ends.iter().filter(|end| **end <= cut).count();
        let read = Entries::new(&body[..cut]).filter(|e| e.is_ok()).count();
        prop_assert_eq!(read, whole);
    }

    #[test]
    fn error_fields(error in any::<i32>()) {
        let parsed = ServerErrno::parse(error);
        prop_assert_eq!(parsed.is_ok(), (-511..=0).contains(&error));
        if let Ok(Some(errno)) = parsed {
            prop_assert_eq!(errno.get(), -error);
        }
    }

    #[test]
    fn names_travel(old in a_name(), new in a_name(), flags in any::<u32>()) {
        let op = Rename2 {
            new_dir: NodeId::ROOT,
            flags,
            old: Name::new(&old).unwrap(),
            new: Name::new(&new).unwrap(),
        };
        let bytes = message(&op);
        let mut reader = Reader::new(&bytes);
        prop_assert_eq!(reader.take::<u64>().unwrap(), 1);
        prop_assert_eq!(reader.take::<u32>().unwrap(), flags);
        reader.bytes(4).unwrap();
        prop_assert_eq!(reader.bytes(old.len() + 1).unwrap().strip_suffix(&[0]).unwrap(), &old[..]);
        prop_assert_eq!(reader.bytes(new.len() + 1).unwrap().strip_suffix(&[0]).unwrap(), &new[..]);
        prop_assert!(reader.finish().is_ok());
    }

    #[test]
    fn a_writer_never_overruns(room in 0usize..64, name in a_name()) {
        let mut bytes = vec![0xaa; room + 8];
        let (buffer, guard) = bytes.split_at_mut(room);
        let fits = name.len() < room;
        let mut writer = Writer::new(buffer);
        prop_assert_eq!(writer.name(Name::new(&name).unwrap()).is_ok(), fits);
        prop_assert!(guard.iter().all(|b| *b == 0xaa));
    }

    #[test]
    fn reads_are_bounded_by_what_was_asked(size in any::<u32>(), len in any::<usize>()) {
        let op = Read { fh: FileHandle(0), offset: 0, size, flags: 0, lock_owner: None };
        prop_assert_eq!(op.shape().allows(len), len <= size as usize);
        prop_assert_eq!(message(&op).len(), 40);
    }

    #[test]
    fn background_never_exceeds(max in 0u16..100, steps in prop::collection::vec(any::<bool>(), 0..200)) {
        let mut background = Background::new(1, 1);
        background.set_max(max);
        let mut model = 0u32;
        for start in steps {
            if start {
                let may = model < u32::from(max);
                prop_assert_eq!(background.try_start(), may);
                model += u32::from(may);
            } else {
                background.finish();
                model = model.saturating_sub(1);
            }
            prop_assert_eq!(background.active(), model);
        }
    }

    #[test]
    fn nobody_starves(events in prop::collection::vec((any::<bool>(), any::<bool>()), 0..300)) {
        let mut turn = ForgetTurn::new();
        let (mut requests, mut forgets) = (0, 0);
        for (has_requests, has_forgets) in events {
            match turn.next(has_requests, has_forgets) {
                None => prop_assert!(!has_requests && !has_forgets),
                Some(Turn::Request) => {
                    prop_assert!(has_requests);
                    (requests, forgets) = (if has_forgets { requests + 1 } else { 0 }, 0);
                    prop_assert!(requests <= REQUESTS);
                }
                Some(Turn::Forgets) => {
                    prop_assert!(has_forgets);
                    (requests, forgets) = (0, if has_requests { forgets + 1 } else { 0 });
                    prop_assert!(forgets <= FORGETS);
                }
            }
        }
    }

    #[test]
    fn a_listing_is_whole_only_as_one_reader_filled_it(
        events in prop::collection::vec((0u8..7, 0usize..3, 0u64..3), 0..200),
    ) {
        let mut listing = Listing::new();
        let mut readers: [Option<Fill>; 3] = [None; 3];
        // The latest listing that was begun, and how far its reader has got.
        let (mut latest, mut reached, mut finished) = (0, Tail { at: 0, position: 0 }, false);
        for (what, reader, value) in events {
            let own = readers[reader];
            let filling = own.filter(|fill| fill.0 == latest && !finished && listing.tail(*fill).is_some());
            match what {
                0 => {
                    let now = Stamp { mtime: Time { sec: 0, nsec: 0 }, changes: value };
                    match listing.begin(now, own) {
                        Start::Fill(fill) => {
                            prop_assert!(fill.0 > latest && fill.0 >= reached.at);
                            (latest, finished) = (fill.0, false);
                            reached = Tail { at: latest, position: 0 };
                            readers[reader] = Some(fill);
                        }
                        Start::Cached => prop_assert!(finished),
                        Start::Uncached => prop_assert!(!finished && filling.is_none()),
                    }
                }
                1 | 2 => if let Some(fill) = own {
                    let from = listing.tail(fill).unwrap_or(reached);
                    let to = Tail { at: from.at + 24 + 8 * value, position: from.position + 1 };
                    prop_assert_eq!(listing.extend(fill, from, to), filling.is_some());
                    if filling.is_some() {
                        reached = to;
                    }
                }
                3 => if let Some(fill) = own {
                    listing.finish(fill, reached.position + value);
                    finished |= filling.is_some() && value == 0;
                }
                4 => if let Some(fill) = own {
                    prop_assert_eq!(listing.abandon(fill).is_some(), filling.is_some());
                }
                5 => {
                    let lost = listing.lose(latest + value);
                    prop_assert!(lost.is_none_or(|before| before >= reached.at || before == latest));
                    finished &= lost.is_none();
                }
                _ => {
                    prop_assert!(listing.clear() >= latest);
                    finished = false;
                }
            }
            let whole = finished.then_some(Span { start: latest, end: reached.at });
            prop_assert_eq!(listing.whole(), whole);
        }
    }

    #[test]
    fn a_walk_ends_whatever_lies_in_the_pages(
        page in prop::collection::vec(any::<u8>(), 0..300),
        start in 0u64..1000,
        len in 0u64..500,
        hint in 0u64..3000,
        wanted in 0u64..3,
    ) {
        let mut walk = Walk::new(Span { start, end: start + len }, hint, wanted);
        let mut steps = 0;
        while walk.at().is_some() {
            let mut listed = 0;
            let has_room = walk.list_page(&page, |_| {
                listed += 1;
                true
            });
            prop_assert!(has_room);
            steps += listed + 1;
            prop_assert!(steps <= 2 * len + 2);
        }
    }

    #[test]
    fn deadlines_do_not_wrap(secs in any::<u64>(), nsec in any::<u32>(), now in any::<u64>()) {
        let deadline = Timeout::new(secs, nsec).deadline(now);
        prop_assert!(deadline >= now || (secs == 0 && nsec == 0));
    }

    #[test]
    fn dirty_pages_are_those_of_a_set(
        ranges in prop::collection::vec((0u32..80, 0u32..80), 0..8),
        any in prop_oneof![Just(0), any::<u64>()],
        folio in 0u32..80,
    ) {
        let mut pages = DirtyPages::from_bits(any);
        let mut set: BTreeSet<u32> = (0..64).filter(|page| any >> page & 1 == 1).collect();
        for (start, end) in ranges {
            pages = pages.with(DirtyPages::from_range(start..end));
            set.extend(start..end.min(DirtyPages::MAX));
        }
        prop_assert_eq!(DirtyPages::from_bits(pages.bits()), pages);
        let mut rest = pages.of_folio(folio);
        set.retain(|page| *page < folio);
        let mut last = None;
        while let Some(run) = rest.next_run() {
            prop_assert!(!run.is_empty());
            prop_assert!(last.is_none_or(|last| last < run.start), "runs are as long as can be");
            last = Some(run.end);
            for page in run {
                prop_assert!(set.remove(&page), "page {page}");
            }
        }
        prop_assert!(set.is_empty(), "{set:?} is left");
    }
}

#[test]
fn layouts_are_those_of_the_protocol() {
    assert_eq!(InHeader::default().as_bytes().len(), 40);
    assert_eq!(InitOut::read_from_bytes(&[0; 64]).unwrap().max_write, 0);
}
