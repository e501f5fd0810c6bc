// SPDX-License-Identifier: GPL-2.0
//! virtiofsd's file system behind plain byte buffers. It takes messages out of descriptor chains of
//! its own version of the virtqueue crates; a message is carried over through a small memory with one
//! chain in it.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use core_backend::bitmap::BitmapMmapRegion;
use core_memory::{Bytes, GuestAddress, GuestMemoryMmap};
use core_queue::{Queue, QueueT};
use virtiofsd::descriptor_utils::{Reader, Writer};
use virtiofsd::filesystem::{
    Context, Entry, Extensions, FileSystem, FsOptions, GetxattrReply, ListxattrReply, OpenOptions,
    SetattrValid, SetxattrFlags, ZeroCopyReader, ZeroCopyWriter,
};
use virtiofsd::fuse::{Attr, SetattrIn};
use virtiofsd::oslib::ReadvFlags;
use virtiofsd::passthrough::{Config, PassthroughFs};
use virtiofsd::server::Server;
use virtiofsd::soft_idmap::{GuestGid, GuestUid};

type Inode = <PassthroughFs as FileSystem>::Inode;
type Handle = <PassthroughFs as FileSystem>::Handle;

/// The file system, which the server wants for itself and mappings need, too.
#[derive(Clone)]
struct Shared(Arc<PassthroughFs>);

macro_rules! forward {
    ($(fn $name:ident $(<$g:ident: $bound:ident>)? ($($arg:ident: $type:ty),*) $(-> $out:ty)?;)*) => {
        $(fn $name $(<$g: $bound>)? (&self, $($arg: $type),*) $(-> $out)? {
            self.0.$name($($arg),*)
        })*
    };
}

impl FileSystem for Shared {
    type Inode = Inode;
    type Handle = Handle;
    type DirIter = <PassthroughFs as FileSystem>::DirIter;

    forward! {
        fn init(capable: FsOptions) -> io::Result<FsOptions>;
        fn destroy();
        fn statfs(c: Context, i: Inode) -> io::Result<libc::statvfs64>;
        fn lookup(c: Context, dir: Inode, name: &CStr) -> io::Result<Entry>;
        fn forget(c: Context, i: Inode, count: u64);
        fn batch_forget(c: Context, requests: Vec<(Inode, u64)>);
        fn getattr(c: Context, i: Inode, h: Option<Handle>) -> io::Result<(Attr, Duration)>;
        fn setattr(c: Context, i: Inode, attr: SetattrIn, h: Option<Handle>, valid: SetattrValid)
            -> io::Result<(Attr, Duration)>;
        fn readlink(c: Context, i: Inode) -> io::Result<Vec<u8>>;
        fn symlink(c: Context, to: &CStr, dir: Inode, name: &CStr, e: Extensions)
            -> io::Result<Entry>;
        fn mknod(c: Context, dir: Inode, name: &CStr, mode: u32, rdev: u32, umask: u32,
            e: Extensions) -> io::Result<Entry>;
        fn mkdir(c: Context, dir: Inode, name: &CStr, mode: u32, umask: u32, e: Extensions)
            -> io::Result<Entry>;
        fn unlink(c: Context, dir: Inode, name: &CStr) -> io::Result<()>;
        fn rmdir(c: Context, dir: Inode, name: &CStr) -> io::Result<()>;
        fn rename(c: Context, from: Inode, name: &CStr, to: Inode, new_name: &CStr, flags: u32)
            -> io::Result<()>;
        fn link(c: Context, i: Inode, dir: Inode, name: &CStr) -> io::Result<Entry>;
        fn open(c: Context, i: Inode, kill_priv: bool, flags: u32)
            -> io::Result<(Option<Handle>, OpenOptions)>;
        fn create(c: Context, dir: Inode, name: &CStr, mode: u32, kill_priv: bool, flags: u32,
            umask: u32, e: Extensions) -> io::Result<(Entry, Option<Handle>, OpenOptions)>;
        fn read<W: ZeroCopyWriter>(c: Context, i: Inode, h: Handle, to: W, size: u32, offset: u64,
            owner: Option<u64>, flags: u32) -> io::Result<usize>;
        fn write<R: ZeroCopyReader>(c: Context, i: Inode, h: Handle, from: R, size: u32,
            offset: u64, owner: Option<u64>, delayed: bool, kill_priv: bool, flags: u32)
            -> io::Result<usize>;
        fn flush(c: Context, i: Inode, h: Handle, owner: u64) -> io::Result<()>;
        fn fsync(c: Context, i: Inode, data: bool, h: Handle) -> io::Result<()>;
        fn release(c: Context, i: Inode, flags: u32, h: Handle, flush: bool, unlock: bool,
            owner: Option<u64>) -> io::Result<()>;
        fn setxattr(c: Context, i: Inode, name: &CStr, value: &[u8], flags: u32,
            extra: SetxattrFlags) -> io::Result<()>;
        fn getxattr(c: Context, i: Inode, name: &CStr, size: u32) -> io::Result<GetxattrReply>;
        fn listxattr(c: Context, i: Inode, size: u32) -> io::Result<ListxattrReply>;
        fn removexattr(c: Context, i: Inode, name: &CStr) -> io::Result<()>;
        fn opendir(c: Context, i: Inode, flags: u32) -> io::Result<(Option<Handle>, OpenOptions)>;
        fn readdir(c: Context, i: Inode, h: Handle, size: u32, offset: u64)
            -> io::Result<Self::DirIter>;
        fn fsyncdir(c: Context, i: Inode, data: bool, h: Handle) -> io::Result<()>;
        fn releasedir(c: Context, i: Inode, flags: u32, h: Handle) -> io::Result<()>;
        fn access(c: Context, i: Inode, mask: u32) -> io::Result<()>;
        fn fallocate(c: Context, i: Inode, h: Handle, mode: u32, offset: u64, len: u64)
            -> io::Result<()>;
        fn lseek(c: Context, i: Inode, h: Handle, offset: u64, whence: u32) -> io::Result<u64>;
        fn copyfilerange(c: Context, from: Inode, fh: Handle, at: u64, to: Inode, th: Handle,
            to_at: u64, len: u64, flags: u64) -> io::Result<usize>;
        fn syncfs(c: Context, i: Inode) -> io::Result<()>;
    }
}

