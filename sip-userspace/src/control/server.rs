//! The daemon's end of the control socket.

use std::{
    fs, io,
    os::unix::{
        fs::{DirBuilderExt, FileTypeExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    sync::{Semaphore, mpsc, oneshot},
    time::timeout,
};

use super::{REQUEST_MAX, Reply};
use crate::core::{
    admin::{Answer, Command, Refused, rows::TableRow},
    table::Revision,
};

/// Clients that are served at once; others are turned away.
const CLIENTS_MAX: usize = 64;
/// A client has so long for each request, and for taking each reply.
const CLIENT_TIME: Duration = Duration::from_secs(10);
/// The driver has so long for an answer.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// A command on its way to the driver.
#[derive(Debug)]
pub struct Call {
    /// What is asked.
    pub command: Command,
    /// Who asks, as the kernel says: `root` or `uid N`.
    pub by: String,
    /// The revision that the table must be at; any if there is none.
    pub base: Option<Revision>,
    /// Where the answer goes. The client may be gone; then sending fails, and that is all right.
    pub reply: oneshot::Sender<Result<Answer, Refused>>,
}

impl Call {
    /// The refusal, if the table is not at the revision that the caller expects.
    pub fn outdated(&self, current: Revision) -> Option<Refused> {
        let expected = self.base.filter(|expected| *expected != current)?;
        Some(Refused::conflict(expected, current))
    }
}

/// Why the control socket can't be served.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Another daemon answers there.
    #[error("{path}: another homeward answers there; stop it, or set another control.socket")]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something else has the path.
    #[error("{path}: is there, and no socket; remove it, or set another control.socket")]
    NoSocket {
        /// What is there.
        path: PathBuf,
    },
    /// The system refused.
    #[error(
        "{path}: {source}; create its directory for the daemon's user, or set another \
         control.socket"
    )]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A bound control socket; its file goes with it.
