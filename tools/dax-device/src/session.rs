// SPDX-License-Identifier: GPL-2.0
//! What the device adds to the file system: the window, which files are for DAX, and counters.

use std::io;
use std::sync::RwLock;

use crate::counters::{Counters, Event};
use crate::passthrough::{Memory, Passthrough};
use crate::policy::Policy;
use crate::window::{Mapping, Window, PAGE};
use crate::wire::{self, Attr, Header};

/// A client and what is kept for it.
pub struct Session {
    core: Passthrough,
    pub window: Window,
    policy: Policy,
    counters: Counters,
    /// Held for writing while a file may be longer than it is, by a mapping; by all others for
    /// reading, so that nobody sees that length or changes it.
    lengths: RwLock<()>,
}

impl Session {
    pub fn new(core: Passthrough, window: Window, policy: Policy, counters: Counters) -> Self {
        Session {
            core,
            window,
            policy,
            counters,
            lengths: RwLock::default(),
        }
    }

    /// Serves a request. The reply has at most `room` bytes, and none if the request wants none.
    pub fn serve(&self, memory: &mut Memory, request: &[u8], room: usize) -> Vec<u8> {
        let Some(header) = Header::of(request) else {
            log::warn!("a request of {} bytes has no header", request.len());
            return Vec::new();
        };
        self.counters.request(header.opcode);
        let reply = match header.opcode {
            wire::SETUPMAPPING => self.answer(&header, self.set_up(&header, request)),
            wire::REMOVEMAPPING => self.answer(&header, self.remove(request)),
            wire::DESTROY => self.destroy(memory, &header, request),
            _ => self.pass(memory, &header, request, room),
        };
        if !reply.is_empty() && !wire::succeeded(&reply) {
            self.counters.event(Event::Error);
        }
        log::trace!(
            "{header:?}: {} bytes, reply of {}",
            request.len(),
            reply.len()
        );
        reply
    }

    fn answer(&self, header: &Header, result: io::Result<()>) -> Vec<u8> {
        if let Err(error) = &result {
            log::debug!("{header:?}: {error}");
        }
        wire::status(header.unique, result.map_or_else(|e| errno(&e), |()| 0))
    }

    /// Lets the file system answer, and adds to its answer.
    fn pass(&self, memory: &mut Memory, header: &Header, request: &[u8], room: usize) -> Vec<u8> {
        if header.opcode == wire::INIT {
            self.begin_anew();
        }
        let lengths = self.lengths.read().unwrap();
        let mut reply = match self.core.serve(memory, request, room) {
            Ok(reply) => reply,
            Err(error) => {
                log::warn!("{header:?}: {error}");
                let mut reply = wire::status(header.unique, errno(&error));
                reply.truncate(room);
                reply
            }
        };
        drop(lengths);
        if wire::succeeded(&reply) {
            self.add(header, request, &mut reply);
        }
        reply
    }

    /// The file system has no answer to this, but the client waits for one.
    fn destroy(&self, memory: &mut Memory, header: &Header, request: &[u8]) -> Vec<u8> {
        self.begin_anew();
        self.pass(memory, header, request, 0);
        wire::status(header.unique, 0)
    }

    /// A client begins or ends: what the one before had mapped is of no use any more.
    fn begin_anew(&self) {
        match self.window.unmap_all() {
            Ok(unmapped) => self.count_unmapped(unmapped),
            Err(error) => log::warn!("the window cannot be emptied: {error}"),
        }
        self.policy.forget_all();
    }

    fn count_unmapped(&self, ranges: usize) {
        for _ in 0..ranges {
            self.counters.event(Event::RangeUnmapped);
        }
    }

    fn add(&self, header: &Header, request: &[u8], reply: &mut [u8]) {
        match header.opcode {
            wire::INIT => self.add_to_init(request, reply),
            wire::LOOKUP => self.add_to_entry(reply, name(request, 0)),
            wire::MKNOD => self.add_to_entry(reply, name(request, 16)),
            wire::LINK => self.add_to_entry(reply, name(request, 8)),
            wire::CREATE => self.add_to_entry(reply, name(request, 16)),
            wire::GETATTR | wire::SETATTR => {
                self.mark(reply, wire::OUT_HEADER + wire::ATTR_OUT_ATTR, header.nodeid);
            }
            wire::READDIRPLUS => {
                for (at, name) in wire::plus_entries(reply) {
                    self.entry(reply, at, &name);
                }
            }
            _ => (),
        }
    }

