// SPDX-License-Identifier: GPL-2.0

//! Mounting.

use super::expiry::Clock;
use super::expiry::Expiry;
use super::inode;
use super::late::Lateness;
use super::lock::Unkept;
use super::notify::Ears;
use super::options;
use super::options::Config;
use super::options::MountOptions;
use super::poll::Polled;
use super::supers::Supers;
use super::Fuse;
use super::Inode;
use super::SuperBlock;
use crate::connection::init::Agreement;
use crate::connection::overdue::Watch;
use crate::connection::Connection;
use crate::connection::End;
use crate::control::Control;
use crate::control::Listing;
use crate::dax;
use crate::dax::window::Window;
use crate::page_cache::lender::Lender;
use crate::prelude::*;
use crate::transport::virtio::device::FsDevice;
use crate::transport::Server;
use fuse_pure::abi::init::InitFlags;
use fuse_pure::logic::negotiate::Dax;
use fuse_pure::logic::negotiate::Negotiated;
use fuse_pure::logic::negotiate::Offer;
use kernel::sync::aref::ARef;
use kernel::sync::SetOnce;
use kernel_glue::mem::pages::PAGE_SIZE;
use kernel_glue::sync::periodic::Periodic;
use kernel_glue::vfs::caller;
use kernel_glue::vfs::context::MountLog;
use kernel_glue::vfs::context::MountOperations;
use kernel_glue::vfs::context::OptionValue;
use kernel_glue::vfs::context::Options;
use kernel_glue::vfs::fs_type::Kind;
use kernel_glue::vfs::super_block::FilledSuper;
use kernel_glue::vfs::super_block::NewSuper;
use kernel_glue::vfs::super_block::SuperSettings;
use kernel_glue::virtio::driver::Device;

/// Number of the file system for statfs(2).
pub(crate) const MAGIC: u64 = 0x6573_5546;

/// What the super block of a mount shares with those of its submounts.
#[pin_data]
pub(crate) struct Mount {
    /// The way to the server.
    pub(crate) connection: Arc<Connection>,
    /// The options.
    pub(crate) options: MountOptions,
    /// What all mounts share.
    control: Arc<Control>,
    /// Locks that the server does not keep after all.
    pub(crate) unkept: Unkept,
    /// All those super blocks.
    #[pin]
    pub(crate) supers: Supers,
    /// What of its pages is lent to WRITEs, if any is.
    pub(crate) lender: Option<Pin<KBox<Periodic<Lender>>>>,
    /// The DAX window, if there is one.
    pub(crate) window: Option<Arc<Window>>,
    /// Open files that somebody has waited for.
    pub(crate) polled: Arc<Polled>,
    /// Shows the connection in the control file system.
    listing: SetOnce<Listing>,
    /// Looks after requests that are not answered.
    watch: SetOnce<Pin<KBox<Periodic<Watch>>>>,
}

/// Data of a super block. The last of a connection ends it.
pub(crate) struct SuperData {
    /// What it shares.
    pub(crate) mount: Arc<Mount>,
    /// It is that of a submount.
    pub(crate) is_submount: bool,
    /// What is on its way to the server.
    pub(crate) late: Arc<Lateness>,
    /// Drops names whose time is over.
    pub(crate) expiry: Option<Pin<KBox<Expiry>>>,
    /// Says when.
    clock: SetOnce<Pin<KBox<Periodic<Clock>>>>,
}

impl SuperData {
    /// Of a super block that is to be filled.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(mount: Arc<Mount>, is_submount: bool) -> Result<KBox<Self>> {
        let data = Self {
            late: Lateness::new()?,
            expiry: Expiry::new(mount.control.inval_wq())?,
            clock: SetOnce::new(),
            mount,
            is_submount,
        };
        Ok(KBox::new(data, GFP_KERNEL)?)
    }

    /// What the super block is like.
    pub(crate) fn settings<'a>(&self, subtype: Option<&'a CStr>) -> SuperSettings<'a> {
        let options = &self.mount.options;
        SuperSettings {
            magic: MAGIC,
            block_size: options.block_size.map_or(PAGE_SIZE, |size| size as usize),
            subtype,
            remembers_entries: self.expiry.is_some(),
            suffix: match options.kind {
                Kind::OnBlockDevice => c"-fuseblk",
                Kind::OfUsers | Kind::OfSystem => c"",
            },
        }
    }

    /// The super block is about to be used: it has a root.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn start(&self, root: &Inode) -> Result {
        self.mount.supers.add(root)?;
        if let Some(expiry) = &self.expiry {
            self.clock.populate(expiry.start(&self.mount.connection)?);
        }
        Ok(())
    }
}

