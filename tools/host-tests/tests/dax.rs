// SPDX-License-Identifier: GPL-2.0

//! The DAX window and the maps of files against naive models, and both together against a server.

use fuse_pure::logic::dax_map::{Entry, FileMap, Found};
use fuse_pure::logic::dax_window::{Batch, Piece, Range, RangeId, Use, Window, BATCH};
use fuse_pure::logic::interval_tree::Node;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

struct Place(Box<Node<Entry, Place>>);

impl Deref for Place {
    type Target = Node<Entry, Self>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Place {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

type Ranges = Window<Box<[Range]>>;

fn window(ranges: usize) -> Ranges {
    Window::new(vec![Range::Held; ranges].into_boxed_slice())
}

fn id(index: usize) -> RangeId {
    RangeId::from_index(index).unwrap()
}

/// What a model knows of a range.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Known {
    Free,
    Held,
    Mapped(Piece),
    Reclaiming(Piece),
}

fn known(range: Option<Range>) -> Known {
    match range.unwrap() {
        Range::Free(_) => Known::Free,
        Range::Held => Known::Held,
        Range::Mapped(piece) => Known::Mapped(piece),
        Range::Reclaiming(piece) => Known::Reclaiming(piece),
    }
}

#[derive(Clone, Debug)]
enum Step {
    Take,
    GiveBack(usize),
    Map(usize, u64),
    Unmap(usize),
    Spare(usize),
    Use(usize, bool),
    Choose,
}

fn a_step() -> impl Strategy<Value = Step> {
    let range = 0usize..40;
    prop_oneof![
        3 => Just(Step::Take),
        2 => range.clone().prop_map(Step::GiveBack),
        4 => (range.clone(), 0u64..3).prop_map(|(range, inode)| Step::Map(range, inode)),
        2 => range.clone().prop_map(Step::Unmap),
        1 => range.clone().prop_map(Step::Spare),
        3 => (range, any::<bool>()).prop_map(|(range, busy)| Step::Use(range, busy)),
        2 => Just(Step::Choose),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// A range is in one state at a time, goes the ways it may go, and none is lost.
    #[test]
    fn ranges_are_as_a_table_has_them(
        ranges in 1usize..33,
        steps in prop::collection::vec(a_step(), 0..400),
    ) {
        let mut window = window(ranges);
        let mut model = vec![Known::Free; ranges];
        let mut uses = vec![Use::Idle; ranges];
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Take => {
                    let free = model.contains(&Known::Free);
                    let taken = window.take();
                    prop_assert_eq!(taken.is_some(), free);
                    if let Some(id) = taken {
                        prop_assert_eq!(model[id.index()], Known::Free);
                        model[id.index()] = Known::Held;
                    }
                }
                Step::GiveBack(at) => {
                    let held = model.get(at) == Some(&Known::Held);
                    prop_assert_eq!(window.give_back(id(at)), held);
                    if held {
                        model[at] = Known::Free;
                    }
                }
                Step::Map(at, inode) => {
                    let piece = Piece { inode, index: number as u64 };
                    let held = model.get(at) == Some(&Known::Held);
                    prop_assert_eq!(window.map(id(at), piece), held);
                    if held {
                        model[at] = Known::Mapped(piece);
                    }
                }
                Step::Unmap(at) => {
                    let mapped = matches!(
                        model.get(at),
                        Some(Known::Mapped(_) | Known::Reclaiming(_))
                    );
                    prop_assert_eq!(window.unmap(id(at)), mapped);
                    if mapped {
                        model[at] = Known::Held;
                    }
                }
                Step::Spare(at) => {
                    window.spare(id(at));
                    if let Some(Known::Reclaiming(piece)) = model.get(at).copied() {
                        model[at] = Known::Mapped(piece);
                    }
                }
                Step::Use(at, busy) => {
                    if let Some(of) = uses.get_mut(at) {
                        *of = if busy { Use::Busy } else { Use::Recent };
                    }
                }
                Step::Choose => {
                    let mut looks = 0;
                    let batch = window.choose(u32::MAX, |id| {
                        looks += 1;
                        let now = uses[id.index()];
                        if now == Use::Recent {
                            uses[id.index()] = Use::Idle;
                        }
                        now
                    });
                    prop_assert!(looks <= 3 * ranges);
                    check_choice(batch.as_ref(), &mut model, &uses)?;
                }
            }
            for (at, state) in model.iter().enumerate() {
                prop_assert_eq!(known(window.range(id(at))), *state);
            }
            let free = model.iter().filter(|state| **state == Known::Free).count();
            prop_assert_eq!(window.free() as usize, free);
        }
    }
}