    /// Says what the device can do beside the file system, as far as the client knows of it.
    fn add_to_init(&self, request: &[u8], reply: &mut [u8]) {
        const FLAGS: usize = wire::OUT_HEADER + 12;
        const FLAGS2: usize = wire::OUT_HEADER + 32;
        const ALIGNMENT: usize = wire::OUT_HEADER + 30;
        if self.window.is_empty() {
            return;
        }
        let word = |message: &[u8], at| u64::from(wire::u32_at(message, at).unwrap_or(0));
        let mut offered = word(request, wire::IN_HEADER + 12);
        if offered & wire::INIT_EXT != 0 {
            offered |= word(request, wire::IN_HEADER + 16) << 32;
        }
        let mut wanted = wire::INIT_MAP_ALIGNMENT;
        if self.policy.chooses() {
            wanted |= wire::INIT_HAS_INODE_DAX;
        }
        let flags = word(reply, FLAGS) | word(reply, FLAGS2) << 32 | offered & wanted;
        wire::put(reply, FLAGS, &(flags as u32).to_le_bytes());
        wire::put(reply, FLAGS2, &((flags >> 32) as u32).to_le_bytes());
        wire::put(reply, ALIGNMENT, &(PAGE.ilog2() as u16).to_le_bytes());
    }

    fn add_to_entry(&self, reply: &mut [u8], name: &[u8]) {
        self.entry(reply, wire::OUT_HEADER, name);
    }

    fn entry(&self, reply: &mut [u8], at: usize, name: &[u8]) {
        let node = wire::u64_at(reply, at).unwrap_or(0);
        self.policy.found(node, name);
        self.mark(reply, at + wire::ENTRY_ATTR, node);
    }

    /// Says in a file's attributes whether it is for DAX.
    fn mark(&self, reply: &mut [u8], at: usize, node: u64) {
        if self.window.is_empty() {
            return;
        }
        if let Some(mut attr) = Attr::at(reply, at) {
            if attr.is_regular() && self.policy.is_for_dax(node, attr.size()) {
                attr.set_dax();
            }
        }
    }

    fn set_up(&self, header: &Header, request: &[u8]) -> io::Result<()> {
        let field = |index: usize| wire::u64_at(request, wire::IN_HEADER + index * 8);
        let (Some(file_offset), Some(len), Some(flags), Some(window_offset)) =
            (field(1), field(2), field(3), field(4))
        else {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        };
        self.has_window()?;
        let writable = flags & wire::MAP_WRITE != 0;
        let mapping = Mapping {
            file_offset,
            window_offset,
            len,
            writable,
        };
        let file = self.core.file(header.nodeid, writable)?;
        let _lengths = self.lengths.write().unwrap();
        let unmapped = self.window.map(&mapping, &file)?;
        self.count_unmapped(unmapped);
        self.counters.event(Event::RangeMapped);
        log::trace!("{mapping:?} of node {}", header.nodeid);
        Ok(())
    }