#[derive(Debug)]
pub struct Listener {
    listener: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Binds the socket with these permissions. What a daemon that died left behind is replaced,
    /// a living one's socket is not.
    ///
    /// # Errors
    /// If another daemon answers there, or the system refuses.
    pub fn bind(path: &Path, mode: u32) -> Result<Self, ControlError> {
        let failed = |source| ControlError::Io { path: path.to_owned(), source };
        if let Some(directory) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(directory).map_err(failed)?;
        }
        match fs::symlink_metadata(path) {
            Ok(there) if !there.file_type().is_socket() => {
                return Err(ControlError::NoSocket { path: path.to_owned() });
            }
            Ok(_) if UnixStream::connect(path).is_ok() => {
                return Err(ControlError::InUse { path: path.to_owned() });
            }
            _ => {}
        }
        // Bound under another name, so that nobody connects before the permissions are right.
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let new = PathBuf::from(new);
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&new).map_err(failed)?;
        fs::set_permissions(&new, fs::Permissions::from_mode(mode)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        fs::rename(&new, path).map_err(failed)?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Serves clients until the future is dropped, or nobody takes calls any more.
    ///
    /// # Errors
    /// If the runtime refuses the socket.
    pub async fn serve(self, calls: mpsc::Sender<Call>) -> Result<(), ControlError> {
        let failed = |source| ControlError::Io { path: self.path.clone(), source };
        let listener = self.listener.try_clone().map_err(failed)?;
        let listener = tokio::net::UnixListener::from_std(listener).map_err(failed)?;
        let places = Arc::new(Semaphore::new(CLIENTS_MAX));
        while !calls.is_closed() {
            let Ok((stream, _)) = listener.accept().await else {
                // Out of descriptors: wait for some, rather than spin.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
            let calls = calls.clone();
            tokio::spawn(async move {
                // A client that breaks off needs no answer.
                let _ = attend(stream, &calls).await;
                drop(place);
            });
        }
        Ok(())
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

async fn attend(mut stream: tokio::net::UnixStream, calls: &mpsc::Sender<Call>) -> io::Result<()> {
    let by = match stream.peer_cred()?.uid() {
        0 => "root".to_owned(),
        uid => format!("uid {uid}"),
    };
    let (reading, mut writing) = stream.split();
    let mut reading = BufReader::new(reading);
    loop {
        let mut line = Vec::new();
        let mut bounded = (&mut reading).take(REQUEST_MAX as u64);
        timeout(CLIENT_TIME, bounded.read_until(b'\n', &mut line)).await??;
        if line.is_empty() {
            return Ok(());
        }
        let whole = line.last() == Some(&b'\n');
        let reply = if whole { answer(&line, &by, calls).await } else { Err(too_long()) };
        let reply = match reply {
            Ok(answer) => Reply::Ok(answer),
            Err(refused) => Reply::Refused(refused),
        };
        let mut text = serde_json::to_vec(&reply)?;
        text.push(b'\n');
        timeout(CLIENT_TIME, writing.write_all(&text)).await??;
        if !whole {
            return Ok(());
        }
    }
}

/// A command. Imports are read by themselves: a tagged enum is read into a tree first, which would
/// take longer than all else that is done with their rows.
fn read(line: &[u8]) -> serde_json::Result<Command> {
    if !line.starts_with(IMPORT) {
        return serde_json::from_slice(line);
    }
    let Import { rows, why, dry_run, skip_bad, .. } = serde_json::from_slice(line)?;
    Ok(Command::TableImport { rows, why, dry_run, skip_bad })
}

/// How this program's command line begins an import.
const IMPORT: &[u8] = br#"{"command":"table_import","#;

/// [`Command::TableImport`] as it stands on the wire.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Import {
    #[serde(rename = "command")]
    _command: serde::de::IgnoredAny,
    rows: Vec<TableRow>,
    why: Option<String>,
    dry_run: bool,
    skip_bad: bool,
}

fn too_long() -> Refused {
    let reason = format!("the request is cut off, or longer than {REQUEST_MAX} bytes");
    Refused::argument(reason, "end it with a line end, or split it")
}

async fn answer(line: &[u8], by: &str, calls: &mpsc::Sender<Call>) -> Result<Answer, Refused> {
    let command = read(line).map_err(|error| {
        let reason = format!("not a command of this version: {error}");
        Refused::argument(reason, "use the homeward of the same version as the daemon")
    })?;
    ask(calls, command, by.to_owned(), None).await
}

/// Gives a command to the driver and waits for its answer, whatever way it came in.
///
/// # Errors
/// If the driver refuses, has too much to do, or is gone.
pub async fn ask(
    calls: &mpsc::Sender<Call>,
    command: Command,
    by: String,
    base: Option<Revision>,
) -> Result<Answer, Refused> {
    let (reply, answered) = oneshot::channel();
    let call = Call { command, by, base, reply };
    calls.try_send(call).map_err(|error| match error {
        mpsc::error::TrySendError::Full(_) => {
            Refused::daemon("the daemon has too many commands waiting", "try again in a moment")
        }
        mpsc::error::TrySendError::Closed(_) => stopping(),
    })?;
    match timeout(ANSWER_TIME, answered).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(stopping()),
        Err(_) => Err(Refused::daemon(
            format!("no answer within {} s", ANSWER_TIME.as_secs()),
            "the command may still be carried out: look with `homeward status`",
        )),
    }
}

fn stopping() -> Refused {
    Refused::daemon("the daemon is stopping", "try again when it is up")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_is_read_as_the_same_command_by_both_ways() {
        let row =
            TableRow { aor: "a@b".into(), server: Some("home1".into()), ..TableRow::default() };
        let command = Command::TableImport {
            rows: vec![row, TableRow { aor: "c@d".into(), pinned: true, ..TableRow::default() }],
            why: None,
            dry_run: true,
            skip_bad: false,
        };
        let line = serde_json::to_vec(&command).unwrap();
        assert!(line.starts_with(IMPORT));
        assert_eq!(read(&line).unwrap(), command);
        assert_eq!(serde_json::from_slice::<Command>(&line).unwrap(), command);
    }
}