fn check_choice(
    batch: Option<&Batch>,
    model: &mut [Known],
    uses: &[Use],
) -> Result<(), TestCaseError> {
    let Some(batch) = batch else {
        // What was recent is not any more, so only what is busy was passed over.
        for (state, of) in model.iter().zip(uses) {
            prop_assert!(!matches!(state, Known::Mapped(_)) || *of == Use::Busy);
        }
        return Ok(());
    };
    prop_assert!((1..=BATCH).contains(&batch.ranges().len()));
    for (id, index) in batch.ranges() {
        let piece = Piece { inode: batch.inode(), index: *index };
        prop_assert_eq!(model[id.index()], Known::Mapped(piece));
        prop_assert!(uses[id.index()] != Use::Busy);
        model[id.index()] = Known::Reclaiming(piece);
    }
    Ok(())
}

#[derive(Clone, Debug)]
enum MapStep {
    Ask,
    Upgrade,
    Answer(bool, bool),
    Remove(usize),
    TakeFirst,
}

fn a_map_step() -> impl Strategy<Value = (u64, MapStep)> {
    (
        0u64..12,
        prop_oneof![
            4 => Just(MapStep::Ask),
            2 => Just(MapStep::Upgrade),
            4 => any::<(bool, bool)>().prop_map(|(shown, write)| MapStep::Answer(shown, write)),
            2 => (0usize..50).prop_map(MapStep::Remove),
            1 => Just(MapStep::TakeFirst),
        ],
    )
}

/// (range, whether it is shown, whether it can be written, whether the server is asked)
type Shown = (RangeId, bool, bool, bool);

