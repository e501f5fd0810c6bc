// SPDX-License-Identifier: GPL-2.0

//! Ranges of a file with a value each, found by what they overlap.
//!
//! An AVL tree in the order of the ranges' starts, in which each node also knows how far the ranges
//! below it reach. An AVL tree is the lowest of the common balanced trees, so look-ups are short,
//! and one rule, which looks at the heights of children only, balances it after insertions and
//! removals alike: nodes need no way up.
//!
//! Nodes come from the caller in boxes of its own (`P`) and go back in them; the tree allocates
//! nothing. No call recurses deeper than the tree is high, nor does dropping it: 1.45 log₂ n.

use core::cmp::Ordering;
use core::marker::PhantomData;
use core::ops::DerefMut;
use core::ops::Range;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

impl Side {
    const fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }
}

/// A range with its value, in or outside a tree.
#[derive(Debug)]
pub struct Node<V, P> {
    range: Range<u64>,
    id: u64,
    value: V,
    left: Option<P>,
    right: Option<P>,
    /// Of the tree below this node, which included.
    height: u8,
    /// The largest end of a range in that tree; empty ranges do not count.
    reach: u64,
}

impl<V, P> Node<V, P> {
    /// A node for a range. Ranges may overlap and be equal; `id` tells those apart that have the
    /// same start. An empty range overlaps nothing.
    pub const fn new(range: Range<u64>, id: u64, value: V) -> Self {
        Self {
            range,
            id,
            value,
            left: None,
            right: None,
            height: 0,
            reach: 0,
        }
    }

    /// The range.
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// What tells it apart from others with the same start.
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// The value.
    pub const fn value(&self) -> &V {
        &self.value
    }

    /// The value alone.
    pub fn into_value(self) -> V {
        self.value
    }

    fn key(&self) -> (u64, u64) {
        (self.range.start, self.id)
    }

    fn overlaps(&self, range: &Range<u64>) -> bool {
        self.range.start.max(range.start) < self.range.end.min(range.end)
    }

    fn child(&mut self, side: Side) -> &mut Option<P> {
        match side {
            Side::Left => &mut self.left,
            Side::Right => &mut self.right,
        }
    }
}

impl<V, P: DerefMut<Target = Self>> Node<V, P> {
    fn heights(&self) -> (u8, u8) {
        let height = |child: &Option<P>| child.as_deref().map_or(0, |node| node.height);
        (height(&self.left), height(&self.right))
    }

    /// The side that is higher by more than `slack`.
    fn higher(&self, slack: u8) -> Option<Side> {
        let (left, right) = self.heights();
        if left > right.saturating_add(slack) {
            Some(Side::Left)
        } else if right > left.saturating_add(slack) {
            Some(Side::Right)
        } else {
            None
        }
    }

    /// Recomputes what the node knows of the tree below it, whose children are right.
    fn refresh(&mut self) {
        let (left, right) = self.heights();
        self.height = left.max(right).saturating_add(1);
        self.refresh_reach();
    }

    fn refresh_reach(&mut self) {
        let reach = |child: &Option<P>| child.as_deref().map_or(0, |node| node.reach);
        let own = if self.range.is_empty() {
            0
        } else {
            self.range.end
        };
        self.reach = own.max(reach(&self.left)).max(reach(&self.right));
    }

    /// Lifts the child on `side` over `top`.
    fn rotate(mut top: P, side: Side) -> P {
        let Some(mut child) = top.child(side).take() else {
            return top;
        };
        *top.child(side) = child.child(side.other()).take();
        top.refresh();
        *child.child(side.other()) = Some(top);
        child.refresh();
        child
    }

    /// Balances the tree at `top`, whose children are balanced and differ by two at most.
    fn balance(mut top: P) -> P {
        top.refresh();
        let Some(side) = top.higher(1) else {
            return top;
        };
        if let Some(child) = top.child(side).take() {
            let inner = side.other();
            *top.child(side) = Some(if child.higher(0) == Some(inner) {
                Self::rotate(child, inner)
            } else {
                child
            });
        }
        Self::rotate(top, side)
    }

    /// What those above know of the tree at `top`.
    fn summary(top: &Option<P>) -> (u8, u64) {
        top.as_deref().map_or((0, 0), |top| (top.height, top.reach))
    }