/// Takes the file of a handle, which the file system shows to nobody but a reader.
struct Borrow(Option<File>);

impl ZeroCopyWriter for Borrow {
    fn read_from_file_at(
        &mut self,
        file: &File,
        _count: usize,
        _offset: u64,
        _flags: Option<ReadvFlags>,
    ) -> io::Result<usize> {
        self.0 = Some(file.try_clone()?);
        Ok(0)
    }
}

/// A file system and its server.
pub struct Passthrough {
    fs: Shared,
    server: Server<Shared>,
}

impl Passthrough {
    pub fn new(config: Config) -> io::Result<Self> {
        let fs = Shared(Arc::new(PassthroughFs::new(config)?));
        Ok(Passthrough {
            server: Server::new(fs.clone()),
            fs,
        })
    }

    /// Serves a request: the reply, which is empty if there is none, has at most `room` bytes.
    pub fn serve(&self, memory: &mut Memory, request: &[u8], room: usize) -> io::Result<Vec<u8>> {
        let room = room.min(memory.room(request));
        let chain = memory.chain(request, room)?;
        let reader = Reader::new(&memory.0, chain.clone()).map_err(io::Error::other)?;
        let writer = Writer::new(&memory.0, chain).map_err(io::Error::other)?;
        let written = self
            .server
            .handle_message(reader, writer, None::<&mut ()>)
            .map_err(io::Error::other)?;
        let mut reply = vec![0; written.min(room)];
        memory.read(request, &mut reply)?;
        Ok(reply)
    }

    /// Opens a file to be mapped.
    pub fn file(&self, node: u64, writable: bool) -> io::Result<File> {
        // A file that is read is opened for writing, too, if that is possible: it may have to be
        // stretched.
        match self.open(node, libc::O_RDWR) {
            Err(_) if !writable => self.open(node, libc::O_RDONLY),
            opened => opened,
        }
    }

    fn open(&self, node: u64, flags: i32) -> io::Result<File> {
        let context = Context {
            uid: GuestUid::from(0),
            gid: GuestGid::from(0),
            pid: 0,
        };
        let (handle, _) = self.fs.open(context, node, false, flags as u32)?;
        let handle = handle.ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))?;
        let mut borrow = Borrow(None);
        let read = self
            .fs
            .read(context, node, handle, &mut borrow, 1, 0, None, 0);
        self.fs
            .release(context, node, 0, handle, false, false, None)?;
        read?;
        borrow
            .0
            .ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))
    }
}

/// Where a message lies while the file system works on it. Each thread has its own.
pub struct Memory(GuestMemoryMmap<BitmapMmapRegion>);

impl Memory {
    /// Descriptors and the ring of available ones are before the message.
    const MESSAGE: u64 = 4096;
    const AVAIL: u64 = 2048;
    const LEN: usize = 4 << 20;
    /// Of a descriptor: another follows; the device writes.
    const NEXT: u16 = 1;
    const WRITE: u16 = 2;

