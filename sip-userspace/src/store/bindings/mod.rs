//! The log of bindings: what was answered with 200 is here before the answer leaves.
//!
//! Records go to the end of the last of some numbered files; one that was written is in the
//! system's hands, so it survives the death of the process, and within half a second it is on the
//! disk. When the files have grown far beyond what is alive, all clients are written again behind
//! the rest and the older files go: no snapshot beside the log, no state in this module. A start
//! reads all files in order and the last record of a client holds. Invariants: a confirmed record is
//! read again unless it is damaged; what is torn at the end of a file is passed over, damage
//! before good records is named and passed over; no caller ever waits for the disk.
//! Deliberately absent: what a record means.

mod frame;
mod read;
mod segment;
mod sync;
mod write;

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use crossbeam::channel::{self, Sender, TrySendError};

pub use frame::push as push_record;
pub use read::Found;

/// Batches that wait for the writer.
const BATCHES_MAX: usize = 256;

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Another process has it open.
    #[error("{path}: in use by another homeward; stop that one, or set another node.state_dir")]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{path}: {source}; check the disk's space and permissions")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

fn io(path: &Path, source: std::io::Error) -> LogError {
    LogError::Io { path: path.to_owned(), source }
}

/// What became of all batches up to a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// The last ticket of them.
    pub ticket: u64,
    /// They are written; if not, they never will be.
    pub written: bool,
}

/// Records on their way to the log.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Framed records, as [`push_record`] makes them.
    pub bytes: Vec<u8>,
    /// The last ticket among them; 0 without any.
    pub ticket: u64,
}

enum Job {
    Append(Batch),
    /// What follows makes the files so far superfluous.
    RewriteBegin,
    /// It has all been given.
    RewriteEnd,
}

/// What the threads tell.
#[derive(Debug, Default)]
struct Shared {
    bytes: AtomicU64,
    files: AtomicU64,
    /// The last write failed.
    failed: AtomicBool,
    /// A flush failed, and what it was for has not been written anew since.
    unflushed: AtomicBool,
}

/// The log, with the threads that write and flush it.
#[derive(Debug)]
pub struct BindingLog {
    jobs: Option<Sender<Job>>,
    writer: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

impl BindingLog {
    /// Opens the log in a directory, gives every record of it to `take`, in order, with whether the
    /// machine has run on since, and begins to write. `confirm` is called on the writer's thread.
    ///
    /// # Errors
    /// If another process has it, or the system refuses.
    pub fn open(
        directory: &Path,
        take: &mut dyn FnMut(&[u8], bool),
        confirm: impl Fn(Confirmed) + Send + 'static,
    ) -> Result<(Self, Found), LogError> {
        segment::make_directory(directory)?;
        let lock = lock(directory)?;
        let boot = segment::boot_id();
        let found = read::all(directory, &boot, take)?;
        let shared = Arc::new(Shared::default());
        let writer = write::Writer::begin(directory, boot, &found, Arc::clone(&shared), confirm)?;
        let (jobs, receiver) = channel::bounded(BATCHES_MAX);
        let name = std::thread::Builder::new().name("bindings".to_owned());
        let thread = name.spawn(move || {
            writer.run(&receiver);
            // The lock goes last.
            drop(lock);
        });
        let writer = Some(thread.map_err(|source| io(directory, source))?);
        Ok((Self { jobs: Some(jobs), writer, shared }, found))
    }

    /// Gives a batch to the writer. It comes back if too many wait: try again after a confirmation.
    ///
    /// # Errors
    /// The batch.
    pub fn append(&self, batch: Batch) -> Result<(), Batch> {
        let Some(jobs) = &self.jobs else { return Err(batch) };
        jobs.try_send(Job::Append(batch)).map_err(|error| match error {
            TrySendError::Full(Job::Append(batch))
            | TrySendError::Disconnected(Job::Append(batch)) => batch,
            _ => Batch::default(),
        })
    }

    /// Says that the records of all clients follow, among others; false if it could not be said.
    pub fn rewrite_begin(&self) -> bool {
        self.jobs.as_ref().is_some_and(|jobs| jobs.try_send(Job::RewriteBegin).is_ok())
    }

    /// Says that they have all been given: what was written before [`Self::rewrite_begin`] goes.
    pub fn rewrite_end(&self) -> bool {
        self.jobs.as_ref().is_some_and(|jobs| jobs.try_send(Job::RewriteEnd).is_ok())
    }

    /// Whether there is room for work that can wait.
    pub fn is_idle(&self) -> bool {
        self.jobs.as_ref().is_some_and(|jobs| jobs.len() < BATCHES_MAX / 4)
    }

    /// Bytes and files of the log.
    pub fn size(&self) -> (u64, u64) {
        (self.shared.bytes.load(Ordering::Relaxed), self.shared.files.load(Ordering::Relaxed))
    }

    /// Whether the last write failed, or what a flush that failed was for may not be on the disk.
    pub fn failed(&self) -> bool {
        self.shared.failed.load(Ordering::Relaxed) || self.shared.unflushed.load(Ordering::Relaxed)
    }
}

impl Drop for BindingLog {
    /// Waits until all that was given is on the disk.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has nothing left to write.
            let _ = writer.join();
        }
    }
}

fn lock(directory: &Path) -> Result<File, LogError> {
    let path = directory.join("lock");
    let file = segment::create(&path, false)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LogError::InUse { path: directory.to_owned() }),
        Err(TryLockError::Error(source)) => Err(io(&path, source)),
    }
}

#[cfg(test)]
mod tests;
