// SPDX-License-Identifier: GPL-2.0
//! Which files the client is told to use DAX for, when it lets the server choose.

use std::collections::HashSet;
use std::str::FromStr;
use std::sync::Mutex;

/// What a person may choose.
#[derive(Clone, Debug, PartialEq)]
pub enum DaxFiles {
    Never,
    Always,
    /// Files of at least so many bytes.
    Size(u64),
    /// Files whose name ends so.
    Name(String),
}

impl FromStr for DaxFiles {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=').unwrap_or((text, "")) {
            ("never", "") => Ok(DaxFiles::Never),
            ("always", "") => Ok(DaxFiles::Always),
            ("size", size) => parse_size(size).map(DaxFiles::Size),
            ("name", end) if !end.is_empty() => Ok(DaxFiles::Name(end.to_string())),
            _ => Err("it is never, always, size=BYTES or name=ENDING".to_string()),
        }
    }
}

/// A number of bytes, with K, M or G behind it or not.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1 << 10),
        Some((at, 'm' | 'M')) => (&text[..at], 1 << 20),
        Some((at, 'g' | 'G')) => (&text[..at], 1 << 30),
        _ => (text, 1u64),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit))
        .ok_or_else(|| format!("'{text}' is not a size"))
}

/// The choice, and what it needs to remember.
pub struct Policy {
    files: DaxFiles,
    /// Nodes that were found under a name that is chosen: attributes come without names later.
    named: Mutex<HashSet<u64>>,
}

impl Policy {
    pub fn new(files: DaxFiles) -> Self {
        Policy {
            files,
            named: Mutex::default(),
        }
    }

    /// Whether the client should know that there is a choice.
    pub fn chooses(&self) -> bool {
        self.files != DaxFiles::Never
    }

    /// A node was found under a name.
    pub fn found(&self, node: u64, name: &[u8]) {
        if let DaxFiles::Name(end) = &self.files {
            if name.ends_with(end.as_bytes()) {
                self.named.lock().unwrap().insert(node);
            }
        }
    }

    /// Whether a regular file is for DAX.
    pub fn is_for_dax(&self, node: u64, size: u64) -> bool {
        match &self.files {
            DaxFiles::Never => false,
            DaxFiles::Always => true,
            DaxFiles::Size(least) => size >= *least,
            DaxFiles::Name(_) => self.named.lock().unwrap().contains(&node),
        }
    }

    /// The client begins anew.
    pub fn forget_all(&self) {
        self.named.lock().unwrap().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_size("4096"), Ok(4096));
        assert_eq!(parse_size("64M"), Ok(64 << 20));
        assert_eq!(parse_size("2g"), Ok(2 << 30));
        for wrong in ["", "M", "1T", "-1", "99999999999G"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn choices_are_read() {
        assert_eq!("size=1M".parse(), Ok(DaxFiles::Size(1 << 20)));
        assert_eq!("name=.dax".parse(), Ok(DaxFiles::Name(".dax".into())));
        for wrong in ["", "sometimes", "size", "name=", "never=1"] {
            assert!(wrong.parse::<DaxFiles>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_name_counts_until_the_client_begins_anew() {
        let policy = Policy::new(DaxFiles::Name(".dax".into()));
        policy.found(5, b"x.dax");
        policy.found(6, b"x.txt");
        assert!(policy.is_for_dax(5, 0) && !policy.is_for_dax(6, 0));
        policy.forget_all();
        assert!(!policy.is_for_dax(5, 0));
    }

    #[test]
    fn a_size_counts_from_its_first_byte() {
        let policy = Policy::new(DaxFiles::Size(10));
        assert!(policy.is_for_dax(1, 10) && !policy.is_for_dax(1, 9));
    }
}
