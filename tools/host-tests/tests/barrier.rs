// SPDX-License-Identifier: GPL-2.0

//! The barrier in all orders of writers, truncaters, fsyncers and replies with few preemptions.
//!
//! The model takes the steps of fuse_rs/page_cache: barrier and queue under a spinlock, which is
//! given back between queueing a copy, counting it as sent and sending it; closers under the
//! inode's lock; a server that answers whenever it likes. Beside that it records what became of
//! each copy.

use fuse_pure::logic::barrier::{clip, Barrier};
use loom::model::Builder;
use loom::sync::atomic::AtomicU64;
use loom::sync::{Arc, Condvar, Mutex, MutexGuard};
use loom::thread;
use std::collections::VecDeque;
use std::io::Write;
use std::ops::Range;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// What became of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Queued,
    /// Counted as sent.
    Going,
    /// With the server, as a WRITE up to here.
    Sent(u64),
    Answered,
    Dropped,
}

struct State {
    barrier: Barrier,
    queue: VecDeque<(usize, Range<u64>)>,
    /// The size of the file at the server.
    server: u64,
    fates: Vec<Fate>,
    /// Who is between closing and opening the barrier.
    closers: usize,
}

impl State {
    fn with_server(&self) -> usize {
        self.fates.iter().filter(|fate| matches!(fate, Fate::Going | Fate::Sent(_))).count()
    }

    fn is_over(&self, id: usize) -> bool {
        matches!(self.fates[id], Fate::Answered | Fate::Dropped)
    }

    /// The next copy that may be sent, which then counts as sent.
    fn next_to_send(&mut self) -> Option<(usize, Range<u64>)> {
        if self.queue.is_empty() || !self.barrier.try_send() {
            return None;
        }
        assert_eq!(self.closers, 0, "nothing is sent while the barrier is closed");
        let (id, range) = self.queue.pop_front()?;
        assert_eq!(self.fates[id], Fate::Queued, "a copy is sent once");
        self.fates[id] = Fate::Going;
        Some((id, range))
    }

    fn is_idle(&self) -> bool {
        (0..self.fates.len()).all(|id| self.is_over(id))
    }
}

struct Inode {
    /// The spinlock.
    state: Mutex<State>,
    size: AtomicU64,
    /// The inode's lock.
    lock: Mutex<()>,
    /// Where closers wait.
    drained: Condvar,
    /// Where the server waits.
    work: Condvar,
}

