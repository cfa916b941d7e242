//! The program on an interface: in the mode that was asked for, or loudly in a lesser one.
//!
//! What is attached goes with the process, unless it is pinned on purpose.

use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use aya::programs::{
    ProgramError, XdpMode,
    links::{FdLink, PinnedLink},
    xdp::XdpLinkId,
};

use super::{DatapathError, Kernel};
use crate::config::Mode;

/// What a pinned link's name begins with.
const PIN: &str = "link-";

/// The program on one interface.
#[derive(Debug)]
pub struct Attached {
    /// The interface.
    pub interface: String,
    /// [`Mode::Native`] or [`Mode::Generic`].
    pub mode: Mode,
    link: XdpLinkId,
}

/// Attaches the program; `Ok(None)` if `auto` found no way, which is logged.
///
/// # Errors
/// If the demanded mode can't be had.
pub fn attach(
    kernel: &mut Kernel,
    interface: &str,
    mode: Mode,
) -> Result<Option<Attached>, DatapathError> {
    let tries: &[Mode] = match mode {
        Mode::Off => &[],
        Mode::Auto => &[Mode::Native, Mode::Generic],
        Mode::Native => &[Mode::Native],
        Mode::Generic => &[Mode::Generic],
    };
    for tried in tries {
        let flags = if *tried == Mode::Native { XdpMode::Driver } else { XdpMode::Skb };
        match kernel.program()?.attach(interface, flags) {
            Ok(link) => {
                let interface = interface.to_owned();
                return Ok(Some(Attached { interface, mode: *tried, link }));
            }
            Err(error) => {
                let error = attach_error(interface, *tried, &error);
                if mode != Mode::Auto {
                    return Err(error);
                }
                tracing::warn!(%error, "no {tried} XDP on {interface}");
            }
        }
    }
    Ok(None)
}

/// Leaves the program attached when the process ends.
///
/// # Errors
/// If the link can't be pinned: no bpffs, or an attachment of the old kind.
pub fn keep(
    kernel: &mut Kernel,
    attached: Attached,
    pins: &Path,
) -> Result<PathBuf, DatapathError> {
    let path = pin_path(pins, &attached.interface);
    let failed = |reason: String| DatapathError::Attach {
        interface: attached.interface.clone(),
        reason: format!("the link can't be pinned at {}: {reason}", path.display()),
        cure: "mount bpffs there, or set xdp.keep_attached = false".to_owned(),
    };
    let mut directory = fs::DirBuilder::new();
    directory
        .recursive(true)
        .mode(0o700)
        .create(pins)
        .map_err(|error| failed(error.to_string()))?;
    let program = kernel.program()?;
    let link = program.take_link(attached.link).map_err(|error| failed(error.to_string()))?;
    let link = FdLink::try_from(link).map_err(|error| failed(error.to_string()))?;
    link.pin(&path).map_err(|error| failed(error.to_string()))?;
    Ok(path)
}

/// Takes off what an earlier run left attached, on any interface.
pub fn remove_kept(pins: &Path) {
    let Ok(entries) = fs::read_dir(pins) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !name.starts_with(PIN) {
            continue;
        }
        let removed = PinnedLink::from_pin(&path).map_err(|error| error.to_string());
        let removed = removed.and_then(|link| link.unpin().map_err(|error| error.to_string()));
        if let Err(error) = removed {
            tracing::warn!(%error, "{} stays: remove it by hand", path.display());
        }
    }
}

fn pin_path(pins: &Path, interface: &str) -> PathBuf {
    pins.join(format!("{PIN}{interface}"))
}

fn attach_error(interface: &str, mode: Mode, error: &ProgramError) -> DatapathError {
    use std::error::Error;
    let mut code = None;
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            code = error.raw_os_error();
        }
        cause = error.source();
    }
    let (reason, cure) = match (error, code) {
        (ProgramError::UnknownInterface { .. }, _) => (
            "there is no such interface".to_owned(),
            "correct xdp.interfaces; `ip link` lists them",
        ),
        (_, Some(libc::EBUSY | libc::EEXIST)) => (
            "another XDP program is attached".to_owned(),
            "`ip link show` names it; take it off with `ip link set dev IF xdp off`",
        ),
        (_, Some(libc::EOPNOTSUPP)) => (
            format!("the driver has no {mode} XDP"),
            "set xdp.mode = \"generic\", or \"auto\" to take what there is",
        ),
        (_, Some(libc::EPERM | libc::EACCES)) => {
            ("not permitted".to_owned(), "run as root, or with CAP_BPF and CAP_NET_ADMIN")
        }
        (_, Some(libc::ERANGE | libc::EINVAL)) => (
            format!("the driver refuses {mode} XDP as the interface is set up"),
            "lower its MTU below a page (3,498), switch LRO off and give it as many rx as tx queues; `cargo xtask doctor` looks",
        ),
        (error, _) => (error.to_string(), "`cargo xtask doctor` looks at the interface"),
    };
    let cure = cure.to_owned();
    DatapathError::Attach { interface: interface.to_owned(), reason, cure }
}