fn found(model: &BTreeMap<u64, Shown>, index: u64, write: bool) -> Found {
    match model.get(&index) {
        None => Found::Missing,
        Some((_, false, _, _)) => Found::Awaited,
        Some((_, true, false, true)) if write => Found::Awaited,
        Some((range, true, false, false)) if write => Found::ReadOnly(*range),
        Some((range, true, _, _)) => Found::Ready(*range),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// A map says what a table says that is kept in the plainest way.
    #[test]
    fn pieces_are_as_a_table_has_them(steps in prop::collection::vec(a_map_step(), 0..300)) {
        let mut map = FileMap::new();
        let mut model: BTreeMap<u64, Shown> = BTreeMap::new();
        for (number, (index, step)) in steps.into_iter().enumerate() {
            match step {
                MapStep::Ask => {
                    if let std::collections::btree_map::Entry::Vacant(entry) = model.entry(index) {
                        let range = id(number % 50);
                        map.ask(Place(Box::new(FileMap::blank(range))), index, range);
                        entry.insert((range, false, false, true));
                    }
                }
                MapStep::Upgrade => {
                    let can = matches!(model.get(&index), Some((_, true, false, false)));
                    prop_assert_eq!(map.upgrade(index), can);
                    if can {
                        model.entry(index).and_modify(|entry| entry.3 = true);
                    }
                }
                MapStep::Answer(shown, write) => {
                    let before = model.get(&index).copied();
                    let missing = map.answered(index, shown, write).is_some();
                    prop_assert_eq!(missing, !shown && matches!(before, Some((_, false, _, true))));
                    match before {
                        Some((range, is, _, true)) if shown => {
                            model.insert(index, (range, true, is || write, false));
                        }
                        Some((range, true, _, true)) => {
                            model.insert(index, (range, true, false, false));
                        }
                        Some((_, false, _, true)) => {
                            model.remove(&index);
                        }
                        _ => {}
                    }
                }
                MapStep::Remove(range) => {
                    let range = id(range);
                    let can = matches!(
                        model.get(&index),
                        Some((of, true, _, false)) if *of == range
                    );
                    prop_assert_eq!(map.remove(index, range).is_some(), can);
                    if can {
                        model.remove(&index);
                    }
                }
                MapStep::TakeFirst => {
                    let first = model.pop_first().map(|(_, (range, ..))| range);
                    prop_assert_eq!(map.take_first().map(|(range, _)| range), first);
                }
            }
            for index in 0..12 {
                for write in [false, true] {
                    prop_assert_eq!(map.find(index, write), found(&model, index, write));
                }
            }
            prop_assert_eq!(map.is_empty(), model.is_empty());
        }
    }
}

/// A mount with a small window, and a server that shows what it is asked to.
struct Mount {
    window: Ranges,
    files: Vec<FileMap<Place>>,
    recent: Vec<bool>,
    busy: Vec<bool>,
    /// What the server shows.
    shown: Vec<Option<Piece>>,
    reclaims: usize,
}

impl Mount {
    fn new(ranges: usize, files: usize) -> Self {
        Self {
            window: window(ranges),
            files: (0..files).map(|_| FileMap::new()).collect(),
            recent: vec![false; ranges],
            busy: vec![false; ranges],
            shown: vec![None; ranges],
            reclaims: 0,
        }
    }

    /// Takes one batch back.
    fn reclaim(&mut self) -> bool {
        let (busy, recent) = (&self.busy, &mut self.recent);
        let batch = self.window.choose(u32::MAX, |id| {
            if busy[id.index()] {
                Use::Busy
            } else if std::mem::take(&mut recent[id.index()]) {
                Use::Recent
            } else {
                Use::Idle
            }
        });
        let Some(batch) = batch else { return false };
        self.reclaims += 1;
        for (id, index) in batch.ranges() {
            assert!(self.files[batch.inode() as usize].remove(*index, *id).is_some());
            assert!(self.window.unmap(*id));
            self.shown[id.index()] = None;
            assert!(self.window.give_back(*id));
        }
        true
    }

    /// The range in which a piece can be seen; none if all ranges are busy.
    fn see(&mut self, piece: Piece) -> Option<RangeId> {
        let file = piece.inode as usize;
        match self.files[file].find(piece.index, false) {
            Found::Ready(range) => {
                self.recent[range.index()] = true;
                Some(range)
            }
            Found::Missing => {
                let range = match self.window.take() {
                    Some(range) => range,
                    None if self.reclaim() => self.window.take()?,
                    None => return None,
                };
                let place = Place(Box::new(FileMap::blank(range)));
                self.files[file].ask(place, piece.index, range);
                self.shown[range.index()] = Some(piece);
                assert!(self.window.map(range, piece));
                assert!(self.files[file].answered(piece.index, true, true).is_none());
                Some(range)
            }
            other => panic!("{other:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Through a window of 8 ranges 64 pieces are seen, each where the server shows it, and only if
    /// all ranges are busy none is to be had.
    #[test]
    fn a_small_window_shows_all(
        accesses in prop::collection::vec((0u64..4, 0u64..16, 0usize..8, any::<bool>()), 0..600),
    ) {
        let mut mount = Mount::new(8, 4);
        for (inode, index, at, busy) in accesses {
            mount.busy[at] = busy;
            let piece = Piece { inode, index };
            let kept: Vec<_> = (0..8)
                .filter(|at| mount.busy[*at])
                .map(|at| (at, mount.shown[at]))
                .collect();
            match mount.see(piece) {
                Some(range) => prop_assert_eq!(mount.shown[range.index()], Some(piece)),
                None => prop_assert!(mount.busy.iter().all(|busy| *busy)),
            }
            for (at, before) in kept {
                // A busy range shows what it has shown, unless it showed nothing.
                prop_assert!(before.is_none() || mount.shown[at] == before);
            }
        }
    }
}

/// What is used again and again stays while others come and go.
#[test]
fn what_is_in_use_stays() {
    let mut mount = Mount::new(8, 2);
    let hot = Piece { inode: 0, index: 0 };
    let first = mount.see(hot).unwrap();
    for index in 0..1000 {
        mount.see(Piece { inode: 1, index }).unwrap();
        assert_eq!(mount.see(hot), Some(first));
    }
    assert!(mount.reclaims <= 1000 / 4, "{} reclaims", mount.reclaims);
}
