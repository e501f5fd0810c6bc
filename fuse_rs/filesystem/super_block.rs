// SPDX-License-Identifier: GPL-2.0

//! The mount as a whole.

use super::inode;
use super::kept;
use super::mount::MAGIC;
use super::options::MountOptions;
use super::Dentry;
use super::Fuse;
use super::Inode;
use super::SuperBlock;
use crate::connection::call::Envelope;
use crate::connection::End;
use crate::prelude::*;
use fuse_pure::op::attr::Statfs;
use fuse_pure::op::attr::Syncfs;
use fuse_pure::op::forget::Destroy;
use kernel::seq_file::SeqFile;
use kernel::seq_print;
use kernel_glue::vfs::attributes::FsStatistics;
use kernel_glue::vfs::fs_type::Kind;
use kernel_glue::vfs::super_block::SuperOperations;

impl SuperOperations for Fuse {
    fn evict(inode: &Inode) {
        inode::forget(inode);
    }

    fn write_times(inode: &Inode) -> Result {
        kept::send_times(inode)
    }

    fn statfs(root: &Dentry) -> Result<FsStatistics> {
        let mount = &root.super_block().data().mount;
        if !mount.allows_caller() {
            return Ok(FsStatistics {
                magic: MAGIC,
                ..FsStatistics::default()
            });
        }
        let node = inode::node(root.inode().ok_or(ENOENT)?)?;
        let stat = mount.connection.call(&Statfs, Envelope::by_caller(node))?;
        Ok(FsStatistics {
            magic: MAGIC,
            block_size: stat.bsize,
            fragment_size: stat.frsize,
            blocks: stat.blocks,
            free: stat.bfree,
            available: stat.bavail,
            files: stat.files,
            free_files: stat.ffree,
            name_max: stat.namelen,
        })
    }

    /// Only a server that only an administrator can start is asked: sync(2), which waits for all file
    /// systems, must not wait for a server of just anybody's.
    fn sync(root: &Inode) -> Result {
        let mount = inode::mount(root);
        if !mount.options.trusts_server() {
            return Ok(());
        }
        root.super_block().data().late.wait_for_begun()?;
        // What has to be done does not depend on who asks for it.
        let envelope = Envelope::by_any_caller(inode::node(root)?);
        match mount.connection.call(&Syncfs, envelope) {
            Err(ENOSYS) => Ok(()),
            other => other,
        }
    }

    fn umount_begin(sb: &SuperBlock) {
        sb.data().mount.connection.break_off(End::Unmounted);
    }

    fn show_options(sb: &SuperBlock, out: &SeqFile) {
        let mount = &sb.data().mount;
        let options = &mount.options;
        if let Some(mode) = options.dax.name() {
            seq_print!(out, ",dax={}", mode);
        }
        if options.kind == Kind::OfSystem {
            return;
        }
        let ns = &mount.connection.user_ns;
        // Both are known there, else they would have been refused.
        let user = ns.number_of(options.user_id).unwrap_or(u32::MAX);
        let group = ns.number_of_group(options.group_id).unwrap_or(u32::MAX);
        seq_print!(out, ",user_id={}", user);
        seq_print!(out, ",group_id={}", group);
        if options.default_permissions {
            seq_print!(out, ",default_permissions");
        }
        if options.allow_other {
            seq_print!(out, ",allow_other");
        }
        if options.max_read != u32::MAX {
            seq_print!(out, ",max_read={}", options.max_read);
        }
        if let Some(size) = options.block_size {
            if size != MountOptions::DEFAULT_BLOCK_SIZE {
                seq_print!(out, ",blksize={}", size);
            }
        }
    }

    fn shutdown(sb: &SuperBlock) {
        let data = sb.data();
        let (mount, connection) = (&data.mount, &data.mount.connection);
        let is_sound = !connection.has_ended();
        if data.is_submount {
            data.late.wait_or_end(connection);
        } else if mount.options.trusts_server() {
            data.late.wait();
        }
        if !mount.supers.remove(sb, connection) {
            return;
        }
        if mount.options.trusts_server() && connection.terms().is_some() {
            // Such servers write their caches out now, and umount(2) returns when the device is
            // free. An error means that there is nobody who could.
            let _ = connection.call(&Destroy, Envelope::about_nothing());
        }
        connection.stop_listening();
        connection.end_and_wait(End::Unmounted);
        if let Some(carrier) = connection.carrier() {
            carrier.part(connection, is_sound);
        }
    }
}
