// SPDX-License-Identifier: GPL-2.0
//! Starts the device; see `--help`.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use vhost_user_backend::VhostUserDaemon;
use vm_memory::{GuestMemoryAtomic, GuestMemoryMmap};

use dax_device::counters::Counters;
use dax_device::device::Device;
use dax_device::options::Options;
use dax_device::passthrough::Passthrough;
use dax_device::policy::Policy;
use dax_device::session::Session;
use dax_device::window::Window;

fn run(options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    let session = Session::new(
        Passthrough::new(options.config())?,
        Window::new(options.window),
        Policy::new(options.dax_files.clone()),
        Counters::new(options.counters.as_deref())?,
    );
    let (tag, queues) = options.identity()?;
    let mut device = Device::new(session, &tag, queues, options.queue_size)?;
    if options.misbehave {
        device.misbehave();
    }
    let memory = GuestMemoryAtomic::new(GuestMemoryMmap::new());
    let name = "dax-device".to_string();
    let mut daemon =
        VhostUserDaemon::new(name, Arc::new(device), memory).map_err(|e| e.to_string())?;
    log::info!("waiting for QEMU at {}", options.socket_path.display());
    daemon
        .serve(&options.socket_path)
        .map_err(|error| error.to_string())?;
    log::info!("QEMU is gone");
    Ok(())
}

fn main() -> ExitCode {
    let options = Options::parse();
    env_logger::Builder::new()
        .filter_level(options.log_level)
        .init();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error}");
            ExitCode::FAILURE
        }
    }
}