    pub fn new() -> io::Result<Self> {
        GuestMemoryMmap::from_ranges(&[(GuestAddress(0), Self::LEN)])
            .map(Memory)
            .map_err(io::Error::other)
    }

    /// How many bytes of reply have room beside a request.
    fn room(&self, request: &[u8]) -> usize {
        (Self::LEN - Self::MESSAGE as usize).saturating_sub(request.len())
    }

    fn reply_at(request: &[u8]) -> GuestAddress {
        GuestAddress(Self::MESSAGE + request.len() as u64)
    }

    fn write<T: core_memory::ByteValued>(&self, value: T, at: u64) -> io::Result<()> {
        self.0
            .write_obj(value, GuestAddress(at))
            .map_err(io::Error::other)
    }

    /// Puts a request in, and makes a chain of it and the room for a reply.
    fn chain(
        &self,
        request: &[u8],
        room: usize,
    ) -> io::Result<core_queue::DescriptorChain<&GuestMemoryMmap<BitmapMmapRegion>>> {
        self.0
            .write_slice(request, GuestAddress(Self::MESSAGE))
            .map_err(io::Error::other)?;
        let reply = Self::reply_at(request).0;
        let more = if room > 0 { Self::NEXT } else { 0 };
        let descriptors = [
            (Self::MESSAGE, request.len(), more, 1u16),
            (reply, room, Self::WRITE, 0),
        ];
        for (index, (address, len, flags, next)) in descriptors.into_iter().enumerate() {
            let at = index as u64 * 16;
            self.write(address, at)?;
            self.write(len as u32, at + 8)?;
            self.write(flags, at + 12)?;
            self.write(next, at + 14)?;
        }
        // Flags, index and the first element of the ring.
        for (at, value) in [(0, 0u16), (2, 1), (4, 0)] {
            self.write(value, Self::AVAIL + at)?;
        }
        let mut queue = Queue::new(2).map_err(io::Error::other)?;
        queue.set_desc_table_address(Some(0), Some(0));
        queue.set_avail_ring_address(Some(Self::AVAIL as u32), Some(0));
        queue.set_ready(true);
        queue
            .pop_descriptor_chain(&self.0)
            .ok_or_else(|| io::Error::other("a message cannot be carried over"))
    }

    fn read(&self, request: &[u8], reply: &mut [u8]) -> io::Result<()> {
        self.0
            .read_slice(reply, Self::reply_at(request))
            .map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;
    use std::os::unix::fs::FileExt;

    fn request(opcode: u32, node: u64, body: &[u8]) -> Vec<u8> {
        let mut request = vec![0; wire::IN_HEADER];
        wire::put(
            &mut request,
            0,
            &((wire::IN_HEADER + body.len()) as u32).to_le_bytes(),
        );
        wire::put(&mut request, 4, &opcode.to_le_bytes());
        wire::put(&mut request, 8, &77u64.to_le_bytes());
        wire::put(&mut request, 16, &node.to_le_bytes());
        request.extend(body);
        request
    }

    #[test]
    fn files_are_found_and_opened_for_mapping() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), b"content").unwrap();
        let config = Config {
            root_dir: dir.path().to_str().unwrap().to_string(),
            ..Default::default()
        };
        let core = Passthrough::new(config).unwrap();
        let mut memory = Memory::new().unwrap();
        let mut init = [0; 64];
        wire::put(&mut init, 0, &7u32.to_le_bytes());
        wire::put(&mut init, 4, &40u32.to_le_bytes());
        let reply = core
            .serve(&mut memory, &request(wire::INIT, 0, &init), 4096)
            .unwrap();
        assert!(wire::succeeded(&reply));
        let reply = core
            .serve(&mut memory, &request(wire::LOOKUP, 1, b"none\0"), 4096)
            .unwrap();
        assert_eq!(wire::u32_at(&reply, 4), Some(-libc::ENOENT as u32));
        let reply = core
            .serve(&mut memory, &request(wire::LOOKUP, 1, b"file\0"), 4096)
            .unwrap();
        assert_eq!(reply.len(), wire::OUT_HEADER + wire::ENTRY);
        assert_eq!(wire::u64_at(&reply, 8), Some(77));
        let node = wire::u64_at(&reply, wire::OUT_HEADER).unwrap();
        let file = core.file(node, true).unwrap();
        let mut content = [0; 7];
        file.read_exact_at(&mut content, 0).unwrap();
        assert_eq!(&content, b"content");
        assert!(core.file(4711, false).is_err());
    }
}
