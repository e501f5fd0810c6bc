// SPDX-License-Identifier: GPL-2.0
//! Counts requests, for people and tests. The file has a line for each counter, of a fixed length, so
//! that one write brings it up to date: whoever reads the file sees what was asked until then.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;

use crate::wire::OPCODES;

/// What is counted beside requests.
#[derive(Clone, Copy)]
pub enum Event {
    /// A request no opcode is known for.
    Unknown,
    /// Ranges of the window that are mapped, and those that are unmapped.
    RangeMapped,
    RangeUnmapped,
    /// Requests that end with an error.
    Error,
}

const EVENTS: [&str; 4] = ["UNKNOWN", "RANGES_MAPPED", "RANGES_UNMAPPED", "ERRORS"];
const NAME: usize = 20;
const NUMBER: usize = 20;
const LINE: usize = NAME + NUMBER + 1;

/// The counters, and the file that shows them.
pub struct Counters {
    values: Mutex<Vec<u64>>,
    file: Option<File>,
}

impl Counters {
    pub fn new(path: Option<&Path>) -> io::Result<Self> {
        let counters = Counters {
            values: Mutex::new(vec![0; OPCODES.len() + EVENTS.len()]),
            file: path.map(File::create).transpose()?,
        };
        for index in 0..OPCODES.len() + EVENTS.len() {
            counters.show(index, 0)?;
        }
        Ok(counters)
    }

    /// Counts a request.
    pub fn request(&self, opcode: u32) {
        match OPCODES.iter().position(|known| known.0 == opcode) {
            Some(index) => self.count(index),
            None => self.event(Event::Unknown),
        }
    }

    /// Counts something else.
    pub fn event(&self, event: Event) {
        self.count(OPCODES.len() + event as usize);
    }

    fn count(&self, index: usize) {
        // The lock is kept while the file is written: an old number never replaces a new one.
        let mut values = self.values.lock().unwrap();
        values[index] += 1;
        if let Err(error) = self.show(index, values[index]) {
            log::warn!("counters: {error}");
        }
    }

    fn show(&self, index: usize, value: u64) -> io::Result<()> {
        let name = match OPCODES.get(index) {
            Some(known) => known.1,
            None => EVENTS[index - OPCODES.len()],
        };
        let line = format!("{name:<NAME$}{value:>NUMBER$}\n");
        match &self.file {
            Some(file) => file.write_all_at(line.as_bytes(), (index * LINE) as u64),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    #[test]
    fn the_file_has_each_number_as_soon_as_it_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("counters");
        let counters = Counters::new(Some(&path)).unwrap();
        let read = |name: &str| -> u64 {
            let text = std::fs::read_to_string(&path).unwrap();
            let line = text
                .lines()
                .find(|line| line.split_whitespace().next() == Some(name));
            line.unwrap()
                .split_whitespace()
                .nth(1)
                .unwrap()
                .parse()
                .unwrap()
        };
        assert_eq!(read("READ"), 0);
        counters.request(wire::READ);
        counters.request(wire::READ);
        counters.request(4711);
        counters.event(Event::RangeMapped);
        assert_eq!(
            (
                read("READ"),
                read("WRITE"),
                read("UNKNOWN"),
                read("RANGES_MAPPED")
            ),
            (2, 0, 1, 1)
        );
    }
}