impl Mount {
    /// What is not set up yet.
    fn new(config: &Config, server: &Server, log: &MountLog<'_>) -> Result<Arc<Self>> {
        let connection = Connection::new(log.user_namespace()?)?;
        let window = match (server.window(), config.dax) {
            (_, dax::Mode::Never) => None,
            (Some(memory), _) => Some(Window::new(memory.clone(), &connection)?),
            (None, dax::Mode::Always) => {
                return Err(log.invalid(c"The device has no DAX window"));
            }
            (None, _) => None,
        };
        let options = MountOptions::from_config(config, log)?;
        let lender = match config.kind {
            Kind::OfUsers | Kind::OnBlockDevice => Lender::new(config.control.copy_after())?,
            Kind::OfSystem => None,
        };
        let polled = Polled::new()?;
        Arc::pin_init(
            pin_init!(Self {
                options,
                control: config.control.clone(),
                connection,
                window,
                unkept: Unkept::none(),
                supers <- Supers::new(),
                lender,
                polled,
                listing: SetOnce::new(),
                watch: SetOnce::new(),
            }),
            GFP_KERNEL,
        )
    }

    /// Whether what the server says are other file systems is mounted as such.
    pub(crate) fn mounts_submounts(&self) -> bool {
        self.options.kind == Kind::OfSystem
    }

    /// Whether the kernel checks permissions, by mode and access control lists.
    pub(crate) fn judges(&self) -> bool {
        self.options.default_permissions || self.connection.has(InitFlags::POSIX_ACL)
    }

    /// Whether dirty pages may be lent to WRITEs: for a while, or as long as a device takes that is
    /// trusted.
    pub(crate) fn lends(&self) -> bool {
        self.lender.is_some() || self.options.kind == Kind::OfSystem
    }

    /// Whether the caller may use the mount at all.
    ///
    /// A server sees what a process does on its files and can hold it up for as long as it
    /// likes. So a mount is for its mounter only, unless an administrator has allowed others,
    /// and then only for those in the mounter's namespace; or has let administrators in.
    pub(crate) fn allows_caller(&self) -> bool {
        let allowed = if self.options.allow_other {
            self.connection.user_ns.contains_caller()
        } else {
            caller::caller_is_only(self.options.user_id, self.options.group_id)
        };
        allowed || self.control.lets_administrators_in() && caller::may_administer()
    }
}

/// Applies what has been agreed upon to a super block.
pub(crate) fn apply(sb: &SuperBlock, terms: &Negotiated) {
    sb.set_readahead_bytes(sb.readahead_bytes().min(terms.max_readahead as usize));
    sb.set_large_read_bytes(terms.max_read as usize);
    sb.set_time_granularity(terms.time_gran);
    if terms.features.contains(InitFlags::HANDLE_KILLPRIV_V2) {
        // Privileges others give the file end by the server, which is told of each change.
        sb.remember_lack_of_privileges();
    }
    if terms.features.contains(InitFlags::ALLOW_IDMAP) {
        sb.allow_id_maps();
    }
    if terms.features.contains(InitFlags::NO_EXPORT_SUPPORT) {
        sb.forbid_decoding();
    }
}

/// Applies what has been agreed upon to the mount.
struct Apply {
    /// Any inode of it.
    root: ARef<Inode>,
}

impl Agreement for Apply {
    fn agreed(&self, terms: &Negotiated) {
        apply(self.root.super_block(), terms);
        let mount = super::inode::mount(&self.root);
        if mount.options.dax == dax::Mode::Always && terms.dax == Dax::Never {
            pr_warn!("the server cannot align what it shows in the DAX window: it is not used\n");
        }
        if let Some(seconds) = terms.request_timeout {
            match Watch::start(&mount.connection, seconds) {
                Ok(watch) => {
                    mount.watch.populate(watch);
                }
                Err(_) => warn_ratelimited!("out of memory: requests have no timeout\n"),
            }
        }
    }
}

