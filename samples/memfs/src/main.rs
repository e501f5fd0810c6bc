// SPDX-License-Identifier: GPL-2.0

//! memfs: a file system in memory on the crate `fuser`, small enough to be read in minutes.
//!
//!     memfs MOUNTPOINT
//!
//! Inodes are entries of one table; a directory is a map from names to numbers in that table.
//! Everything is behind one lock: this is a sample, not a race.

use fuser::{
    BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

/// How long the kernel may believe what it was told.
const TTL: Duration = Duration::from_secs(1);

enum Content {
    File(Vec<u8>),
    Directory(BTreeMap<OsString, u64>),
}

struct Node {
    attr: FileAttr,
    content: Content,
}

impl Node {
    fn new(ino: u64, content: Content, perm: u32, req: Option<&Request>) -> Self {
        let now = SystemTime::now();
        let (kind, nlink) = match content {
            Content::File(_) => (FileType::RegularFile, 1),
            Content::Directory(_) => (FileType::Directory, 2),
        };
        let attr = FileAttr {
            ino: INodeNo(ino),
            size: 0,
            blocks: 0,
            atime: now,
            mtime: now,
            ctime: now,
            crtime: now,
            kind,
            perm: (perm & 0o7777) as u16,
            nlink,
            uid: req.map_or(0, |req| req.uid()),
            gid: req.map_or(0, |req| req.gid()),
            rdev: 0,
            blksize: 4096,
            flags: 0,
        };
        Self { attr, content }
    }

    fn data(&mut self) -> Result<&mut Vec<u8>, Errno> {
        match &mut self.content {
            Content::File(data) => Ok(data),
            Content::Directory(_) => Err(Errno::EISDIR),
        }
    }

    fn names(&mut self) -> Result<&mut BTreeMap<OsString, u64>, Errno> {
        match &mut self.content {
            Content::Directory(names) => Ok(names),
            Content::File(_) => Err(Errno::ENOTDIR),
        }
    }

    fn changed(&mut self) {
        self.attr.mtime = SystemTime::now();
        if let Content::File(data) = &self.content {
            self.attr.size = data.len() as u64;
            self.attr.blocks = self.attr.size.div_ceil(512);
        }
    }
}

struct Tree {
    nodes: HashMap<u64, Node>,
    next: u64,
}

impl Tree {
    fn node(&mut self, ino: INodeNo) -> Result<&mut Node, Errno> {
        self.nodes.get_mut(&ino.into()).ok_or(Errno::ENOENT)
    }

    fn find(&mut self, dir: INodeNo, name: &OsStr) -> Result<u64, Errno> {
        let names = self.node(dir)?.names()?;
        names.get(name).copied().ok_or(Errno::ENOENT)
    }

    fn make(
        &mut self,
        dir: INodeNo,
        name: &OsStr,
        node: Content,
        perm: u32,
        req: &Request,
    ) -> Result<FileAttr, Errno> {
        if self.find(dir, name).is_ok() {
            return Err(Errno::EEXIST);
        }
        let ino = self.next;
        self.next += 1;
        let parent = self.node(dir)?;
        parent.names()?.insert(name.to_owned(), ino);
        parent.changed();
        let node = Node::new(ino, node, perm, Some(req));
        let attr = node.attr;
        self.nodes.insert(ino, node);
        Ok(attr)
    }

    /// Removes a name. The inode stays as long as the kernel may have it open: for good, here.
    fn remove(&mut self, dir: INodeNo, name: &OsStr) -> Result<(), Errno> {
        let ino = self.find(dir, name)?;
        if let Content::Directory(names) = &self.node(INodeNo(ino))?.content {
            if !names.is_empty() {
                return Err(Errno::ENOTEMPTY);
            }
        }
        self.node(INodeNo(ino))?.attr.nlink = 0;
        let parent = self.node(dir)?;
        parent.names()?.remove(name);
        parent.changed();
        Ok(())
    }
}

struct MemFs(Mutex<Tree>);

/// Answers with a value or an error.
macro_rules! answer {
    ($reply:expr, $result:expr, |$value:ident| $ok:expr) => {
        match $result {
            Ok($value) => $ok,
            Err(error) => $reply.error(error),
        }
    };
}

impl MemFs {
    fn tree(&self) -> std::sync::MutexGuard<'_, Tree> {
        self.0.lock().unwrap()
    }
}

