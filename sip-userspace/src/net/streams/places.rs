//! How many connections there may be: in all, and of one source.
//!
//! The lock is taken when a connection opens and when it closes, never for a message.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Sources without a limit of their own.
pub type Exempt = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// Where the places of connections are given out.
pub(super) struct Places {
    taken: Mutex<Taken>,
    all_max: usize,
    /// Of all so many are for those that this host opens.
    kept: usize,
    source_max: usize,
    exempt: Exempt,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// Those below `source_max`; what is exempt is not counted here.
    sources: HashMap<Source, usize>,
}

/// An IPv4 address, or an IPv6 /64: whoever has one has all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Source {
    V4(u32),
    V6(u64),
}

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    All,
    Source,
}

/// A place, given back when it is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    source: Option<Source>,
}

impl Places {
    pub(super) fn new(all_max: usize, kept: usize, source_max: usize, exempt: Exempt) -> Arc<Self> {
        Arc::new(Self { taken: Mutex::default(), all_max, kept, source_max, exempt })
    }

    /// A place for a connection that a peer opened.
    pub(super) fn accept(self: &Arc<Self>, peer: IpAddr) -> Result<Place, Refused> {
        let peer = peer.to_canonical();
        let source = (!(self.exempt)(peer)).then(|| Source::of(peer));
        let mut taken = self.taken();
        if taken.all >= self.all_max.saturating_sub(self.kept) {
            return Err(Refused::All);
        }
        if let Some(source) = source {
            let count = taken.sources.entry(source).or_default();
            if *count >= self.source_max {
                return Err(Refused::Source);
            }
            *count += 1;
        }
        taken.all += 1;
        drop(taken);
        Ok(Place { places: Arc::clone(self), source })
    }

    /// A place for a connection that this host opens.
    pub(super) fn open(self: &Arc<Self>) -> Result<Place, Refused> {
        let mut taken = self.taken();
        if taken.all >= self.all_max {
            return Err(Refused::All);
        }
        taken.all += 1;
        drop(taken);
        Ok(Place { places: Arc::clone(self), source: None })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        // Nothing panics while it is held.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::V4(v4.to_bits()),
            IpAddr::V6(v6) => Self::V6((v6.to_bits() >> 64) as u64),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all = taken.all.saturating_sub(1);
        let Some(source) = self.source else { return };
        if let Some(count) = taken.sources.get_mut(&source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.sources.remove(&source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_its_places_and_all_have_theirs() {
        let exempt: IpAddr = "192.0.2.9".parse().unwrap();
        let places = Places::new(16, 2, 2, Arc::new(move |address| address == exempt));
        let accept = |peer: &str| places.accept(peer.parse().unwrap());
        let _held = [accept("192.0.2.1").ok().unwrap(), accept("::ffff:192.0.2.1").ok().unwrap()];
        assert_eq!(accept("192.0.2.1").err(), Some(Refused::Source));
        let v6 = [accept("2001:db8::1").ok().unwrap(), accept("2001:db8::2").ok().unwrap()];
        assert_eq!(accept("2001:db8::ffff:0:0:3").err(), Some(Refused::Source));
        drop(v6);
        assert_eq!(places.taken().sources.len(), 1);
        let exempt: Vec<_> = (0..12).map(|_| accept("192.0.2.9").ok().unwrap()).collect();
        assert_eq!(accept("192.0.2.9").err(), Some(Refused::All), "two are kept");
        let opened = [places.open().ok().unwrap(), places.open().ok().unwrap()];
        assert_eq!(places.open().err(), Some(Refused::All));
        drop((opened, exempt));
        assert!(accept("192.0.2.2").is_ok());
    }
}
