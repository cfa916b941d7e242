//! Clients that register at the host itself all the time, and every 200 of which is remembered.
//!
//! They speak from the host's own address: what comes by loopback does not pass the kernel program,
//! so that the load's accounts stay its own.

use std::{
    net::{Ipv4Addr, UdpSocket},
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Result, bail};
use homeward::core::{
    admin::{Answer, Command, ServerFields},
    table::State,
};

use super::operator::ask;
use crate::{
    filling::HOMES,
    lab::{PORT, Pair},
    layout::DOMAIN,
    system::HOST,
};

/// Between two requests: below the rate that one source may have.
const PAUSE: Duration = Duration::from_micros(2_500);
/// How long an answer is waited for: then the client is given up, whether it was registered or not.
const PATIENCE: Duration = Duration::from_millis(50);

/// The clients, each with a name of its own.
pub(super) struct Registrant {
    socket: UdpSocket,
    here: Ipv4Addr,
    control: PathBuf,
    /// Numbers of those that were answered with 200 since they were looked at last.
    answered: Mutex<Vec<u32>>,
}

impl Registrant {
    /// Makes the host the home of every client that is assigned to nobody else.
    pub(super) fn new(pair: &Pair, control: &Path) -> Result<Self> {
        let here = pair.server;
        let socket = pair.at_server(|| Ok(UdpSocket::bind((here, 0))?))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut client = None;
        let add = Command::ServerAdd {
            name: HOST.to_owned(),
            fields: ServerFields { address: Some((here, PORT).into()), ..ServerFields::default() },
        };
        let standby = |number| Command::ServerSet {
            name: format!("home-{number}"),
            fields: ServerFields { state: Some(State::Standby), ..ServerFields::default() },
        };
        for command in std::iter::once(add).chain(HOMES.map(standby)) {
            match ask(&mut client, control, &command) {
                Some(Answer::Done { .. }) => {}
                other => bail!("the host could not be made a home: {other:?}"),
            }
        }
        Ok(Self { socket, here, control: control.to_owned(), answered: Mutex::default() })
    }

    /// Registers one client after the other until told to stop; how many were answered with 200.
    pub(super) fn work(&self, stop: &AtomicBool) -> Result<u32> {
        let mut all = 0;
        for number in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            if self.register(number)? {
                all += 1;
                self.answered().push(number);
            }
            thread::sleep(PAUSE);
        }
        Ok(all)
    }

    fn answered(&self) -> MutexGuard<'_, Vec<u32>> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(&self, number: u32) -> Result<bool> {
        let (user, here) = (user(number), self.socket.local_addr()?);
        let text = format!(
            "REGISTER sip:{DOMAIN} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {here};branch=z9hG4bKsoak{number};rport\r\n\
             Max-Forwards: 70\r\nTo: <sip:{user}@{DOMAIN}>\r\nFrom: <sip:{user}@{DOMAIN}>;tag=1\r\n\
             Call-ID: soak-{number}\r\nCSeq: 1 REGISTER\r\nContact: <sip:{user}@{here}>\r\n\
             Expires: 600\r\nContent-Length: 0\r\n\r\n"
        );
        // While there is no daemon the system says so to this socket.
        if self.socket.send_to(text.as_bytes(), (self.here, PORT)).is_err() {
            return Ok(false);
        }
        let mut buffer = [0; 2048];
        while let Ok(len) = self.socket.recv(&mut buffer) {
            let answer = String::from_utf8_lossy(buffer.get(..len).unwrap_or_default());
            // Answers to clients that were given up come late.
            if answer.contains(&format!("Call-ID: soak-{number}\r\n")) {
                return Ok(answer.starts_with("SIP/2.0 200"));
            }
        }
        Ok(false)
    }

    /// Of those that were answered since the last look, those that the daemon does not have.
    pub(super) fn missing(&self) -> Result<u32> {
        let (mut client, mut missing) = (None, 0);
        for number in std::mem::take(&mut *self.answered()) {
            let aor = format!("{}@{DOMAIN}", user(number));
            match ask(&mut client, &self.control, &Command::ClientShow { aor, source: None }) {
                Some(Answer::Client(view)) => missing += u32::from(view.bindings.is_empty()),
                other => bail!("`client show` of {} gave {other:?}", user(number)),
            }
        }
        Ok(missing)
    }
}

fn user(number: u32) -> String {
    format!("bound-{number}")
}
