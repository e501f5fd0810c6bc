// SPDX-License-Identifier: GPL-2.0

//! Commands for open files, which the server understands or nobody.

use super::handle::ask_open;
use super::inode;
use super::Fuse;
use super::Inode;
use super::OpenFile;
use crate::connection::call::Envelope;
use crate::connection::opened::ServerOpen;
use crate::connection::reply::Reply;
use crate::prelude::*;
use fuse_pure::abi::flags::IoctlFlags;
use fuse_pure::abi::ids::FileHandle;
use fuse_pure::op::ioctl::Ioctl;
use fuse_pure::op::ioctl::IoctlReply;
use kernel_glue::mem::pages::PAGE_SIZE;
use kernel_glue::vfs::ioctl::Command;
use kernel_glue::vfs::ioctl::ExtendedFlags;
use kernel_glue::vfs::ioctl::IoctlOperations;
use kernel_glue::vfs::ioctl::Program;
use kernel_glue::vfs::ioctl::Request;

/// From this minor version on servers take commands for directories.
const DIR_MINOR: u32 = 18;

/// Words of `struct fsxattr`.
const FSXATTR: usize = 7;

/// A server without such requests has no such command.
fn unsupported(error: Error) -> Error {
    if error == ENOSYS {
        ENOTTY
    } else {
        error
    }
}

fn flags_for(inode: &Inode, program: Program) -> IoctlFlags {
    let compat = IoctlFlags::COMPAT.with(IoctlFlags::_32BIT);
    let flags = match program {
        Program::Native => IoctlFlags::empty(),
        Program::Compat => compat,
        Program::X32 => compat.with(IoctlFlags::COMPAT_X32),
    };
    flags.with(IoctlFlags::when(inode.is_directory(), IoctlFlags::DIR))
}

/// Asks the server, and returns what it says with the reply that holds the data.
fn ask(
    inode: &Inode,
    open: Option<&Arc<ServerOpen>>,
    op: &Ioctl<'_>,
) -> Result<(IoctlReply, Reply)> {
    let envelope = Envelope::by_caller(inode::node(inode)?).with(open);
    inode::connection(inode)
        .call_for_bytes(op, envelope)
        .map_err(unsupported)
}

fn result(reply: &IoctlReply) -> Result<u32> {
    reply
        .result
        .map_err(|errno| unsupported(Error::from_errno(-errno.get())))
}

/// The data of a reply, which is at its end.
fn data<'a>(said: &IoctlReply, reply: &'a Reply) -> Result<&'a [u8]> {
    let body = reply.body();
    body.get(body.len().saturating_sub(said.len)..).ok_or(EIO)
}

/// A command of the kernel's, for an inode: opens it for that.
///
/// # Errors
///
/// `EIO` for an answer that does not fill `out`.
fn private(inode: &Inode, command: Command, input: &[u8], out: &mut [u8]) -> Result {
    inode::node(inode)?;
    let mount = inode::mount(inode);
    if !mount.allows_caller() {
        return Err(EACCES);
    }
    let directory = inode.is_directory();
    if !directory && !inode.is_regular() {
        return Err(ENOTTY);
    }
    let opened = ask_open(&mount.connection, inode::node(inode)?, 0, directory);
    let open = match opened {
        Ok((open, _)) => Some(open),
        Err(error) if error == ENOSYS => None,
        Err(error) => return Err(error),
    };
    let op = Ioctl {
        fh: open.as_ref().map_or(FileHandle(0), |open| open.fh()),
        flags: flags_for(inode, Program::Native),
        command: command.0,
        argument: 0,
        data: input,
        out_size: out.len() as u32,
    };
    let (said, reply) = ask(inode, open.as_ref(), &op)?;
    result(&said)?;
    let data = data(&said, &reply)?;
    if data.len() != out.len() {
        return Err(EIO);
    }
    out.copy_from_slice(data);
    Ok(())
}

impl IoctlOperations for Fuse {
    fn ioctl(file: &OpenFile<'_>, request: &Request) -> Result<u32> {
        let inode = file.inode();
        inode::node(inode)?;
        let mount = inode::mount(inode);
        let terms = mount.connection.wait_ready()?;
        if inode.is_directory() && terms.minor < DIR_MINOR {
            return Err(ENOTTY);
        }
        if !mount.allows_caller() {
            return Err(EACCES);
        }
        let handle = file.handle().ok_or(EIO)?;
        let out_size = request.command.out_size();
        let most = out_size.max(request.command.in_size());
        if most > usize::from(terms.max_pages).saturating_mul(PAGE_SIZE) {
            return Err(ENOMEM);
        }
        let input = request.input()?;
        let op = Ioctl {
            fh: handle.fh(),
            flags: flags_for(inode, request.program),
            command: request.command.0,
            argument: request.argument as u64,
            data: &input,
            out_size: out_size as u32,
        };
        let (said, reply) = ask(inode, handle.open_there(), &op)?;
        request.output(data(&said, &reply)?)?;
        result(&said)
    }

    fn flags(inode: &Inode) -> Result<u32> {
        let mut flags = [0; 4];
        private(inode, Command::GET_FLAGS, &[], &mut flags)?;
        Ok(u32::from_ne_bytes(flags))
    }

    fn set_flags(inode: &Inode, flags: u32) -> Result {
        private(inode, Command::SET_FLAGS, &flags.to_ne_bytes(), &mut [])
    }

    fn extended_flags(inode: &Inode) -> Result<ExtendedFlags> {
        let mut bytes = [0; FSXATTR * 4];
        private(inode, Command::GET_XFLAGS, &[], &mut bytes)?;
        let mut words = [0; FSXATTR];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4)) {
            *word = u32::from_ne_bytes(bytes.try_into().map_err(|_| EIO)?);
        }
        let [flags, extent_size, extents, project, copy_extent_size, _, _] = words;
        Ok(ExtendedFlags {
            flags,
            extent_size,
            extents,
            project,
            copy_extent_size,
        })
    }

    fn set_extended_flags(inode: &Inode, flags: &ExtendedFlags) -> Result {
        let words: [u32; FSXATTR] = [
            flags.flags,
            flags.extent_size,
            flags.extents,
            flags.project,
            flags.copy_extent_size,
            0,
            0,
        ];
        let mut bytes = [0; FSXATTR * 4];
        for (bytes, word) in bytes.chunks_exact_mut(4).zip(words) {
            bytes.copy_from_slice(&word.to_ne_bytes());
        }
        private(inode, Command::SET_XFLAGS, &bytes, &mut [])
    }
}