/// The device that is to be mounted.
fn find_device(config: &Config, log: &MountLog<'_>) -> Result<Arc<Device<FsDevice>>> {
    let tag = log
        .source()
        .ok_or_else(|| log.invalid(c"No tag specified"))?;
    let devices = config.control.devices();
    if let Some(device) = devices.find(tag) {
        return Ok(device);
    }
    let mut text = KVec::new();
    let mut say = |part: &CStr| text.extend_from_slice(part.to_bytes(), GFP_KERNEL);
    say(c"There is no device with the tag ")?;
    say(tag)?;
    let mut told = Ok(());
    let mut before = c"; there are ";
    devices.tags(|tag| {
        if told.is_ok() {
            told = say(before).and_then(|()| say(tag));
        }
        before = c", ";
    });
    told?;
    text.push(0, GFP_KERNEL)?;
    log.error(CStr::from_bytes_with_nul(&text).map_err(|_| EINVAL)?);
    Err(EINVAL)
}

impl MountOperations for Fuse {
    fn options(kind: Kind) -> &'static Options {
        match kind {
            Kind::OfUsers | Kind::OnBlockDevice => &options::OPTIONS,
            Kind::OfSystem => &options::DEVICE_OPTIONS,
        }
    }

    fn new_config(kind: Kind, control: Arc<Control>) -> Result<KBox<Config>> {
        Ok(KBox::new(Config::new(kind, control), GFP_KERNEL)?)
    }

    fn set_option(
        config: &mut Config,
        index: usize,
        value: OptionValue<'_>,
        log: &MountLog<'_>,
    ) -> Result {
        options::set(config, index, value, log)
    }

    fn wants_existing(config: &mut Config, log: &MountLog<'_>) -> Result<bool> {
        if config.kind == Kind::OfSystem {
            config.server = Some(Server::Device(find_device(config, log)?));
        }
        Ok(config
            .server
            .as_ref()
            .is_some_and(|server| server.is_in_use()))
    }

    fn is_wanted(config: &Config, data: &SuperData) -> bool {
        !data.is_submount
            && config
                .server
                .as_ref()
                .is_some_and(|server| server.serves(&data.mount.connection))
    }

    fn new_super(config: &mut Config, log: &MountLog<'_>) -> Result<KBox<SuperData>> {
        let server = config
            .server
            .as_ref()
            .ok_or_else(|| log.invalid(c"No fd specified"))?;
        if server.is_in_use() {
            return Err(log.invalid(c"The server is in use by another mount"));
        }
        if config.root_mode.is_none() {
            return Err(log.invalid(c"No rootmode specified"));
        }
        SuperData::new(Mount::new(config, server, log)?, false)
    }

    fn fill_super<'a>(
        sb: NewSuper<'a, Self>,
        config: &mut Config,
        log: &MountLog<'_>,
    ) -> Result<FilledSuper<'a, Self>> {
        let server = config.server.as_ref().ok_or(EINVAL)?;
        let root_mode = config.root_mode.ok_or(EINVAL)?;
        let settings = sb.data().settings(config.subtype.as_deref());
        let sb = sb.set_up(&settings, log)?;
        let root = inode::make_root(sb.super_block(), root_mode)?;
        let agreement = KBox::new(Apply { root: root.clone() }, GFP_KERNEL)?;
        let filled = sb.set_root(root.clone())?;
        let super_block = filled.super_block();
        let mount = &super_block.data().mount;
        let ears = KBox::new(Ears(mount.clone()), GFP_KERNEL)?;
        mount.connection.listen(ears)?;
        super_block.data().start(&root)?;
        server
            .attach(&mount.connection)
            .inspect_err(|_| log.error(c"The server has gone or was mounted meanwhile"))?;
        if config.kind != Kind::OfSystem {
            let listing = config.control.list(
                super_block.device_number(),
                (mount.options.user_id, mount.options.group_id),
                &mount.connection,
            )?;
            mount.listing.populate(listing);
        }
        mount
            .connection
            .number
            .populate(super_block.device_number());
        let limits = config.control.limits();
        let offer = Offer {
            max_readahead: u32::try_from(super_block.readahead_bytes()).unwrap_or(u32::MAX),
            max_pages_limit: config.control.max_pages_limit().min(server.max_pages()),
            max_user_background: limits.max_background,
            max_user_congestion: limits.congestion_threshold,
            privileged: caller::may_administer(),
            max_read: mount.options.max_read,
            default_timeout: config.control.default_request_timeout(),
            max_timeout: config.control.max_request_timeout(),
            page_size: PAGE_SIZE as u32,
            judges: mount.options.default_permissions,
            submounts: mount.mounts_submounts(),
            dax: match mount.window {
                Some(_) => mount.options.dax.offered(),
                None => Dax::Never,
            },
        };
        mount
            .connection
            .send_init(offer, agreement)
            .inspect_err(|_| {
                mount.connection.end(End::Aborted);
            })?;
        Ok(filled)
    }
}