    /// Replaces the child on `side` by what `with` makes of it, and balances the tree at `top` if
    /// that is of any consequence for it.
    fn replace<R>(
        mut top: P,
        side: Side,
        with: impl FnOnce(Option<P>) -> (R, Option<P>),
    ) -> (R, P) {
        let child = top.child(side).take();
        let before = Self::summary(&child);
        let (result, child) = with(child);
        let after = Self::summary(&child);
        *top.child(side) = child;
        if after.0 != before.0 {
            top = Self::balance(top);
        } else if after.1 != before.1 {
            top.refresh_reach();
        }
        (result, top)
    }

    fn insert(top: Option<P>, node: P) -> P {
        let Some(top) = top else {
            return Self::balance(node);
        };
        let side = if node.key() < top.key() {
            Side::Left
        } else {
            Side::Right
        };
        Self::replace(top, side, |below| ((), Some(Self::insert(below, node)))).1
    }

    /// The first node and the rest of the tree.
    fn split_first(mut top: P) -> (P, Option<P>) {
        match top.left.take() {
            Some(left) => {
                let (first, rest) = Self::split_first(left);
                top.left = rest;
                (first, Some(Self::balance(top)))
            }
            None => {
                let rest = top.right.take();
                (top, rest)
            }
        }
    }

    /// One tree of two whose heights differ by one at most, the left before the right.
    fn join(left: Option<P>, right: Option<P>) -> Option<P> {
        let Some(right) = right else {
            return left;
        };
        let (mut first, rest) = Self::split_first(right);
        first.left = left;
        first.right = rest;
        Some(Self::balance(first))
    }

    /// The node with this key, if there is one, and the rest of the tree.
    fn remove(top: Option<P>, key: (u64, u64)) -> (Option<P>, Option<P>) {
        let Some(mut top) = top else {
            return (None, None);
        };
        let side = match key.cmp(&top.key()) {
            Ordering::Less => Side::Left,
            Ordering::Greater => Side::Right,
            Ordering::Equal => {
                let rest = Self::join(top.left.take(), top.right.take());
                return (Some(top), rest);
            }
        };
        let (found, top) = Self::replace(top, side, |below| Self::remove(below, key));
        (found, Some(top))
    }

    /// The child, if some range below it ends beyond `start`.
    fn reaching(child: &Option<P>, start: u64) -> Option<&Self> {
        child.as_deref().filter(|node| node.reach > start)
    }

    fn for_each_overlap(&self, range: &Range<u64>, visit: &mut impl FnMut(Range<u64>, &V)) {
        if let Some(left) = Self::reaching(&self.left, range.start) {
            left.for_each_overlap(range, visit);
        }
        if self.range.start >= range.end {
            return;
        }
        if self.overlaps(range) {
            visit(self.range(), &self.value);
        }
        if let Some(right) = Self::reaching(&self.right, range.start) {
            right.for_each_overlap(range, visit);
        }
    }
}

/// Ranges in the order of (start, id). `P` is a box that owns a node.
#[derive(Debug)]
pub struct Tree<V, P>
where
    P: DerefMut<Target = Node<V, P>>,
{
    root: Option<P>,
    len: usize,
    values: PhantomData<V>,
}

impl<V, P> Tree<V, P>
where
    P: DerefMut<Target = Node<V, P>>,
{
    /// Empty.
    pub const fn new() -> Self {
        Self {
            root: None,
            len: 0,
            values: PhantomData,
        }
    }

    /// Puts a node in, which is not in a tree. Takes O(log n).
    ///
    /// The caller sees to it that no two nodes have the same start and id. If they do, both are in
    /// the tree, and it takes two calls of [`Self::remove`] to get both out.
    pub fn insert(&mut self, node: P) {
        self.root = Some(Node::insert(self.root.take(), node));
        self.len = self.len.saturating_add(1);
    }

    /// Takes the node with this start and id out, if there is one. Takes O(log n).
    pub fn remove(&mut self, start: u64, id: u64) -> Option<P> {
        let (found, rest) = Node::remove(self.root.take(), (start, id));
        self.root = rest;
        self.forget(found)
    }

    /// Takes the first node out. Takes O(log n).
    pub fn take_first(&mut self) -> Option<P> {
        let (first, rest) = Node::split_first(self.root.take()?);
        self.root = rest;
        self.forget(Some(first))
    }

    fn forget(&mut self, node: Option<P>) -> Option<P> {
        self.len = self.len.saturating_sub(usize::from(node.is_some()));
        node
    }

    /// The first range that overlaps `range`. Takes O(log n): one way down.
    pub fn first_overlap(&self, range: Range<u64>) -> Option<(Range<u64>, &V)> {
        if range.is_empty() {
            return None;
        }
        let mut next = Node::reaching(&self.root, range.start);
        while let Some(node) = next {
            // A range on the left that ends late enough either overlaps, or starts too late, and
            // with it everything from here on.
            if let Some(left) = Node::reaching(&node.left, range.start) {
                next = Some(left);
            } else if node.overlaps(&range) {
                return Some((node.range(), &node.value));
            } else if node.range.start >= range.end {
                return None;
            } else {
                next = Node::reaching(&node.right, range.start);
            }
        }
        None
    }

    /// Calls `visit` with each range that overlaps `range`, in order.
    ///
    /// Looks at those, at nodes on the way to them, and at one way down: O(k + log n) for k ranges
    /// that do not overlap each other, O((k + 1) log n) for any.
    pub fn for_each_overlap(&self, range: Range<u64>, mut visit: impl FnMut(Range<u64>, &V)) {
        if range.is_empty() {
            return;
        }
        if let Some(root) = Node::reaching(&self.root, range.start) {
            root.for_each_overlap(&range, &mut visit);
        }
    }

    /// Whether there is no range.
    pub const fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// The number of ranges.
    pub const fn len(&self) -> usize {
        self.len
    }
}

