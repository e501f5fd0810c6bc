// SPDX-License-Identifier: GPL-2.0

//! The barrier in every order of writers, truncaters, fsyncers and replies that loom finds.
//!
//! The model is as the kernel has it: barrier, queue and size under one spinlock, closers under
//! the inode's lock, a server that answers whenever it likes. Beside that it records what became
//! of each copy.

use fuse_pure::logic::barrier::{clip, Barrier};
use loom::model::Builder;
use loom::sync::{Arc, Condvar, Mutex, MutexGuard};
use loom::thread;
use std::collections::VecDeque;
use std::io::Write;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What became of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Queued,
    /// With the server, as a WRITE up to here.
    Sent(u64),
    Answered,
    Dropped,
}

struct State {
    barrier: Barrier,
    queue: VecDeque<(usize, Range<u64>)>,
    size: u64,
    /// The size of the file at the server.
    server: u64,
    fates: Vec<Fate>,
    /// Who is between closing and opening the barrier.
    closers: usize,
}

impl State {
    fn with_server(&self) -> usize {
        self.fates.iter().filter(|fate| matches!(fate, Fate::Sent(_))).count()
    }

    fn is_over(&self, id: usize) -> bool {
        matches!(self.fates[id], Fate::Answered | Fate::Dropped)
    }

    fn send_queued(&mut self) {
        while !self.queue.is_empty() && self.barrier.try_send() {
            assert_eq!(self.closers, 0, "nothing is sent while the barrier is closed");
            let Some((id, range)) = self.queue.pop_front() else { return };
            assert_eq!(self.fates[id], Fate::Queued, "a copy is sent once");
            if let Some(len) = clip(range.clone(), self.size) {
                let end = range.start + len;
                assert!(len > 0 && end <= self.size, "a WRITE does not reach beyond the size");
                self.fates[id] = Fate::Sent(end);
            } else {
                assert!(range.start >= self.size, "what is dropped lies beyond the size");
                self.fates[id] = Fate::Dropped;
                assert!(!self.barrier.finish(), "nobody waits");
            }
        }
        self.check();
    }

    fn check(&self) {
        assert_eq!(self.barrier.sent() as usize, self.with_server());
        assert!(self.queue.is_empty() || self.closers > 0, "nothing is left in the queue");
    }
}

struct Inode {
    /// The spinlock.
    state: Mutex<State>,
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
                size,
                server: 0,
                fates: Vec::new(),
                closers: 0,
            }),
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
        state.send_queued();
        drop(state);
        self.work.notify_all();
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

    fn open(&self, mut state: MutexGuard<'_, State>) {
        state.closers -= 1;
        state.barrier.open();
        state.send_queued();
        drop(state);
        self.work.notify_all();
    }

    /// A change of size without the inode's lock.
    fn resize(&self, size: u64) {
        self.close();
        self.wait();
        let mut setattr = self.state();
        assert_eq!(setattr.with_server(), 0, "nothing is sent beside SETATTR");
        setattr.server = size;
        drop(setattr);
        let mut state = self.state();
        assert_eq!(state.with_server(), 0, "nothing is sent after SETATTR");
        state.size = size;
        self.open(state);
    }

    fn truncate(&self, size: u64) {
        let _inode = self.lock.lock().unwrap();
        self.resize(size);
    }

    fn fsync(&self) {
        let before = self.state().fates.len();
        let inode = self.lock.lock().unwrap();
        self.close();
        self.wait();
        self.open(self.state());
        drop(inode);
        let state = self.state();
        assert!((0..before).all(|id| state.is_over(id)), "all of before is over");
    }

    /// A fatal signal comes before the wait is over.
    fn killed(&self) {
        let _inode = self.lock.lock().unwrap();
        self.close();
        self.open(self.state());
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
                state.fates[id] = Fate::Answered;
                if state.barrier.finish() {
                    self.drained.notify_all();
                }
                state.check();
                drop(state);
                state = self.state();
            } else if state.fates.len() == total && (0..total).all(|id| state.is_over(id)) {
                return;
            } else {
                state = self.work.wait(state).unwrap();
            }
        }
    }

    /// When all is over.
    fn check(&self) {
        let state = self.state();
        state.check();
        assert_eq!(state.closers, 0);
        assert!((0..state.fates.len()).all(|id| state.is_over(id)), "no copy is lost");
        assert!(state.server <= state.size, "no WRITE made the file grow back");
    }
}

type Role = fn(&Inode);

/// Runs the roles beside each other, the first of them in the first thread, and with them a server
/// that gets `copies`; in all orders, or in those with up to `preemptions` of them.
fn explore(name: &str, preemptions: Option<usize>, copies: usize, size: u64, roles: &[Role]) {
    let executions = std::sync::Arc::new(AtomicUsize::new(0));
    let counter = executions.clone();
    let roles = roles.to_vec();
    let mut builder = Builder::new();
    let preemptions = builder.preemption_bound.or(preemptions);
    builder.preemption_bound = preemptions;
    builder.check(move || {
        counter.fetch_add(1, Ordering::Relaxed);
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
    let executions = executions.load(Ordering::Relaxed);
    assert!(executions > 100, "{executions} are too few to mean something");
    let bound = preemptions.map_or("all".to_string(), |n| format!("up to {n} preemptions"));
    // Not captured, unlike what println! writes.
    writeln!(std::io::stdout(), "loom: {name}: {executions} executions ({bound})").unwrap();
}

#[test]
fn a_truncation_beside_a_write() {
    explore("a truncation beside a write", None, 1, 3, &[
        |inode| inode.write(0..3),
        |inode| inode.truncate(1),
    ]);
}

#[test]
fn a_truncation_beside_writes() {
    explore("a truncation beside writes", Some(2), 3, 3, &[
        |inode| {
            inode.write(0..2);
            inode.write(1..3);
        },
        |inode| inode.write(0..1),
        |inode| inode.truncate(1),
    ]);
}

#[test]
fn an_fsync_beside_a_write() {
    explore("an fsync beside a write", None, 1, 3, &[
        |inode| inode.write(0..1),
        |inode| inode.fsync(),
    ]);
}

#[test]
fn fsyncs_beside_writes() {
    explore("fsyncs beside writes", Some(2), 3, 3, &[
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
    explore("a truncation and an fsync", Some(2), 2, 3, &[
        |inode| {
            inode.write(0..2);
            inode.write(2..3);
        },
        |inode| inode.truncate(1),
        |inode| inode.fsync(),
    ]);
}

#[test]
fn truncations_both_ways() {
    explore("truncations both ways", Some(2), 2, 3, &[
        |inode| {
            inode.write(0..2);
            inode.write(2..3);
        },
        |inode| inode.truncate(1),
        |inode| inode.truncate(4),
    ]);
}

#[test]
fn a_killed_wait_beside_a_truncation() {
    explore("a killed wait beside a truncation", Some(2), 2, 3, &[
        |inode| {
            inode.write(0..2);
            inode.write(2..3);
        },
        |inode| inode.truncate(1),
        |inode| inode.killed(),
    ]);
}

#[test]
fn closers_that_do_not_exclude_each_other() {
    explore("closers that do not exclude each other", Some(2), 2, 3, &[
        |inode| {
            inode.write(0..2);
            inode.write(2..3);
        },
        |inode| inode.resize(1),
        |inode| inode.resize(1),
    ]);
}
