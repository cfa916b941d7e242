//! A kernel path for a daemon that starts: what is pinned is taken over, or made anew.
//!
//! Pinned maps of the same layout stay, with all that is in them: the table, the limits of
//! sources, the memory of redirects and the secret that both hang on. If they hold the store's
//! revision, the lease is extended at once, before the table is read; if they hold another one,
//! their slots are out of service until the two were compared. Maps of another layout go on
//! answering until the new ones are filled.

use std::{path::Path, time::Duration};

use sip_common::{
    abi::{ABI_VERSION, Config as Told, note},
    siphash::{Key, hash_128},
};

use super::{KernelPath, Origin, Redirects, Sources};
use crate::{
    config::{Config, Mode, SourceFlags},
    core::table::{Meta, Revision, Table, learned::LEARNED_DEFAULT},
    datapath::{
        DatapathError, Kernel, OBJECT, Sizes, desired,
        kernel::PROGRAM,
        layout,
        maps::{Maps, revision_of},
        pins::Pins,
        publish::Publisher,
    },
    net::clock,
};

/// What the store says without its table.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The table's constants.
    pub meta: &'a Meta,
    /// Its revision.
    pub revision: Revision,
}

impl KernelPath {
    /// Takes over what is pinned, or loads the program; `Ok(None)` if it is off, or if `auto`
    /// found no way. `secret` is for a new limit of sources.
    ///
    /// # Errors
    /// If a demanded mode can't be had, or pins are wanted and can't be.
    pub fn open(
        config: &Config,
        head: Head<'_>,
        secret: Key,
        now: Duration,
    ) -> Result<Option<Self>, DatapathError> {
        Self::open_object(OBJECT, config, head, secret, now)
    }

