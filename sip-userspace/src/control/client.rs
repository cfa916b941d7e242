//! The command line's end of the control socket.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{REPLY_MAX, Reply};
use crate::core::admin::{Answer, Command, Fault, Refused};

/// The daemon has so long for a reply: longer than it gives itself.
const REPLY_TIME: Duration = Duration::from_secs(40);

/// Why a command has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody is there.
    #[error(
        "{path}: no homeward answers there; start `homeward run`, or name its socket with --socket"
    )]
    NoDaemon {
        /// The socket.
        path: PathBuf,
    },
    /// The socket's permissions say no.
    #[error(
        "{path}: permission denied; run as the daemon's user or root, or set control.mode = \
         \"0660\" and join its group"
    )]
    Denied {
        /// The socket.
        path: PathBuf,
    },
    /// The daemon went away or talks another language.
    #[error("{path}: {reason}; look at the daemon's log, and whether it is of this version")]
    Broken {
        /// The socket.
        path: PathBuf,
        /// What happened.
        reason: String,
    },
    /// The daemon refused.
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl CallError {
    /// The exit code: 2 for a wrong argument, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(Refused { fault: Fault::Argument, .. }) => 2,
            _ => 1,
        }
    }
}

/// A connection to the daemon.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
    path: PathBuf,
}

impl Client {
    /// Connects to the daemon's socket.
    ///
    /// # Errors
    /// If nobody answers there, or may.
    pub fn connect(path: &Path) -> Result<Self, CallError> {
        let path = path.to_owned();
        match UnixStream::connect(&path) {
            Ok(stream) => Ok(Self { stream: BufReader::new(stream), path }),
            Err(error) => Err(match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    CallError::NoDaemon { path }
                }
                io::ErrorKind::PermissionDenied => CallError::Denied { path },
                _ => CallError::Broken { path, reason: error.to_string() },
            }),
        }
    }

    /// Gives a command and waits for its answer.
    ///
    /// # Errors
    /// If the daemon refuses, or the connection breaks.
    pub fn call(&mut self, command: &Command) -> Result<Answer, CallError> {
        let path = self.path.clone();
        let broken = |reason: String| CallError::Broken { path: path.clone(), reason };
        match self.exchange(command) {
            Ok(Some(Reply::Ok(answer))) => Ok(answer),
            Ok(Some(Reply::Refused(refused))) => Err(refused.into()),
            Ok(None) => Err(broken("the daemon closed the connection".to_owned())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(broken(format!("no reply within {} s", REPLY_TIME.as_secs())))
            }
            Err(error) => Err(broken(error.to_string())),
        }
    }

    fn exchange(&mut self, command: &Command) -> io::Result<Option<Reply>> {
        let stream = self.stream.get_mut();
        stream.set_read_timeout(Some(REPLY_TIME))?;
        stream.set_write_timeout(Some(REPLY_TIME))?;
        let mut request = serde_json::to_vec(command)?;
        request.push(b'\n');
        stream.write_all(&request)?;
        let mut line = Vec::new();
        (&mut self.stream).take(REPLY_MAX).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(None);
        }
        Ok(Some(serde_json::from_slice(&line)?))
    }
}
