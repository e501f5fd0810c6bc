// SPDX-License-Identifier: GPL-2.0

//! Queues of shared objects.
//!
//! [`Queue`] is a doubly linked list of `Arc`s whose links live in the objects, so that putting
//! an object in or taking it out allocates nothing and cannot fail. Unlike the kernel crate's
//! list, removal from the middle is safe: each link remembers which queue holds it.

use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::prelude::*;
use kernel::sync::atomic::Acquire;
use kernel::sync::atomic::Atomic;
use kernel::sync::atomic::Relaxed;
use kernel::sync::atomic::Release;
use kernel::sync::Arc;
use kernel::sync::ArcBorrow;

/// The id that marks a link as being in no queue.
const NOWHERE: u64 = 0;
static NEXT_QUEUE: Atomic<u64> = Atomic::new(1);

/// What an object needs for being in a queue; `ID` tells several links of one object apart.
///
/// # Invariants
///
/// While `owner` is the id of a queue, the object is in that queue, `prev` and `next` belong to
/// it, and it owns one reference to the object. While `owner` is [`NOWHERE`] nobody uses them.
pub struct Link<T, const ID: usize = 0> {
    owner: Atomic<u64>,
    prev: UnsafeCell<Option<NonNull<T>>>,
    next: UnsafeCell<Option<NonNull<T>>>,
}

// SAFETY: `prev` and `next` are only accessed with exclusive access to the queue named by `owner`.
unsafe impl<T: Send + Sync, const ID: usize> Send for Link<T, ID> {}
// SAFETY: As above.
unsafe impl<T: Send + Sync, const ID: usize> Sync for Link<T, ID> {}

impl<T, const ID: usize> Link<T, ID> {
    /// A link that is in no queue.
    pub const fn new() -> Self {
        // INVARIANT: Nobody uses the pointers.
        Self {
            owner: Atomic::new(NOWHERE),
            prev: UnsafeCell::new(None),
            next: UnsafeCell::new(None),
        }
    }

    /// Whether the object is in some queue. A hint: others may change it at any time.
    pub fn is_queued(&self) -> bool {
        self.owner.load(Relaxed) != NOWHERE
    }
}

impl<T, const ID: usize> Default for Link<T, ID> {
    fn default() -> Self {
        Self::new()
    }
}

/// An object that can be in a queue through its link `ID`; implemented by [`impl_linked`].
///
/// # Safety
///
/// [`Linked::link`] returns the same link at every call, and it lies in the object itself.
///
/// [`impl_linked`]: crate::list::impl_linked
pub unsafe trait Linked<const ID: usize = 0>: Sized + Send + Sync {
    /// The link.
    fn link(&self) -> &Link<Self, ID>;
}

/// Implements [`Linked`] for a type: `impl_linked!(Type, 0: field)`, where `field` is a
/// `Link<Type, 0>`.
#[macro_export]
macro_rules! impl_linked {
    ($type:ty, $id:literal: $field:ident) => {
        // SAFETY: The link is a field of the object. `offset_of` does not look through
        // references, so it is the object's own: such a field goes before any that the object
        // could dereference to.
        unsafe impl $crate::list::Linked<$id> for $type {
            fn link(&self) -> &$crate::list::Link<Self, $id> {
                const _: usize = ::core::mem::offset_of!($type, $field);
                &self.$field
            }
        }
    };
}
pub use impl_linked;

/// A queue of `Arc<T>`.
///
/// # Invariants
///
/// `id` is [`NOWHERE`] until the queue gets its first object, then a number that no other queue
/// has. `head` and `tail` are both `None` or the ends of a chain of objects whose links' owner is
/// `id`; each object in the chain is kept alive by one reference the queue owns. All pointers to an
/// object came from [`Arc::into_raw`], so that the reference can be recovered from them.
pub struct Queue<T: Linked<ID>, const ID: usize = 0> {
    id: u64,
    head: Option<NonNull<T>>,
    tail: Option<NonNull<T>>,
    len: usize,
    _owns: PhantomData<Arc<T>>,
}

// SAFETY: A queue is a collection of `Arc<T>`.
unsafe impl<T: Linked<ID>, const ID: usize> Send for Queue<T, ID> {}
// SAFETY: As above; shared access gives out `&T` only.
unsafe impl<T: Linked<ID>, const ID: usize> Sync for Queue<T, ID> {}

impl<T: Linked<ID>, const ID: usize> Default for Queue<T, ID> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Linked<ID>, const ID: usize> Queue<T, ID> {
    /// An empty queue.
    pub const fn new() -> Self {
        Self {
            id: NOWHERE,
            head: None,
            tail: None,
            len: 0,
            _owns: PhantomData,
        }
    }

    /// Whether the queue is empty.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    /// How many objects are in the queue.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Appends `item`; gives it back if it is in some queue already.
    pub fn push_back(&mut self, item: Arc<T>) -> Result<(), Arc<T>> {
        self.insert(item, self.tail, None)
    }