    fn remove(&self, request: &[u8]) -> io::Result<()> {
        const FIRST: usize = wire::IN_HEADER + 4;
        self.has_window()?;
        let count = wire::u32_at(request, wire::IN_HEADER).unwrap_or(0) as usize;
        let body = request.get(FIRST..).unwrap_or_default();
        if count > body.len() / 16 {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        for range in body.chunks_exact(16).take(count) {
            let number = |at| wire::u64_at(range, at).unwrap_or(0);
            self.count_unmapped(self.window.unmap(number(0), number(8))?);
        }
        Ok(())
    }

    fn has_window(&self) -> io::Result<()> {
        match self.window.is_empty() {
            true => Err(io::Error::from_raw_os_error(libc::ENOSYS)),
            false => Ok(()),
        }
    }
}

/// The name in a request, behind a body of so many bytes.
fn name(request: &[u8], body: usize) -> &[u8] {
    let rest = request.get(wire::IN_HEADER + body..).unwrap_or_default();
    rest.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::DaxFiles;
    use crate::window::Mapper;
    use std::fs::File;

    /// Maps nothing, and is content with everything.
    struct Anything;

    impl Mapper for Anything {
        fn map(&self, _: &Mapping, _: &File) -> io::Result<()> {
            Ok(())
        }

        fn unmap(&self, _: u64, _: u64) -> io::Result<()> {
            Ok(())
        }
    }

    struct Client {
        session: Session,
        memory: Memory,
        _dir: tempfile::TempDir,
    }

    fn client(window: u64, files: DaxFiles) -> Client {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), b"content").unwrap();
        let config = virtiofsd::passthrough::Config {
            root_dir: dir.path().to_str().unwrap().to_string(),
            ..Default::default()
        };
        let window = Window::new(window);
        window.connect(Box::new(Anything));
        let session = Session::new(
            Passthrough::new(config).unwrap(),
            window,
            Policy::new(files),
            Counters::new(None).unwrap(),
        );
        Client {
            session,
            memory: Memory::new().unwrap(),
            _dir: dir,
        }
    }

    impl Client {
        fn ask(&mut self, opcode: u32, node: u64, body: &[u8]) -> Vec<u8> {
            let mut request = vec![0; wire::IN_HEADER];
            let len = wire::IN_HEADER + body.len();
            wire::put(&mut request, 0, &(len as u32).to_le_bytes());
            wire::put(&mut request, 4, &opcode.to_le_bytes());
            wire::put(&mut request, 16, &node.to_le_bytes());
            request.extend(body);
            self.session.serve(&mut self.memory, &request, 65536)
        }

        fn init(&mut self) -> Vec<u8> {
            let mut body = [0; 64];
            let flags = wire::INIT_EXT | wire::INIT_MAP_ALIGNMENT;
            wire::put(&mut body, 0, &7u32.to_le_bytes());
            wire::put(&mut body, 4, &40u32.to_le_bytes());
            wire::put(&mut body, 12, &(flags as u32).to_le_bytes());
            wire::put(
                &mut body,
                16,
                &((wire::INIT_HAS_INODE_DAX >> 32) as u32).to_le_bytes(),
            );
            self.ask(wire::INIT, 0, &body)
        }

        fn words(&mut self, opcode: u32, node: u64, first: &[u8], words: &[u64]) -> u32 {
            let mut body = first.to_vec();
            body.extend(words.iter().flat_map(|word| word.to_le_bytes()));
            wire::u32_at(&self.ask(opcode, node, &body), 4).unwrap()
        }

        fn set_up(&mut self, node: u64, window_offset: u64) -> u32 {
            self.words(
                wire::SETUPMAPPING,
                node,
                &[],
                &[0, 0, 2 << 20, 1, window_offset],
            )
        }

        fn remove(&mut self, count: u32, window_offset: u64) -> u32 {
            let range = [window_offset, 2 << 20];
            self.words(wire::REMOVEMAPPING, 1, &count.to_le_bytes(), &range)
        }
    }

    fn errno_of(error: i32) -> u32 {
        -error as u32
    }

    #[test]
    fn init_offers_what_the_client_knows() {
        let reply = client(4 << 20, DaxFiles::Always).init();
        let flags = u64::from(wire::u32_at(&reply, wire::OUT_HEADER + 12).unwrap());
        assert_ne!(flags & wire::INIT_MAP_ALIGNMENT, 0);
        assert_eq!(wire::u32_at(&reply, wire::OUT_HEADER + 32).unwrap() & 2, 2);
        let reply = client(0, DaxFiles::Always).init();
        let flags = u64::from(wire::u32_at(&reply, wire::OUT_HEADER + 12).unwrap());
        assert_eq!(flags & wire::INIT_MAP_ALIGNMENT, 0);
    }

    #[test]
    fn a_file_that_is_chosen_is_marked() {
        for (files, marked) in [
            (DaxFiles::Always, 2),
            (DaxFiles::Never, 0),
            (DaxFiles::Name("ile".into()), 2),
        ] {
            let mut client = client(4 << 20, files);
            client.init();
            let reply = client.ask(wire::LOOKUP, 1, b"file\0");
            let flags = |reply: &[u8], at| wire::u32_at(reply, wire::OUT_HEADER + at + 84);
            assert_eq!(flags(&reply, wire::ENTRY_ATTR), Some(marked));
            let node = wire::u64_at(&reply, wire::OUT_HEADER).unwrap();
            let reply = client.ask(wire::GETATTR, node, &[0; 16]);
            assert_eq!(flags(&reply, wire::ATTR_OUT_ATTR), Some(marked));
        }
    }

    #[test]
    fn mappings_are_set_up_and_removed() {
        let mut client = client(4 << 20, DaxFiles::Always);
        client.init();
        let reply = client.ask(wire::LOOKUP, 1, b"file\0");
        let node = wire::u64_at(&reply, wire::OUT_HEADER).unwrap();
        assert_eq!(client.set_up(node, 2 << 20), 0);
        assert_eq!(client.session.window.mapped(), 1);
        assert_eq!(client.remove(1, 2 << 20), 0);
        assert_eq!(client.session.window.mapped(), 0);
        assert_eq!(client.set_up(node, 4 << 20), errno_of(libc::EINVAL));
        assert_eq!(client.remove(2, 0), errno_of(libc::EINVAL));
    }

    #[test]
    fn without_a_window_there_are_no_mappings() {
        let mut client = client(0, DaxFiles::Always);
        client.init();
        assert_eq!(client.set_up(1, 0), errno_of(libc::ENOSYS));
    }

    #[test]
    fn a_client_that_goes_leaves_no_mapping() {
        let mut client = client(4 << 20, DaxFiles::Always);
        client.init();
        let reply = client.ask(wire::LOOKUP, 1, b"file\0");
        let node = wire::u64_at(&reply, wire::OUT_HEADER).unwrap();
        assert_eq!(client.set_up(node, 0), 0);
        assert!(wire::succeeded(&client.ask(wire::DESTROY, 0, &[])));
        assert_eq!(client.session.window.mapped(), 0);
    }
}
