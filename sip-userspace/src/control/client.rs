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
        self.send(command)?;
        self.receive()
    }

    /// Gives a command; [`Self::receive`] waits for its answer, and comes before the next one.
    ///
    /// # Errors
    /// If the connection breaks.
    pub fn send(&mut self, command: &Command) -> Result<(), CallError> {
        self.write(command).map_err(|error| self.broken(&error))
    }

    /// Waits for the answer to the command that was given.
    ///
    /// # Errors
    /// If the daemon refuses, or the connection breaks.
    pub fn receive(&mut self) -> Result<Answer, CallError> {
        match self.read().map_err(|error| self.broken(&error))? {
            Reply::Ok(answer) => Ok(answer),
            Reply::Refused(refused) => Err(refused.into()),
        }
    }

    fn broken(&self, error: &io::Error) -> CallError {
        let reason = match error.kind() {
            io::ErrorKind::WouldBlock => format!("no reply within {} s", REPLY_TIME.as_secs()),
            _ => error.to_string(),
        };
        CallError::Broken { path: self.path.clone(), reason }
    }

    fn write(&mut self, command: &Command) -> io::Result<()> {
        let stream = self.stream.get_mut();
        stream.set_write_timeout(Some(REPLY_TIME))?;
        let mut request = serde_json::to_vec(command)?;
        request.push(b'\n');
        stream.write_all(&request)
    }

    fn read(&mut self) -> io::Result<Reply> {
        self.stream.get_mut().set_read_timeout(Some(REPLY_TIME))?;
        let mut line = Vec::new();
        (&mut self.stream).take(REPLY_MAX).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Err(io::Error::other("the daemon closed the connection"));
        }
        Ok(serde_json::from_slice(&line)?)
    }
}