impl<V, P> Default for Tree<V, P>
where
    P: DerefMut<Target = Node<V, P>>,
{
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::ops::Deref;
    extern crate std;
    use std::boxed::Box;
    use std::vec::Vec;

    #[derive(Debug)]
    struct Boxed(Box<Node<u64, Boxed>>);

    impl Deref for Boxed {
        type Target = Node<u64, Self>;
        fn deref(&self) -> &Self::Target {
            &self.0
        }
    }

    impl DerefMut for Boxed {
        fn deref_mut(&mut self) -> &mut Self::Target {
            &mut self.0
        }
    }

    type Ranges = Tree<u64, Boxed>;

    fn node(range: Range<u64>, id: u64) -> Boxed {
        Boxed(Box::new(Node::new(range, id, id)))
    }

    fn tree(ranges: &[Range<u64>]) -> Ranges {
        let mut tree = Tree::new();
        for (id, range) in (0..).zip(ranges) {
            tree.insert(node(range.clone(), id));
        }
        check(&tree);
        tree
    }

    fn overlaps(tree: &Ranges, range: Range<u64>) -> Vec<u64> {
        let mut ids = Vec::new();
        tree.for_each_overlap(range.clone(), |_, id| ids.push(*id));
        let first = tree.first_overlap(range).map(|(_, id)| *id);
        assert_eq!(first, ids.first().copied());
        ids
    }

    /// Height and reach of the tree below; what is wrong panics.
    fn check_below(top: Option<&Boxed>, keys: &mut Vec<(u64, u64)>) -> (u8, u64) {
        let Some(top) = top else { return (0, 0) };
        let (left, left_reach) = check_below(top.left.as_ref(), keys);
        keys.push(top.key());
        let (right, right_reach) = check_below(top.right.as_ref(), keys);
        assert!(left.abs_diff(right) <= 1, "balance");
        assert_eq!(top.height, left.max(right) + 1, "height");
        let own = Some(top.range.end).filter(|_| !top.range.is_empty());
        let reach = own.unwrap_or(0).max(left_reach).max(right_reach);
        assert_eq!(top.reach, reach, "reach");
        (top.height, reach)
    }

    /// Everything the tree promises about itself; returns its height.
    fn check(tree: &Ranges) -> u8 {
        let mut keys = Vec::new();
        let (height, _) = check_below(tree.root.as_ref(), &mut keys);
        assert!(keys.is_sorted(), "order");
        assert_eq!(tree.len(), keys.len());
        assert_eq!(tree.is_empty(), keys.is_empty());
        height
    }

    #[test]
    fn an_empty_tree_has_nothing() {
        let mut tree = tree(&[]);
        assert_eq!(overlaps(&tree, 0..u64::MAX), []);
        assert!(tree.remove(0, 0).is_none());
        assert!(tree.take_first().is_none());
    }

    #[test]
    fn ranges_are_half_open() {
        let tree = tree(&[10..20]);
        assert_eq!(overlaps(&tree, 0..10), []);
        assert_eq!(overlaps(&tree, 0..11), [0]);
        assert_eq!(overlaps(&tree, 19..20), [0]);
        assert_eq!(overlaps(&tree, 20..30), []);
        assert_eq!(
            tree.first_overlap(0..u64::MAX).map(|(r, _)| r),
            Some(10..20)
        );
    }

    #[test]
    fn a_long_range_hides_no_other() {
        let tree = tree(&[0..1000, 10..20, 30..40, 50..60, 70..80]);
        assert_eq!(overlaps(&tree, 35..55), [0, 2, 3]);
        assert_eq!(overlaps(&tree, 45..46), [0]);
        assert_eq!(overlaps(&tree, 999..2000), [0]);
    }

    #[test]
    fn equal_ranges_are_told_apart_by_id() {
        let mut tree = tree(&[5..6, 5..6, 5..6]);
        assert_eq!(overlaps(&tree, 5..6), [0, 1, 2]);
        assert_eq!(tree.remove(5, 1).map(|n| n.id()), Some(1));
        assert!(tree.remove(5, 1).is_none());
        assert_eq!(overlaps(&tree, 5..6), [0, 2]);
    }

    #[test]
    fn of_equal_keys_none_is_lost() {
        let mut tree = Tree::new();
        for value in 0..20 {
            tree.insert(Boxed(Box::new(Node::new(5..6, 1, value))));
            check(&tree);
        }
        for _ in 0..20 {
            assert!(tree.remove(5, 1).is_some());
            check(&tree);
        }
        assert!(tree.is_empty());
    }

    #[test]
    fn empty_ranges_overlap_nothing() {
        let (low, high) = (0, u64::MAX);
        let mut tree = tree(&[7..7, high..low, 5..6]);
        assert_eq!(overlaps(&tree, 0..u64::MAX), [2]);
        assert_eq!(overlaps(&tree, 5..5), []);
        assert_eq!(overlaps(&tree, high..low), []);
        assert!(tree.remove(7, 0).is_some() && tree.remove(high, 1).is_some());
    }

    #[test]
    fn the_last_byte_of_all_is_found() {
        let tree = tree(&[0..1, u64::MAX - 1..u64::MAX]);
        assert_eq!(overlaps(&tree, u64::MAX - 1..u64::MAX), [1]);
    }

    #[test]
    fn nodes_come_back_and_may_be_put_in_again() {
        let mut tree = tree(&[1..2, 2..3, 3..4, 4..5]);
        let removed = tree.remove(2, 1).unwrap();
        assert_eq!((removed.range(), removed.id()), (2..3, 1));
        check(&tree);
        tree.insert(removed);
        check(&tree);
        let first = tree.take_first().unwrap();
        assert_eq!(first.value(), &0);
        assert_eq!(first.0.into_value(), 0);
    }

    #[test]
    fn nodes_are_taken_in_order() {
        let mut tree = tree(&[9..10, 3..30, 7..8, 1..2, 5..6]);
        let mut ids = Vec::new();
        while let Some(node) = tree.take_first() {
            check(&tree);
            ids.push(node.id());
        }
        assert_eq!(ids, [3, 1, 4, 2, 0]);
    }

    /// Numbers without order, always the same.
    fn shuffled(seed: u64) -> impl FnMut(u64) -> u64 {
        let mut state = seed;
        move |below| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 33) % below
        }
    }

    #[test]
    fn it_is_in_order_and_balanced_after_each_step() {
        for seed in 0..20 {
            let mut random = shuffled(seed);
            let mut tree = Tree::new();
            let mut keys = Vec::new();
            for id in 0..2000 {
                // It grows, and then shrinks.
                let grows = random(1000) + id / 2 < 900;
                if grows || keys.is_empty() {
                    let start = random(300);
                    tree.insert(node(start..start + random(50), id));
                    keys.push((start, id));
                } else {
                    let at = random(keys.len() as u64) as usize;
                    let (start, id) = keys.swap_remove(at);
                    assert_eq!(tree.remove(start, id).map(|n| n.id()), Some(id));
                }
                check(&tree);
                assert_eq!(tree.len(), keys.len());
            }
        }
    }

    #[test]
    fn the_height_is_logarithmic() {
        for n in [1u64, 2, 3, 7, 100, 1000, 100_000] {
            let bound = 1.4405 * ((n + 2) as f64).log2();
            for order in 0..3 {
                let mut random = shuffled(n);
                let mut tree = Tree::new();
                for id in 0..n {
                    let start = [id, n - id, random(1 << 30)][order];
                    tree.insert(node(start..start + 1, id));
                }
                let height = check(&tree);
                assert!(f64::from(height) <= bound, "{height} for {n}");
            }
        }
    }
}
