//! The interfaces that the program runs on: at the start, and when one goes and comes back.
//!
//! Invariant: what is said of an interface is true of the one that has its name now, within a tick.

use std::{net::SocketAddr, time::Duration};

use sip_common::abi::{CONFIG_FORWARD, INTERFACES_MAX, note};

use super::{
    super::{
        DatapathError,
        attach::{adopt, attach, detach, index_of},
        maps::Maps as _,
        pins::Pins,
    },
    KernelPath, Origin, loopback,
};
use crate::config::{Config, Mode};

impl KernelPath {
    /// Attaches the program to the configured interfaces, takes over its pinned links there, and
    /// takes it off all others. True if it runs on any.
    ///
    /// # Errors
    /// If a demanded mode can't be had, or a link can't be pinned.
    pub fn attach(&mut self, config: &Config, now: Duration) -> Result<bool, DatapathError> {
        self.renew(now);
        let attached = self.attach_all(config);
        // What was made just now and runs nowhere does not stay.
        let useless = self.attached.is_empty() || attached.is_err() && self.origin == Origin::New;
        if useless && let Some(pins) = &self.pins {
            pins.remove_all()?;
        }
        attached?;
        self.tell_interfaces(config)?;
        Ok(!self.attached.is_empty())
    }

    /// Tells the program by which interfaces what it forwards may leave: those that it runs on. The
    /// routes are the host's own; see `loopback`.
    fn tell_interfaces(&mut self, config: &Config) -> Result<(), DatapathError> {
        if self.told.flags & CONFIG_FORWARD == 0 {
            return Ok(());
        }
        // From a driver to an interface of the stack nothing gets through.
        let native = self.attached.iter().any(|on| on.mode == Mode::Native);
        let ways = self.attached.iter().filter(|on| !native || on.mode == Mode::Native);
        let mut interfaces = [0; INTERFACES_MAX];
        for (place, on) in interfaces.iter_mut().zip(ways) {
            *place = on.index;
        }
        self.told.interfaces = interfaces;
        loopback::allow_forwarding(config.sip.listen.iter().any(SocketAddr::is_ipv6));
        let told = self.told;
        self.kernel.configure(&told)
    }

    fn attach_all(&mut self, config: &Config) -> Result<(), DatapathError> {
        let pins = self.pins.clone();
        let links = pins.as_ref().map_or(Ok(Vec::new()), Pins::links)?;
        for link in links {
            let wanted = config.xdp.interfaces.contains(&link.interface)
                && (config.xdp.mode == Mode::Auto || config.xdp.mode == link.mode)
                && !self.attached.iter().any(|attached| attached.interface == link.interface);
            if !wanted {
                detach(link)?;
            } else if let Some(attached) = adopt(&mut self.kernel, link, self.switch)? {
                tracing::info!(interface = attached.interface, mode = %attached.mode, "kernel path taken over");
                self.attached.push(attached);
            }
        }
        for interface in &config.xdp.interfaces {
            if self.attached.iter().any(|attached| attached.interface == *interface) {
                continue;
            }
            match attach(&mut self.kernel, interface, config.xdp.mode, pins.as_ref())? {
                Some(attached) => {
                    let mode = attached.mode;
                    if mode == Mode::Generic && config.xdp.mode == Mode::Auto {
                        tracing::warn!(interface, "GENERIC XDP only: much slower than native");
                    }
                    tracing::info!(interface, %mode, "kernel path attached");
                    self.attached.push(attached);
                }
                None => tracing::warn!(interface, "NO XDP: the daemon answers what comes in here"),
            }
        }
        if self.origin == Origin::NewProgram
            && let Some(pins) = &pins
        {
            pins.replace_program(&mut self.kernel)?;
            self.kernel.set_note(note::OBJECT, self.object);
        }
        Ok(())
    }

    /// Sees whether interfaces are gone, or back; then the program runs there again.
    pub fn attach_anew(&mut self, config: &Config) {
        let pins = self.pins.clone();
        let gone: Vec<_> = self.attached.extract_if(.., |on| !on.is_there()).collect();
        let mut changed = !gone.is_empty();
        for attached in gone {
            let interface = attached.interface.clone();
            tracing::error!(interface, "THE INTERFACE IS GONE, and the kernel path there with it");
            if let Err(error) = attached.forget(&mut self.kernel, pins.as_ref()) {
                tracing::warn!(%error, "what is left of its link stays");
            }
            self.lost.push(interface);
        }
        let back: Vec<_> = self.lost.extract_if(.., |name| index_of(name).is_some()).collect();
        for interface in back {
            match attach(&mut self.kernel, &interface, config.xdp.mode, pins.as_ref()) {
                Ok(Some(attached)) => {
                    tracing::info!(interface, mode = %attached.mode, "it is back, attached again");
                    self.attached.push(attached);
                    changed = true;
                }
                Ok(None) => tracing::warn!(interface, "it is back, WITHOUT XDP"),
                Err(error) => tracing::error!(%error, "it is back, WITHOUT XDP until a restart"),
            }
        }
        if changed && let Err(error) = self.tell_interfaces(config) {
            tracing::error!(%error, "the program forwards by interfaces that are gone");
        }
    }
}
