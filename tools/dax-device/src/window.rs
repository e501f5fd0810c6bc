// SPDX-License-Identifier: GPL-2.0
//! The DAX window: which parts of it show which files. QEMU does the mapping; what it refuses or does
//! late is dealt with here.

use std::collections::BTreeMap;
use std::fs::{File, FileTimes};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, MutexGuard};

use vhost::vhost_user::message::{VhostUserMMap, VhostUserMMapFlags, VhostUserSharedMsg};
use vhost::vhost_user::{Backend, VhostUserFrontendReqHandler};

/// Mappings begin and end at multiples of this.
pub const PAGE: u64 = 4096;

/// What is to be mapped: bytes of a file, and where in the window they go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mapping {
    pub file_offset: u64,
    pub window_offset: u64,
    pub len: u64,
    pub writable: bool,
}

/// Who can map files into the window.
pub trait Mapper: Send {
    fn map(&self, mapping: &Mapping, file: &File) -> io::Result<()>;
    fn unmap(&self, window_offset: u64, len: u64) -> io::Result<()>;
}

impl Mapper for Backend {
    fn map(&self, mapping: &Mapping, file: &File) -> io::Result<()> {
        let flags = match mapping.writable {
            true => VhostUserMMapFlags::WRITABLE,
            false => VhostUserMMapFlags::empty(),
        };
        self.shmem_map(
            &VhostUserMMap {
                fd_offset: mapping.file_offset,
                shm_offset: mapping.window_offset,
                len: mapping.len,
                flags: flags.bits(),
                ..Default::default()
            },
            file,
        )?;
        // QEMU answers before the guest can see the mapping, and takes the next message afterwards.
        // This one asks to remove an object that does not exist, which is no error.
        let _ = self.shared_object_remove(&VhostUserSharedMsg::default());
        Ok(())
    }

    fn unmap(&self, window_offset: u64, len: u64) -> io::Result<()> {
        self.shmem_unmap(&VhostUserMMap {
            shm_offset: window_offset,
            len,
            ..Default::default()
        })?;
        Ok(())
    }
}

#[derive(Default)]
struct State {
    mapper: Option<Box<dyn Mapper>>,
    /// What is mapped: the offset in the window and the length.
    mapped: BTreeMap<u64, u64>,
}

/// The window of a device.
pub struct Window {
    len: u64,
    state: Mutex<State>,
}

impl Window {
    /// A window of so many bytes; none at all if it is zero.
    pub fn new(len: u64) -> Self {
        Window {
            len,
            state: Mutex::default(),
        }
    }

    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is no window.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many ranges are mapped.
    pub fn mapped(&self) -> usize {
        self.state().mapped.len()
    }

    /// QEMU has opened the channel through which it is asked to map.
    pub fn connect(&self, mapper: Box<dyn Mapper>) {
        self.state().mapper = Some(mapper);
    }

    /// The guest's driver has let go of the device: QEMU has unmapped everything by itself.
    pub fn reset(&self) {
        self.state().mapped.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Maps a part of a file, in place of whatever was there. Returns how many ranges that unmapped.
    pub fn map(&self, mapping: &Mapping, file: &File) -> io::Result<usize> {
        self.check(mapping.window_offset, mapping.len)?;
        if !mapping.file_offset.is_multiple_of(PAGE)
            || mapping.file_offset.checked_add(mapping.len).is_none()
        {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let mut state = self.state();
        let unmapped = state.unmap(mapping.window_offset, mapping.len)?;
        let mapper = state.mapper()?;
        stretched(file, mapping.file_offset + mapping.len, || {
            mapper.map(mapping, file)
        })?;
        state.mapped.insert(mapping.window_offset, mapping.len);
        Ok(unmapped)
    }

    /// Unmaps whatever is mapped in a part of the window, and returns how many ranges that were.
    pub fn unmap(&self, window_offset: u64, len: u64) -> io::Result<usize> {
        self.check(window_offset, len)?;
        self.state().unmap(window_offset, len)
    }

    /// Unmaps everything.
    pub fn unmap_all(&self) -> io::Result<usize> {
        self.state().unmap(0, u64::MAX)
    }

    /// Whether a part of the window begins and ends at pages of it.
    fn check(&self, window_offset: u64, len: u64) -> io::Result<()> {
        let inside = window_offset
            .checked_add(len)
            .is_some_and(|end| end <= self.len);
        let whole = window_offset.is_multiple_of(PAGE) && len.is_multiple_of(PAGE);
        match inside && len > 0 && whole {
            true => Ok(()),
            false => Err(io::Error::from_raw_os_error(libc::EINVAL)),
        }
    }
}

impl State {
    fn mapper(&self) -> io::Result<&dyn Mapper> {
        self.mapper
            .as_deref()
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))
    }

