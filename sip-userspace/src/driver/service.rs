//! What the service manager is told, by sd_notify(3): ready, alive, how it stands, leaving.
//!
//! Nothing happens without `NOTIFY_SOCKET`. Invariants: the sign of life comes from the driver's
//! own loop, so a driver that hangs is restarted; nothing here waits, for a manager that has
//! stopped reading must not stop the daemon.

use std::{
    env,
    ffi::OsStr,
    future::pending,
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::Duration,
};

use sd_notify::NotifyState;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// The service manager, if one listens.
pub(super) struct Service {
    socket: Option<UnixDatagram>,
    watchdog: Option<Interval>,
    told: String,
}

impl Service {
    /// The manager that the environment names: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`.
    pub(super) fn from_environment() -> Self {
        let Some(name) = env::var_os("NOTIFY_SOCKET") else { return Self::new(None, None) };
        let number = |name| env::var(name).ok().map(|text| text.parse().ok());
        let limit = limit(number("WATCHDOG_USEC"), number("WATCHDOG_PID"), std::process::id());
        match connect(&name) {
            Ok(socket) => Self::new(Some(socket), limit),
            Err(error) => {
                tracing::warn!(
                    "NOTIFY_SOCKET={}: {error}; the service manager is told nothing: let it pass \
                     its own socket, or unset the variable",
                    name.display()
                );
                Self::new(None, None)
            }
        }
    }

    fn new(socket: Option<UnixDatagram>, limit: Option<Duration>) -> Self {
        // Half of it, as sd_watchdog_enabled(3) advises.
        let watchdog = limit.map(|limit| limit / 2).filter(|half| !half.is_zero()).map(|half| {
            let mut watchdog = interval(half);
            watchdog.set_missed_tick_behavior(MissedTickBehavior::Delay);
            watchdog
        });
        Self { socket, watchdog, told: String::new() }
    }

    /// Everything is open.
    pub(super) fn ready(&mut self, status: String) {
        self.send(&[NotifyState::Ready, NotifyState::Status(&status)]);
        self.told = status;
    }

    /// How the daemon stands, if that is news.
    pub(super) fn status(&mut self, status: impl FnOnce() -> String) {
        if self.socket.is_none() {
            return;
        }
        let status = status();
        if status != self.told {
            self.send(&[NotifyState::Status(&status)]);
            self.told = status;
        }
    }

    /// Gives a sign of life when it is time for the next one; never returns if nobody wants any.
    pub(super) async fn alive(&mut self) {
        match &mut self.watchdog {
            Some(watchdog) => watchdog.tick().await,
            None => pending().await,
        };
        self.send(&[NotifyState::Watchdog]);
    }

    /// The daemon leaves by itself.
    pub(super) fn stopping(&self) {
        self.send(&[NotifyState::Stopping]);
    }

    /// What does not arrive is not repeated: the next sign of life is, and a status is no more.
    fn send(&self, states: &[NotifyState<'_>]) {
        let Some(socket) = &self.socket else { return };
        let message: String = states.iter().map(|state| format!("{state}\n")).collect();
        if let Err(error) = socket.send(message.as_bytes()) {
            tracing::debug!(%error, "the service manager did not take a message");
        }
    }
}

/// How long the manager waits for a sign of life, by sd_watchdog_enabled(3): of every process if
/// none is named, which sd-notify's own function does not know. The inner none is no number.
fn limit(limit_us: Option<Option<u64>>, of: Option<Option<u64>>, own: u32) -> Option<Duration> {
    let wanted = of.is_none_or(|of| of == Some(own.into()));
    limit_us.flatten().filter(|_| wanted).map(Duration::from_micros)
}

/// A path, or with `@` a name in Linux' abstract namespace.
fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A manager, and a service that tells it.
    fn pair(limit: Option<Duration>) -> (UnixDatagram, Service) {
        let (manager, socket) = UnixDatagram::pair().unwrap();
        for end in [&manager, &socket] {
            end.set_nonblocking(true).unwrap();
        }
        (manager, Service::new(Some(socket), limit))
    }

    fn heard(manager: &UnixDatagram) -> Option<String> {
        let mut buffer = [0; 256];
        let length = manager.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }

    #[test]
    fn a_status_is_told_once_until_it_changes() {
        let (manager, mut service) = pair(None);
        service.ready("one".to_owned());
        assert_eq!(heard(&manager).as_deref(), Some("READY=1\nSTATUS=one\n"));
        service.status(|| "one".to_owned());
        assert_eq!(heard(&manager), None);
        service.status(|| "two".to_owned());
        assert_eq!(heard(&manager).as_deref(), Some("STATUS=two\n"));
        service.stopping();
        assert_eq!(heard(&manager).as_deref(), Some("STOPPING=1\n"));
    }

    #[tokio::test]
    async fn signs_of_life_come_at_half_of_the_limit() {
        let half = Duration::from_millis(20);
        let (manager, mut service) = pair(Some(half * 2));
        let from = tokio::time::Instant::now();
        for number in 0..4 {
            service.alive().await;
            assert!(from.elapsed() >= half * number, "{number} came too soon");
            assert_eq!(heard(&manager).as_deref(), Some("WATCHDOG=1\n"));
        }
        assert_eq!(heard(&manager), None);
    }

    #[test]
    fn a_limit_is_for_the_process_that_is_named_or_for_any() {
        let second = Some(Duration::from_secs(1));
        for (limit_us, of, expected) in [
            (Some(Some(1_000_000)), None, second),
            (Some(Some(1_000_000)), Some(Some(7)), second),
            (Some(Some(1_000_000)), Some(Some(8)), None),
            (Some(Some(1_000_000)), Some(None), None),
            (Some(None), None, None),
            (None, Some(Some(7)), None),
        ] {
            assert_eq!(limit(limit_us, of, 7), expected, "{limit_us:?} {of:?}");
        }
    }

    #[test]
    fn a_manager_that_does_not_read_is_not_waited_for() {
        let (_manager, service) = pair(None);
        for _ in 0..10_000 {
            service.stopping();
        }
    }

    #[test]
    fn both_kinds_of_names_are_understood() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let _manager = UnixDatagram::bind(&path).unwrap();
        connect(path.as_os_str()).unwrap();
        let name = format!("homeward-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let _manager = UnixDatagram::bind_addr(&address).unwrap();
        connect(format!("@{name}").as_ref()).unwrap();
        connect(folder.path().join("nobody").as_os_str()).unwrap_err();
    }
}