    /// As [`Self::open`], from another object than the one in this binary.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_object(
        object: &[u8],
        config: &Config,
        head: Head<'_>,
        secret: Key,
        now: Duration,
    ) -> Result<Option<Self>, DatapathError> {
        let pins = Pins::at(&config.xdp.bpffs);
        if config.xdp.mode == Mode::Off || !config.xdp.keep_attached {
            remove_kept(&pins);
        }
        if config.xdp.mode == Mode::Off {
            return Ok(None);
        }
        match Self::load(object, config, &pins, head, secret, now) {
            Ok(path) => Ok(Some(path)),
            Err(error)
                if config.xdp.mode == Mode::Auto
                    && !matches!(error, DatapathError::Pins { .. }) =>
            {
                tracing::warn!(%error, "NO KERNEL PATH: every request is answered by the daemon");
                // Nobody would write what an earlier run's program answers by.
                remove_kept(&pins);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn load(
        object: &[u8],
        config: &Config,
        pins: &Pins,
        head: Head<'_>,
        secret: Key,
        now: Duration,
    ) -> Result<Self, DatapathError> {
        // What is learned must not take the room of what is assigned.
        let overrides = config.xdp.overrides_max.saturating_add(LEARNED_DEFAULT as u32);
        let object = Object { bytes: object, hash: hash(object), sizes: Sizes { overrides } };
        let (kernel, origin) = match config.xdp.keep_attached {
            false => (Kernel::load(object.bytes, object.sizes)?, Origin::New),
            true => object.on_pins(pins)?,
        };
        if origin == Origin::NewMaps {
            let passes_all = config.passes_all().is_some();
            silence_old(pins, (basis(config, head.meta), head.revision), passes_all)?;
        }
        let found = kernel.told()?;
        let adopted = matches!(origin, Origin::Adopted | Origin::NewProgram);
        let secret = if adopted { found.source_secret } else { secret };
        let mut told = desired::config(config, head.meta, secret);
        if adopted && config.xdp.forward {
            // Until the interfaces are looked at.
            told.interfaces = found.interfaces;
        }
        let mut path = Self {
            kernel,
            publisher: Publisher::new(config.sip.redirect_expires_s),
            attached: Vec::new(),
            lost: Vec::new(),
            told,
            domains: desired::domains(config),
            sources: Sources::new(SourceFlags::new(&config.sources)),
            servers_stale: true,
            sources_failed: None,
            stale_serve: Duration::from_secs(config.xdp.stale_serve_s.into()),
            passes_all: config.passes_all(),
            pins: config.xdp.keep_attached.then(|| pins.clone()),
            origin,
            switch: origin == Origin::NewMaps,
            object: object.hash,
            trusted: false,
            counted: Redirects::default(),
        };
        path.tell(&found, basis(config, head.meta), head.revision)?;
        // Also where it is to have none: adopted maps may hold one.
        if path.trusted || path.passes_all.is_some() {
            path.renew(now);
        }
        tracing::info!(origin = %path.origin, trusted = path.trusted, "kernel path opened");
        Ok(path)
    }

    /// Brings everything but the table up to date, and sees whether the maps hold the revision.
    fn tell(&mut self, found: &Told, basis: u64, revision: Revision) -> Result<(), DatapathError> {
        if matches!(self.origin, Origin::Adopted | Origin::NewProgram) {
            let same_basis = self.kernel.note(note::BASIS) == basis;
            self.trusted = same_basis && Maps::revision(&self.kernel) == Some(revision);
            if !self.trusted {
                self.publisher.distrust(&mut self.kernel);
            }
        }
        self.kernel.set_note(note::BASIS, basis);
        self.kernel.set_domains(&self.domains)?;
        self.sources.adopt(&mut self.kernel)?;
        if *found != self.told {
            let told = self.told;
            self.kernel.configure(&told)?;
        }
        if self.origin != Origin::NewProgram {
            self.kernel.set_note(note::OBJECT, self.object);
        }
        Ok(())
    }

    /// Does something that takes long, and extends the lease meanwhile if the maps are trusted.
    pub fn meanwhile<T: Send>(&mut self, work: impl FnOnce() -> T + Send) -> T {
        if !self.trusted {
            return work();
        }
        let waiting = std::thread::current();
        std::thread::scope(|scope| {
            let worker = scope.spawn(move || {
                let done = work();
                waiting.unpark();
                done
            });
            while !worker.is_finished() {
                self.renew(clock::now().mono);
                std::thread::park_timeout(Duration::from_millis(200));
            }
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Begins to bring the maps up to the table; [`Self::work`] goes on.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn start(&mut self, table: &Table, now: Duration) -> Result<(), DatapathError> {
        match self.origin {
            Origin::Adopted | Origin::NewProgram => {
                self.publisher.adopt(&mut self.kernel, table)?
            }
            Origin::New | Origin::NewMaps => self.publisher.fill(&mut self.kernel, table),
        }
        self.renew(now);
        self.work(table, now);
        Ok(())
    }
}

/// The object of the program to run.
struct Object<'a> {
    bytes: &'a [u8],
    hash: u64,
    sizes: Sizes,
}

impl Object<'_> {
    /// Program and maps that are, or will be, pinned.
    fn on_pins(&self, pins: &Pins) -> Result<(Kernel, Origin), DatapathError> {
        pins.create()?;
        pins.settle()?;
        let wanted = layout::wanted(self.bytes, self.sizes)?;
        let Some(found) = layout::pinned(&pins.maps()) else {
            for link in pins.links()? {
                super::super::attach::detach(link)?;
            }
            let directory = pins.begin()?;
            return Ok((self.pinned(pins, &directory)?, Origin::New));
        };
        let mut why = layout::difference(&found, &wanted);
        if why.is_none() {
            let mut kernel = Kernel::adopt(&pins.maps())?;
            let abi = kernel.told()?.abi;
            if abi == ABI_VERSION {
                if kernel.note(note::OBJECT) == self.hash {
                    return Ok((kernel, Origin::Adopted));
                }
                let mut new = Kernel::load_onto(self.bytes, self.sizes, &pins.maps())?;
                // Another object may hold the same program.
                return Ok(if new.tag_and_id()?.0 == kernel.tag_and_id()?.0 {
                    (kernel, Origin::Adopted)
                } else {
                    (new, Origin::NewProgram)
                });
            }
            why = Some(format!("the maps are of version {abi} instead of {ABI_VERSION}"));
        }
        tracing::info!(why, "another layout: new maps are filled, then they take over");
        let directory = pins.begin_next()?;
        Ok((self.pinned(pins, &directory)?, Origin::NewMaps))
    }

    /// Loads the program onto new maps; if that fails, none of them stays.
    fn pinned(&self, pins: &Pins, directory: &Path) -> Result<Kernel, DatapathError> {
        let kernel = Kernel::load_onto(self.bytes, self.sizes, directory);
        let kernel = kernel.and_then(|mut kernel| {
            kernel.pin_program(&directory.join(PROGRAM))?;
            Ok(kernel)
        });
        if kernel.is_err() {
            pins.abandon(directory)?;
        }
        kernel
    }
}

/// While new maps are filled, what an earlier run left answers by its own, which nobody writes: only
/// if those hold the table of this start.
fn silence_old(
    pins: &Pins,
    (basis, revision): (u64, Revision),
    passes_all: bool,
) -> Result<(), DatapathError> {
    let Ok(notes) = Kernel::pinned_notes(&pins.maps()) else {
        return pins.links()?.into_iter().try_for_each(super::super::attach::detach);
    };
    let current =
        notes.get(note::BASIS) == basis && revision_of(|index| notes.get(index)) == Some(revision);
    if passes_all || !current {
        notes.set(note::LEASE, 0);
    }
    Ok(())
}

/// Takes off what an earlier run left attached.
fn remove_kept(pins: &Pins) {
    match pins.remove_all() {
        Ok(removed) => {
            for what in removed {
                tracing::info!("removed {what}, which an earlier run had kept");
            }
        }
        Err(error) => tracing::warn!(%error, "what is pinned there stays"),
    }
}

/// What the words of a table follow from beside its revision.
fn basis(config: &Config, meta: &Meta) -> u64 {
    let Meta { cluster, client_secret, tag_secret, slots } = meta;
    let text = format!(
        "{ABI_VERSION} {cluster} {} {} {slots} {} {}",
        client_secret.k0 ^ client_secret.k1.rotate_left(1),
        tag_secret.k0 ^ tag_secret.k1.rotate_left(1),
        config.sip.redirect_expires_s,
        config.node.name
    );
    hash(text.as_bytes())
}

fn hash(bytes: &[u8]) -> u64 {
    let [hash, _] = hash_128(Key::default(), bytes);
    hash
}