    /// QEMU unmaps only what it has mapped, as a whole.
    fn unmap(&mut self, window_offset: u64, len: u64) -> io::Result<usize> {
        let end = window_offset.saturating_add(len);
        let touched = |at: u64, len: u64| at < end && at + len > window_offset;
        let ranges: Vec<_> = self.mapped.iter().map(|(at, len)| (*at, *len)).collect();
        let ranges: Vec<_> = ranges
            .into_iter()
            .filter(|range| touched(range.0, range.1))
            .collect();
        for (at, len) in &ranges {
            self.mapper()?.unmap(*at, *len)?;
            self.mapped.remove(at);
        }
        Ok(ranges.len())
    }
}

/// Does something while the file is at least so long, and makes it as long as before afterwards. The
/// client maps whole ranges and asks for nothing beyond the end of the file; QEMU maps nothing there.
fn stretched<T>(file: &File, len: u64, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let before = file.metadata()?;
    if before.len() >= len {
        return work();
    }
    file.set_len(len)?;
    let done = work();
    file.set_len(before.len())?;
    let times = FileTimes::new()
        .set_accessed(before.accessed()?)
        .set_modified(before.modified()?);
    if let Err(error) = file.set_times(times) {
        log::debug!("times of inode {}: {error}", before.ino());
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// Notes what it is asked to do, and refuses what QEMU refuses.
    #[derive(Clone, Default)]
    struct Notes(Arc<Mutex<(BTreeMap<u64, u64>, Vec<u64>)>>);

    impl Mapper for Notes {
        fn map(&self, mapping: &Mapping, file: &File) -> io::Result<()> {
            let mut notes = self.0.lock().unwrap();
            assert!(
                notes.0.insert(mapping.window_offset, mapping.len).is_none(),
                "overlap"
            );
            notes.1.push(file.metadata()?.len());
            Ok(())
        }

        fn unmap(&self, window_offset: u64, len: u64) -> io::Result<()> {
            assert_eq!(
                self.0.lock().unwrap().0.remove(&window_offset),
                Some(len),
                "not mapped"
            );
            Ok(())
        }
    }

    const RANGE: u64 = 2 << 20;

    fn window() -> (Window, Notes, File) {
        let (window, notes) = (Window::new(4 * RANGE), Notes::default());
        window.connect(Box::new(notes.clone()));
        let file = tempfile::tempfile().unwrap();
        file.set_len(5000).unwrap();
        (window, notes, file)
    }

    fn at(window_offset: u64) -> Mapping {
        Mapping {
            file_offset: 0,
            window_offset,
            len: RANGE,
            writable: false,
        }
    }

    #[test]
    fn a_range_is_mapped_in_place_of_the_one_before() {
        let (window, notes, file) = window();
        assert_eq!(window.map(&at(RANGE), &file).unwrap(), 0);
        assert_eq!(window.map(&at(RANGE), &file).unwrap(), 1);
        assert_eq!(window.map(&at(0), &file).unwrap(), 0);
        assert_eq!(notes.0.lock().unwrap().0.len(), 2);
        assert_eq!(window.unmap_all().unwrap(), 2);
        assert!(notes.0.lock().unwrap().0.is_empty());
    }

    #[test]
    fn a_file_is_stretched_only_while_it_is_mapped() {
        let (window, notes, file) = window();
        let modified = file.metadata().unwrap().modified().unwrap();
        window.map(&at(0), &file).unwrap();
        assert_eq!(notes.0.lock().unwrap().1, [RANGE]);
        let after = file.metadata().unwrap();
        assert_eq!((after.len(), after.modified().unwrap()), (5000, modified));
    }

    #[test]
    fn what_lies_outside_or_between_pages_is_refused() {
        let (window, _, file) = window();
        for (window_offset, len) in [
            (4 * RANGE, RANGE),
            (1, RANGE),
            (0, 1),
            (0, 0),
            (PAGE, u64::MAX),
        ] {
            let mapping = Mapping {
                window_offset,
                len,
                ..at(0)
            };
            assert!(window.map(&mapping, &file).is_err(), "{mapping:?}");
            assert!(window.unmap(window_offset, len).is_err());
        }
        let mapping = Mapping {
            file_offset: 1,
            ..at(0)
        };
        assert!(window.map(&mapping, &file).is_err());
    }

    #[test]
    fn after_a_reset_nothing_is_mapped() {
        let (window, notes, file) = window();
        window.map(&at(0), &file).unwrap();
        window.reset();
        notes.0.lock().unwrap().0.clear();
        assert_eq!(window.map(&at(0), &file).unwrap(), 0);
    }
}
