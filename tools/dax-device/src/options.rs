// SPDX-License-Identifier: GPL-2.0
//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use virtiofsd::passthrough::{CachePolicy, Config, NegotiationMode};

use crate::policy::{parse_size, DaxFiles};

/// How much the client may keep without asking again.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum Cache {
    /// Nothing.
    Never,
    /// Names and attributes.
    Metadata,
    /// Contents, too, until a file is opened again.
    Auto,
    /// Everything: the directory is the guest's alone.
    Always,
}

/// A vhost-user virtio-fs device with a DAX window, for QEMU 11.1 and later.
///
/// QEMU wants a guest memory that is shared (-object memory-backend-memfd,share=on,…), and
///
///   -chardev socket,id=c,path=SOCKET
///   -device vhost-user-test-device-pci,chardev=c,virtio-id=26,num_vqs=QUEUES+1,vq_size=128,config_size=40
///
/// The device serves one virtual machine and ends with it.
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
pub struct Options {
    /// Where to listen for QEMU
    #[arg(long)]
    pub socket_path: PathBuf,

    /// The directory to share
    #[arg(long)]
    pub shared_dir: PathBuf,

    /// What the guest mounts: 1 to 36 bytes, and no line end
    #[arg(long)]
    pub tag: String,

    /// Size of the DAX window, with K, M or G behind it: a multiple of 2M, at most 512M; 0 for none
    #[arg(long, default_value = "64M", value_parser = parse_window)]
    pub window: u64,

    /// Number of request queues; each has a thread
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(..=62))]
    pub queues: u32,

    /// Number of descriptors of a queue; QEMU's vq_size must not be larger
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u16).range(2..))]
    pub queue_size: u16,

    /// How much the client may keep without asking again
    #[arg(long, value_enum, default_value = "auto")]
    pub cache: Cache,

    /// How many seconds names and attributes are valid, in place of what --cache says
    #[arg(long)]
    pub timeout: Option<u64>,

    /// Let the client write back later
    #[arg(long)]
    pub writeback: bool,

    /// Extended attributes
    #[arg(long)]
    pub xattr: bool,

    /// POSIX ACLs; implies --xattr
    #[arg(long)]
    pub posix_acl: bool,

    /// Show other file systems in the shared directory as mounts
    #[arg(long)]
    pub announce_submounts: bool,

    /// With --cache=never, let the client map files
    #[arg(long)]
    pub allow_mmap: bool,

    /// Which files a client with dax=inode uses DAX for: never, always, size=BYTES (of at least that
    /// size), name=ENDING (whose name ends so)
    #[arg(long, default_value = "always")]
    pub dax_files: DaxFiles,

    /// A file to keep counters of requests in: a line each, a name and a number
    #[arg(long)]
    pub counters: Option<PathBuf>,

    /// For tests of drivers: any tag (\n is a line end), no request queues, and wrong answers, which the
    /// guest orders by looking up misbehave,KIND,OPCODE[,COUNT]
    #[arg(long)]
    pub misbehave: bool,

    /// off, error, warn, info, debug or trace
    #[arg(long, default_value = "info")]
    pub log_level: log::LevelFilter,
}

impl Options {
    /// What the device says it is: its tag and the number of its request queues. Only a device that
    /// misbehaves may say what is wrong.
    pub fn identity(&self) -> Result<(String, u32), String> {
        let tag = match self.misbehave {
            true => self.tag.replace("\\n", "\n"),
            false => self.tag.clone(),
        };
        match tag.len() {
            37.. => Err("a tag has at most 36 bytes".to_string()),
            _ if self.misbehave => Ok((tag, self.queues)),
            0 => Err("a tag has at least one byte".to_string()),
            _ if tag.contains('\n') => Err("a tag has no line end".to_string()),
            _ if self.queues == 0 => Err("a device has at least one request queue".to_string()),
            _ => Ok((tag, self.queues)),
        }
    }

    /// What virtiofsd's file system must be told.
    pub fn config(&self) -> Config {
        let (cache_policy, valid) = match self.cache {
            Cache::Never => (CachePolicy::Never, 0),
            Cache::Metadata => (CachePolicy::Metadata, 86400),
            Cache::Auto => (CachePolicy::Auto, 1),
            Cache::Always => (CachePolicy::Always, 86400),
        };
        let valid = Duration::from_secs(self.timeout.unwrap_or(valid));
        Config {
            entry_timeout: valid,
            attr_timeout: valid,
            cache_policy,
            writeback: self.writeback,
            root_dir: self.shared_dir.to_string_lossy().into_owned(),
            xattr: self.xattr || self.posix_acl,
            posix_acl: match self.posix_acl {
                true => NegotiationMode::Always,
                false => NegotiationMode::Never,
            },
            announce_submounts: self.announce_submounts,
            allow_mmap: self.allow_mmap,
            ..Default::default()
        }
    }
}

/// QEMU gives each mapping a memory slot, and has 512 of them.
fn parse_window(text: &str) -> Result<u64, String> {
    const RANGE: u64 = 2 << 20;
    const MOST: u64 = 512 << 20;
    match parse_size(text)? {
        size if size % RANGE == 0 && size <= MOST => Ok(size),
        _ => Err("a window is a multiple of 2M and at most 512M".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(more: &[&str]) -> Result<Options, clap::Error> {
        let least = ["dax-device", "--socket-path=s", "--shared-dir=/", "--tag=t"];
        Options::try_parse_from(least.iter().chain(more))
    }

    #[test]
    fn the_command_line_is_sound() {
        Options::command().debug_assert();
        assert_eq!(parse(&[]).unwrap().window, 64 << 20);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for wrong in [
            "--window=1M",
            "--window=514M",
            "--queues=63",
            "--dax-files=x",
        ] {
            assert!(parse(&[wrong]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_a_device_that_misbehaves_lies_about_itself() {
        let identity = |tag: &str, more: &[&str]| {
            let mut words = vec![
                "dax-device",
                "--socket-path=s",
                "--shared-dir=/",
                "--tag",
                tag,
            ];
            words.extend(more);
            Options::try_parse_from(words).unwrap().identity()
        };
        assert_eq!(identity("t", &[]), Ok(("t".to_string(), 1)));
        assert!(identity("t", &["--queues=0"]).is_err());
        assert!(identity("", &[]).is_err() && identity("a\nb", &[]).is_err());
        assert_eq!(identity("", &["--misbehave"]), Ok((String::new(), 1)));
        assert_eq!(
            identity("a\\nb", &["--misbehave"]),
            Ok(("a\nb".to_string(), 1))
        );
        assert!(identity(&"t".repeat(37), &["--misbehave"]).is_err());
    }

    #[test]
    fn acls_are_kept_in_extended_attributes() {
        assert!(parse(&["--posix-acl"]).unwrap().config().xattr);
    }

    #[test]
    fn a_timeout_goes_before_the_cache_policy() {
        let config = parse(&["--cache=always", "--timeout=3"]).unwrap().config();
        assert_eq!(config.attr_timeout, Duration::from_secs(3));
    }
}