impl Filesystem for MemFs {
    fn lookup(&self, _: &Request, dir: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let mut tree = self.tree();
        let found = tree
            .find(dir, name)
            .and_then(|ino| Ok(tree.node(INodeNo(ino))?.attr));
        answer!(reply, found, |attr| reply.entry(&TTL, &attr, Generation(0)))
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        answer!(reply, self.tree().node(ino), |node| reply
            .attr(&TTL, &node.attr))
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut tree = self.tree();
        let changed = tree.node(ino).and_then(|node| {
            if let Some(size) = size {
                node.data()?.resize(size as usize, 0);
                node.changed();
            }
            node.attr.perm = mode.map_or(node.attr.perm, |mode| (mode & 0o7777) as u16);
            node.attr.uid = uid.unwrap_or(node.attr.uid);
            node.attr.gid = gid.unwrap_or(node.attr.gid);
            match mtime {
                Some(TimeOrNow::SpecificTime(time)) => node.attr.mtime = time,
                Some(TimeOrNow::Now) => node.attr.mtime = SystemTime::now(),
                None => {}
            }
            Ok(node.attr)
        });
        answer!(reply, changed, |attr| reply.attr(&TTL, &attr))
    }

    fn mkdir(
        &self,
        req: &Request,
        dir: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let content = Content::Directory(BTreeMap::new());
        let made = self.tree().make(dir, name, content, mode & !umask, req);
        answer!(reply, made, |attr| reply.entry(&TTL, &attr, Generation(0)))
    }

    fn create(
        &self,
        req: &Request,
        dir: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let made = self
            .tree()
            .make(dir, name, Content::File(Vec::new()), mode & !umask, req);
        answer!(reply, made, |attr| {
            reply.created(
                &TTL,
                &attr,
                Generation(0),
                FileHandle(0),
                FopenFlags::empty(),
            )
        })
    }

    fn unlink(&self, _: &Request, dir: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer!(reply, self.tree().remove(dir, name), |_done| reply.ok())
    }

    fn rmdir(&self, _: &Request, dir: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer!(reply, self.tree().remove(dir, name), |_done| reply.ok())
    }

    fn rename(
        &self,
        _: &Request,
        dir: INodeNo,
        name: &OsStr,
        to: INodeNo,
        new: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !flags.is_empty() {
            return reply.error(Errno::EINVAL);
        }
        let mut tree = self.tree();
        let moved = tree.find(dir, name).and_then(|ino| {
            if tree.find(to, new).is_ok() {
                tree.remove(to, new)?;
            }
            tree.node(dir)?.names()?.remove(name);
            tree.node(to)?.names()?.insert(new.to_owned(), ino);
            Ok(())
        });
        answer!(reply, moved, |_done| reply.ok())
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut tree = self.tree();
        answer!(reply, tree.node(ino).and_then(Node::data), |data| {
            let from = (offset as usize).min(data.len());
            let to = from.saturating_add(size as usize).min(data.len());
            reply.data(&data[from..to])
        })
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut tree = self.tree();
        let written = tree.node(ino).and_then(|node| {
            let file = node.data()?;
            let end = offset as usize + data.len();
            if file.len() < end {
                file.resize(end, 0);
            }
            file[offset as usize..end].copy_from_slice(data);
            node.changed();
            Ok(data.len() as u32)
        });
        answer!(reply, written, |len| reply.written(len))
    }

    fn readdir(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let mut tree = self.tree();
        let names: Vec<_> = match tree.node(ino).and_then(Node::names) {
            Ok(names) => names
                .iter()
                .map(|(name, ino)| (name.clone(), *ino))
                .collect(),
            Err(error) => return reply.error(error),
        };
        for (i, (name, ino)) in names.into_iter().enumerate().skip(offset as usize) {
            let Ok(node) = tree.node(INodeNo(ino)) else {
                continue;
            };
            if reply.add(INodeNo(ino), (i + 1) as u64, node.attr.kind, &name) {
                break;
            }
        }
        reply.ok();
    }
}

fn main() -> std::io::Result<()> {
    let Some(mountpoint) = std::env::args_os().nth(1) else {
        eprintln!("usage: memfs MOUNTPOINT");
        std::process::exit(2);
    };
    let root = Node::new(1, Content::Directory(BTreeMap::new()), 0o755, None);
    let tree = Tree {
        nodes: HashMap::from([(1, root)]),
        next: 2,
    };
    let mut config = Config::default();
    config.mount_options = vec![MountOption::FSName("memfs".into())];
    fuser::mount(MemFs(Mutex::new(tree)), mountpoint, &config)
}
