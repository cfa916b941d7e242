//! What was written reaches the disk: a thread that flushes, so that the writer never waits for it.

use std::{
    fs::File,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use crossbeam::channel::{self, RecvTimeoutError, Sender};

use super::Shared;

/// From one flush to the next: with the time that a flush takes, under half a second.
const EVERY: Duration = Duration::from_millis(200);

#[derive(Debug, Default)]
struct Dirty {
    /// Files that were written to since they were flushed. A lock, because two threads share them;
    /// it is held for the time of a push.
    files: Mutex<Vec<Arc<File>>>,
    /// Held while files are flushed, so that who flushes for a reason waits for the other's too.
    flushing: Mutex<()>,
    /// A flush failed: what it was for may be lost, whatever later ones say.
    failed: AtomicBool,
}

#[derive(Debug)]
pub(super) struct Flusher {
    dirty: Arc<Dirty>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

impl Flusher {
    pub(super) fn begin(shared: Arc<Shared>) -> std::io::Result<Self> {
        let dirty = Arc::new(Dirty::default());
        let (stop, stopped) = channel::bounded::<()>(0);
        let (its_dirty, its_shared) = (Arc::clone(&dirty), Arc::clone(&shared));
        let thread =
            std::thread::Builder::new().name("bindings-sync".to_owned()).spawn(move || {
                while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                    flush(&its_dirty, &its_shared);
                }
            })?;
        Ok(Self { dirty, stop: Some(stop), thread: Some(thread), shared })
    }

    /// A file was written to.
    pub(super) fn wrote(&self, file: &Arc<File>) {
        let mut dirty = self.dirty.files.lock().unwrap_or_else(PoisonError::into_inner);
        if !dirty.iter().any(|other| Arc::ptr_eq(other, file)) {
            dirty.push(Arc::clone(file));
        }
    }

    /// Flushes now; whether this and every flush since [`Self::begin_anew`] worked.
    pub(super) fn flush(&self) -> bool {
        flush(&self.dirty, &self.shared)
    }

    /// All that is alive is written again from now on, so what an earlier flush may have lost is no
    /// matter once that is on the disk.
    pub(super) fn begin_anew(&self) {
        let _alone = self.dirty.flushing.lock().unwrap_or_else(PoisonError::into_inner);
        self.dirty.failed.store(false, Ordering::Relaxed);
    }
}

fn flush(dirty: &Dirty, shared: &Shared) -> bool {
    let _alone = dirty.flushing.lock().unwrap_or_else(PoisonError::into_inner);
    let files = std::mem::take(&mut *dirty.files.lock().unwrap_or_else(PoisonError::into_inner));
    for file in files {
        if let Err(error) = file.sync_data() {
            shared.unflushed.store(true, Ordering::Relaxed);
            if !dirty.failed.swap(true, Ordering::Relaxed) {
                tracing::error!(%error, "the log of bindings does not reach the disk");
            }
        }
    }
    !dirty.failed.load(Ordering::Relaxed)
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A flusher that panicked is replaced by what follows.
            let _ = thread.join();
        }
        self.flush();
    }
}
