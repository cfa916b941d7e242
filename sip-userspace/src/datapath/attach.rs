//! The program on an interface: in the mode that was asked for, or loudly in a lesser one.
//!
//! A link goes with the process, or is pinned the moment it is made and stays. A pinned one is
//! taken over: it goes on running the old program until it is given the new one, atomically.

use std::{
    fs,
    os::fd::{AsFd, OwnedFd},
};

use aya::programs::{ProgramError, XdpMode, links::FdLink, xdp::XdpLinkId};

use super::{
    DatapathError, Kernel,
    memory::{link_info, object_get, update_link},
    pins::{Link, Pins},
};
use crate::config::Mode;

/// The program on one interface.
#[derive(Debug)]
pub struct Attached {
    /// The interface.
    pub interface: String,
    /// Its number; another one has another, whatever its name.
    pub index: u32,
    /// [`Mode::Native`] or [`Mode::Generic`].
    pub mode: Mode,
    link: Held,
}

/// Who keeps the program attached.
#[derive(Debug)]
enum Held {
    /// This process.
    Own(XdpLinkId),
    /// A pin.
    Pinned(OwnedFd),
}

impl Attached {
    /// Whether the interface is still there.
    pub fn is_there(&self) -> bool {
        index_of(&self.interface) == Some(self.index)
    }

    /// Forgets a link whose interface is gone.
    ///
    /// # Errors
    /// If its pin can't be removed.
    pub fn forget(self, kernel: &mut Kernel, pins: Option<&Pins>) -> Result<(), DatapathError> {
        match self.link {
            // It went with the interface; what is left of it is a number.
            Held::Own(link) => kernel.program().map(|program| drop(program.detach(link))),
            Held::Pinned(_) => {
                pins.map_or(Ok(()), |pins| remove(&pins.link(&self.interface, self.mode)))
            }
        }
    }

    /// Has a pinned link run the kernel's program from now on.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn switch(&self, kernel: &mut Kernel) -> Result<(), DatapathError> {
        let Held::Pinned(link) = &self.link else { return Ok(()) };
        run(link, kernel).map_err(|error| DatapathError::Attach {
            interface: self.interface.clone(),
            reason: format!("its link does not take the new program: {error}"),
            cure: "`homeward detach`, then start again".to_owned(),
        })
    }
}

/// The number of the interface that has this name now.
pub fn index_of(interface: &str) -> Option<u32> {
    nix::net::if_::if_nametoindex(interface).ok()
}

/// Takes a pinned link over, if it is on the interface of its name; else it is removed. Unless
/// `later`, it runs the kernel's program from now on.
///
/// # Errors
/// If the system refuses.
pub fn adopt(
    kernel: &mut Kernel,
    link: Link,
    later: bool,
) -> Result<Option<Attached>, DatapathError> {
    let Link { interface, mode, path, fd } = link;
    let found = link_info(fd.as_fd()).map(|info| info.interface).unwrap_or(0);
    let alive = found != 0 && index_of(&interface) == Some(found);
    if alive && (later || run(&fd, kernel).is_ok()) {
        return Ok(Some(Attached { interface, index: found, mode, link: Held::Pinned(fd) }));
    }
    tracing::info!(interface, "the interface is another one now: the old link is removed");
    remove(&path)?;
    Ok(None)
}

/// Detaches the program where it is not wanted any more.
///
/// # Errors
/// If the pin can't be removed.
pub fn detach(link: Link) -> Result<(), DatapathError> {
    tracing::info!(interface = link.interface, "detached: it is not configured any more");
    remove(&link.path)
}

fn remove(path: &std::path::Path) -> Result<(), DatapathError> {
    fs::remove_file(path)
        .map_err(|error| DatapathError::Pins { path: path.to_owned(), reason: error.to_string() })
}

fn run(link: &OwnedFd, kernel: &mut Kernel) -> std::io::Result<()> {
    let program = kernel.program().map_err(std::io::Error::other)?;
    let program = program.fd().map_err(std::io::Error::other)?;
    update_link(link.as_fd(), program.as_fd())
}

/// Attaches the program, with its link pinned if pins are given; `Ok(None)` if `auto` found no
/// way, which is logged.
///
/// # Errors
/// If the demanded mode can't be had, or the link not be pinned.
pub fn attach(
    kernel: &mut Kernel,
    interface: &str,
    mode: Mode,
    pins: Option<&Pins>,
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
                let link = match pins {
                    Some(pins) => pin(kernel, link, pins, interface, *tried)?,
                    None => Held::Own(link),
                };
                let index = index_of(interface).unwrap_or(0);
                let (interface, mode) = (interface.to_owned(), *tried);
                return Ok(Some(Attached { interface, index, mode, link }));
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

/// Pins a link that was just made; if that fails, it is gone again.
fn pin(
    kernel: &mut Kernel,
    link: XdpLinkId,
    pins: &Pins,
    interface: &str,
    mode: Mode,
) -> Result<Held, DatapathError> {
    let path = pins.link(interface, mode);
    let failed = |reason: String| DatapathError::Attach {
        interface: interface.to_owned(),
        reason: format!("the link can't be pinned at {}: {reason}", path.display()),
        cure: "mount a bpffs there, or set xdp.keep_attached = false".to_owned(),
    };
    let link = kernel.program()?.take_link(link).map_err(|error| failed(error.to_string()))?;
    let link = FdLink::try_from(link).map_err(|error| failed(error.to_string()))?;
    link.pin(&path).map_err(|error| failed(error.to_string()))?;
    object_get(&path).map(Held::Pinned).map_err(|error| failed(error.to_string()))
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