    /// As [`Queue::push_back`], before all others.
    pub fn push_front(&mut self, item: Arc<T>) -> Result<(), Arc<T>> {
        self.insert(item, None, self.head)
    }

    /// Puts `item` between two neighbours of this queue, or gives it back.
    fn insert(
        &mut self,
        item: Arc<T>,
        prev: Option<NonNull<T>>,
        next: Option<NonNull<T>>,
    ) -> Result<(), Arc<T>> {
        if self.id == NOWHERE {
            self.id = NEXT_QUEUE.fetch_add(1, Relaxed);
        }
        if item
            .link()
            .owner
            .cmpxchg(NOWHERE, self.id, Acquire)
            .is_err()
        {
            return Err(item);
        }
        // INVARIANT: From here on the queue owns the reference.
        // SAFETY: The address of an object is not null.
        let node = unsafe { NonNull::new_unchecked(Arc::into_raw(item).cast_mut()) };
        // SAFETY: The reference keeps the object alive. By the link's invariant its pointers
        // belong to this queue since the exchange above, and we have exclusive access to it.
        unsafe {
            let link = node.as_ref().link();
            *link.prev.get() = prev;
            *link.next.get() = next;
        }
        self.set_next(prev, Some(node));
        self.set_prev(next, Some(node));
        self.len = self.len.wrapping_add(1);
        Ok(())
    }

    /// Makes `to` the successor of `of`, or the head.
    fn set_next(&mut self, of: Option<NonNull<T>>, to: Option<NonNull<T>>) {
        match of {
            // SAFETY: `of` is in this queue, so it is alive and its link is ours.
            Some(of) => unsafe { *of.as_ref().link().next.get() = to },
            None => self.head = to,
        }
    }

    /// Makes `to` the predecessor of `of`, or the tail.
    fn set_prev(&mut self, of: Option<NonNull<T>>, to: Option<NonNull<T>>) {
        match of {
            // SAFETY: `of` is in this queue, so it is alive and its link is ours.
            Some(of) => unsafe { *of.as_ref().link().prev.get() = to },
            None => self.tail = to,
        }
    }

    /// The first object.
    pub fn front(&self) -> Option<&T> {
        // SAFETY: Objects in the queue are kept alive by it, so as long as it is borrowed.
        self.head.map(|head| unsafe { &*head.as_ptr() })
    }

    /// Takes the first object.
    pub fn pop_front(&mut self) -> Option<Arc<T>> {
        let head = self.head?;
        // SAFETY: `head` is in this queue, hence alive.
        self.remove(unsafe { head.as_ref() })
    }

    /// Takes `item` out if it is in this queue.
    pub fn remove(&mut self, item: &T) -> Option<Arc<T>> {
        let link = item.link();
        if self.id == NOWHERE || link.owner.load(Acquire) != self.id {
            return None;
        }
        // SAFETY: The owner is this queue, to which we have exclusive access.
        let (prev, next) = unsafe { (*link.prev.get(), *link.next.get()) };
        // The queue's own pointer to the object: one made from `item` would not be good for the
        // reference count, which lies beside it.
        let node = match prev {
            // SAFETY: `prev` is in this queue, so it is alive and its link is ours.
            Some(prev) => unsafe { *prev.as_ref().link().next.get() },
            None => self.head,
        }?;
        self.set_next(prev, next);
        self.set_prev(next, prev);
        self.len = self.len.wrapping_sub(1);
        // INVARIANT: Nobody uses the pointers any more.
        link.owner.store(NOWHERE, Release);
        // SAFETY: The queue owned the reference that this pointer came from, and gives it up here.
        Some(unsafe { Arc::from_raw(node.as_ptr()) })
    }

    /// The first object that satisfies `test`.
    pub fn find(&self, test: impl FnMut(&T) -> bool) -> Option<Arc<T>> {
        self.search(self.head, |link| &link.next, test)
    }

    /// The last object that satisfies `test`.
    pub fn rfind(&self, test: impl FnMut(&T) -> bool) -> Option<Arc<T>> {
        self.search(self.tail, |link| &link.prev, test)
    }

    /// Goes from an object of the queue to that behind it, as `follow` says.
    fn search(
        &self,
        from: Option<NonNull<T>>,
        follow: impl Fn(&Link<T, ID>) -> &UnsafeCell<Option<NonNull<T>>>,
        mut test: impl FnMut(&T) -> bool,
    ) -> Option<Arc<T>> {
        let mut cursor = from;
        while let Some(node) = cursor {
            // SAFETY: Objects in the queue are kept alive by it.
            let item = unsafe { node.as_ref() };
            if test(item) {
                // SAFETY: The queue owns a reference that came from `Arc::into_raw`; this only
                // borrows it to make another.
                return Some(unsafe { ArcBorrow::from_raw(node.as_ptr()) }.into());
            }
            // SAFETY: The link belongs to this queue, which we have shared access to.
            cursor = unsafe { *follow(item.link()).get() };
        }
        None
    }
}

impl<T: Linked<ID>, const ID: usize> Drop for Queue<T, ID> {
    fn drop(&mut self) {
        while self.pop_front().is_some() {}
    }
}