impl Inode {
    fn new(size: u64) -> Self {
        Self {
            state: Mutex::new(State {
                barrier: Barrier::new(),
                queue: VecDeque::new(),
                server: 0,
                fates: Vec::new(),
                closers: 0,
            }),
            size: AtomicU64::new(size),
            lock: Mutex::new(()),
            drained: Condvar::new(),
            work: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Writeback has made a copy.
    fn write(&self, range: Range<u64>) {
        let mut state = self.state();
        let id = state.fates.len();
        state.fates.push(Fate::Queued);
        state.queue.push_back((id, range));
        drop(state);
        self.send_queued();
    }

    fn send_queued(&self) {
        loop {
            let next = self.state().next_to_send();
            let Some((id, range)) = next else { return };
            let len = clip(range.clone(), self.size.load(Acquire));
            let mut state = self.state();
            let size = self.size.load(Acquire);
            if let Some(len) = len {
                let end = range.start + len;
                assert!(end <= size, "a WRITE does not reach beyond the size");
                assert!(len > 0 && end <= range.end, "a WRITE is of bytes of the copy");
                state.fates[id] = Fate::Sent(end);
            } else {
                assert!(range.start >= size, "what is dropped lies beyond the size");
                self.finish(&mut state, id, Fate::Dropped);
            }
            drop(state);
            self.work.notify_all();
        }
    }

    fn finish(&self, state: &mut State, id: usize, fate: Fate) {
        state.fates[id] = fate;
        if state.barrier.finish() {
            self.drained.notify_all();
        }
        assert_eq!(state.barrier.sent() as usize, state.with_server());
    }

    fn close(&self) {
        let mut state = self.state();
        state.barrier.close();
        state.closers += 1;
    }

    fn wait(&self) {
        let mut state = self.state();
        while !state.barrier.is_drained() {
            state = self.drained.wait(state).unwrap();
        }
        assert_eq!(state.with_server(), 0, "nothing is with the server");
    }

    fn open(&self) {
        let mut state = self.state();
        state.closers -= 1;
        state.barrier.open();
        drop(state);
        self.send_queued();
    }

    /// A change of size without the inode's lock.
    fn resize(&self, size: u64) {
        self.close();
        self.wait();
        self.state().server = size;
        self.size.store(size, Release);
        assert_eq!(self.state().with_server(), 0, "nothing is sent beside SETATTR");
        self.open();
    }

    fn truncate(&self, size: u64) {
        let _inode = self.lock.lock().unwrap();
        self.resize(size);
    }

    fn fsync(&self) {
        let before = self.state().fates.len();
        // What is queued and not sent is sent at the end of the first pass, and waited for in the
        // second.
        for _ in 0..2 {
            if self.state().is_idle() {
                break;
            }
            let _inode = self.lock.lock().unwrap();
            self.close();
            self.wait();
            self.open();
        }
        let state = self.state();
        assert!((0..before).all(|id| state.is_over(id)), "all of before is over");
    }

    /// A fatal signal comes before the wait is over.
    fn killed(&self) {
        let _inode = self.lock.lock().unwrap();
        self.close();
        self.open();
    }

    /// Answers until so many copies are over.
    fn serve(&self, total: usize) {
        let mut state = self.state();
        loop {
            let sent = state.fates.iter().position(|fate| matches!(fate, Fate::Sent(_)));
            if let Some(id) = sent {
                let Fate::Sent(end) = state.fates[id] else { return };
                // At the latest moment, where it does the most harm.
                state.server = state.server.max(end);
                self.finish(&mut state, id, Fate::Answered);
                drop(state);
                state = self.state();
            } else if state.fates.len() == total && state.is_idle() {
                return;
            } else {
                state = self.work.wait(state).unwrap();
            }
        }
    }

    /// When all is over.
    fn check(&self) {
        let state = self.state();
        assert!(state.is_idle() && state.queue.is_empty(), "no copy is lost");
        assert_eq!((state.closers, state.with_server()), (0, 0));
        let size = self.size.load(Acquire);
        assert!(state.server <= size, "no WRITE made the file grow back");
    }
}

type Role = fn(&Inode);

/// Runs the roles beside each other, the first of them in the first thread, and with them a server
/// that gets `copies`, in all orders with up to `preemptions` of them, or LOOM_MAX_PREEMPTIONS.
fn explore(name: &str, preemptions: usize, copies: usize, size: u64, roles: &[Role]) {
    let executions = std::sync::Arc::new(AtomicUsize::new(0));
    let counter = executions.clone();
    let roles = roles.to_vec();
    let mut builder = Builder::new();
    let preemptions = *builder.preemption_bound.get_or_insert(preemptions);
    builder.check(move || {
        counter.fetch_add(1, Relaxed);
        let inode = Arc::new(Inode::new(size));
        let beside = |role: Box<dyn FnOnce(&Inode)>| {
            let inode = inode.clone();
            thread::spawn(move || role(&inode))
        };
        let mut threads = vec![beside(Box::new(move |inode: &Inode| inode.serve(copies)))];
        threads.extend(roles[1..].iter().map(|role| beside(Box::new(*role))));
        roles[0](&inode);
        for thread in threads {
            thread.join().unwrap();
        }
        inode.check();
    });
    let executions = executions.load(Relaxed);
    assert!(executions > 100, "{executions} are too few to mean something");
    let line = format!("loom: {name}: {executions} executions, {preemptions} preemptions");
    // Not captured, unlike what println! writes.
    writeln!(std::io::stdout(), "{line}").unwrap();
}

fn two_writes(inode: &Inode) {
    inode.write(0..2);
    inode.write(2..3);
}

#[test]
fn a_truncation_beside_a_write() {
    explore("a truncation beside a write", 4, 1, 3, &[
        |inode| inode.write(0..3),
        |inode| inode.truncate(1),
    ]);
}

#[test]
fn a_truncation_beside_writes() {
    explore("a truncation beside writes", 2, 3, 3, &[
        two_writes,
        |inode| inode.write(0..1),
        |inode| inode.truncate(1),
    ]);
}

#[test]
fn an_fsync_beside_a_write() {
    explore("an fsync beside a write", 4, 1, 3, &[
        |inode| inode.write(0..1),
        |inode| inode.fsync(),
    ]);
}

#[test]
fn fsyncs_beside_writes() {
    explore("fsyncs beside writes", 2, 3, 3, &[
        |inode| {
            inode.write(0..1);
            inode.fsync();
            inode.write(0..1);
        },
        |inode| {
            inode.write(1..2);
            inode.fsync();
        },
    ]);
}

#[test]
fn a_truncation_and_an_fsync() {
    explore("a truncation and an fsync", 2, 2, 3, &[
        two_writes,
        |inode| inode.truncate(1),
        |inode| inode.fsync(),
    ]);
}

#[test]
fn truncations_both_ways() {
    explore("truncations both ways", 2, 2, 3, &[
        two_writes,
        |inode| inode.truncate(1),
        |inode| inode.truncate(4),
    ]);
}

#[test]
fn a_killed_wait_beside_a_truncation() {
    explore("a killed wait beside a truncation", 2, 2, 3, &[
        two_writes,
        |inode| inode.truncate(1),
        |inode| inode.killed(),
    ]);
}

#[test]
fn closers_that_do_not_exclude_each_other() {
    explore("closers that do not exclude each other", 2, 2, 3, &[
        two_writes,
        |inode| inode.resize(1),
        |inode| inode.resize(1),
    ]);
}
