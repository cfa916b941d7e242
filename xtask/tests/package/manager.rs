//! A service manager, as far as a daemon talks to one.

use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt as _, net::UnixDatagram},
    path::Path,
    time::Duration,
};

use xtask::lab::Service;

/// The manager's end of `NOTIFY_SOCKET`.
pub struct Manager {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Manager {
    /// Listens at `path`, for everyone.
    pub fn listen(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o666)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { socket, heard: Vec::new() }
    }

    /// Reads until `daemon` has told the line `wanted`; returns the message that it was in.
    #[track_caller]
    pub fn wait_for(&mut self, daemon: &Service, wanted: &str) -> String {
        loop {
            let mut buffer = [0; 1024];
            let Ok(length) = self.socket.recv(&mut buffer) else {
                panic!("{wanted} did not come, but {:?}\n{}", self.heard, daemon.log_tail(20));
            };
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            self.heard.push(message.clone());
            if message.lines().any(|line| line == wanted) {
                return message;
            }
        }
    }
}
