// SPDX-License-Identifier: GPL-2.0

//! The tree of ranges against a list of them, and what a look-up costs.

use fuse_pure::logic::interval_tree::{Node, Tree};
use proptest::prelude::*;
use std::cell::Cell;
use std::ops::{Deref, DerefMut, Range};

thread_local! {
    static VISITS: Cell<usize> = const { Cell::new(0) };
}

/// A box that counts how often somebody looks into one.
struct Counted(Box<Node<u64, Counted>>);

impl Deref for Counted {
    type Target = Node<u64, Self>;
    fn deref(&self) -> &Self::Target {
        VISITS.set(VISITS.get() + 1);
        &self.0
    }
}

impl DerefMut for Counted {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

type Ranges = Tree<u64, Counted>;

fn node(range: Range<u64>, id: u64) -> Counted {
    Counted(Box::new(Node::new(range, id, id)))
}

#[derive(Clone, Debug)]
enum Step {
    Insert(Range<u64>),
    /// What lies at this place of the list, reduced by its length.
    Remove(usize),
    RemoveMissing(u64),
    TakeFirst,
    LookUp(Range<u64>),
}

/// Near each other, so that many overlap and some are equal, or anywhere.
fn a_range() -> impl Strategy<Value = Range<u64>> {
    prop_oneof![
        8 => (0u64..200, 0u64..30).prop_map(|(start, len)| start..start + len),
        1 => any::<(u64, u64)>().prop_map(|(start, end)| start..end),
        1 => any::<u64>().prop_map(|start| start..u64::MAX),
    ]
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => a_range().prop_map(Step::Insert),
        4 => any::<usize>().prop_map(Step::Remove),
        1 => (0u64..200).prop_map(Step::RemoveMissing),
        1 => Just(Step::TakeFirst),
        4 => a_range().prop_map(Step::LookUp),
    ]
}

/// What overlaps, in order: each byte of the one range that is a byte of the other is at or behind
/// the later start and before the earlier end.
fn expected(list: &[(Range<u64>, u64)], range: &Range<u64>) -> Vec<(Range<u64>, u64)> {
    list.iter()
        .filter(|(own, _)| own.start.max(range.start) < own.end.min(range.end))
        .cloned()
        .collect()
}

fn found(tree: &Ranges, range: &Range<u64>) -> Vec<(Range<u64>, u64)> {
    let mut found = Vec::new();
    tree.for_each_overlap(range.clone(), |range, id| found.push((range, *id)));
    found
}

/// Does the same to a tree and to a list, which is kept in the order of (start, id).
fn step(tree: &mut Ranges, list: &mut Vec<(Range<u64>, u64)>, id: u64, step: &Step) {
    match step {
        Step::Insert(range) => {
            tree.insert(node(range.clone(), id));
            let at = list.partition_point(|(own, other)| (own.start, *other) < (range.start, id));
            list.insert(at, (range.clone(), id));
        }
        Step::Remove(at) if !list.is_empty() => {
            let (range, id) = list.remove(at % list.len());
            let removed = tree.remove(range.start, id).map(|node| (node.range(), *node.value()));
            assert_eq!(removed, Some((range, id)));
        }
        Step::Remove(_) => assert!(tree.is_empty()),
        Step::RemoveMissing(start) => assert!(tree.remove(*start, u64::MAX).is_none()),
        Step::TakeFirst => {
            let first = (!list.is_empty()).then(|| list.remove(0));
            assert_eq!(tree.take_first().map(|node| (node.range(), node.id())), first);
        }
        Step::LookUp(range) => {
            let expected = expected(list, range);
            let first = tree.first_overlap(range.clone()).map(|(range, id)| (range, *id));
            assert_eq!(first.as_ref(), expected.first());
            assert_eq!(found(tree, range), expected);
        }
    }
    assert_eq!((tree.len(), tree.is_empty()), (list.len(), list.is_empty()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_does_what_a_list_does(steps in prop::collection::vec(a_step(), 0..4000)) {
        let (mut tree, mut list) = (Tree::new(), Vec::new());
        for (n, one) in (0u64..).zip(&steps) {
            // In no order, as addresses are.
            step(&mut tree, &mut list, n.wrapping_mul(0x9e37_79b9_7f4a_7c15), one);
        }
        while !list.is_empty() {
            step(&mut tree, &mut list, 0, &Step::TakeFirst);
        }
    }
}

fn pages(n: u64) -> Ranges {
    let mut tree = Tree::new();
    for id in 0..n {
        // Odd, so that every page comes once, in no order.
        let page = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) % n.next_power_of_two();
        tree.insert(node(page * 10..page * 10 + 9, id));
    }
    tree
}

/// The largest height of an AVL tree.
fn height(n: u64) -> usize {
    (1.4405 * ((n + 2) as f64).log2()) as usize
}

fn visits(look_up: impl FnOnce()) -> usize {
    VISITS.set(0);
    look_up();
    VISITS.get()
}

#[test]
fn a_look_up_goes_one_way_down() {
    for n in [1, 1000, 100_000] {
        let tree = pages(n);
        // At each node on the way down, a look at each child.
        let bound = 1 + 2 * height(n);
        let mut most = 0;
        for at in (0..20_000).map(|i| i * 37 % (n * 12)) {
            for range in [at..at + 1, at..at + 1000, 0..at, at..u64::MAX] {
                most = most.max(visits(|| drop(tree.first_overlap(range))));
            }
        }
        assert!(most <= bound, "{most} visits of {n} nodes, not {bound}");
        println!("{n} nodes: at most {most} visits");
    }
}

#[test]
fn a_walk_costs_what_it_finds() {
    for n in [1, 1000, 100_000] {
        let tree = pages(n);
        for (at, len) in (0..300).map(|i| (i * 977 % (n * 12), i * 7)) {
            let mut found = 0;
            let visits = visits(|| tree.for_each_overlap(at..at + len, |_, _| found += 1));
            // Both ends of the range are ways down.
            let bound = 1 + 2 * (found + 2 * height(n));
            assert!(visits <= bound, "{visits} visits for {found} of {n} nodes, not {bound}");
        }
    }
}

#[test]
fn a_small_stack_is_enough() {
    std::thread::Builder::new()
        .stack_size(64 << 10)
        .spawn(|| {
            let mut tree = pages(100_000);
            for id in 0..10 {
                tree.insert(node(id..u64::MAX, u64::MAX - id));
            }
            let mut found = 0;
            tree.for_each_overlap(0..u64::MAX, |_, _| found += 1);
            assert_eq!(found, tree.len());
            for _ in 0..1000 {
                assert!(tree.take_first().is_some());
            }
            drop(tree);
        })
        .unwrap()
        .join()
        .unwrap();
}
