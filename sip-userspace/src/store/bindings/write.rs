//! The writer's thread: all batches that wait go out in one write, then they are confirmed.

use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use crossbeam::channel::Receiver;

use super::{
    Batch, Confirmed, Found, Job, LogError, Shared, io,
    segment::{self, Boot, SEGMENT_BYTES},
    sync::Flusher,
};

/// Bytes that are gathered for one write.
const GATHER_BYTES: usize = 1 << 20;

pub(super) struct Writer<C> {
    directory: PathBuf,
    boot: Boot,
    /// None after a failure, until a file can be begun again.
    file: Option<Arc<File>>,
    len: u64,
    number: u64,
    /// Files that are there, the last one being written.
    files: Vec<(u64, u64)>,
    /// A rewrite is going on: files below this number go at its end.
    rewrite: Option<u64>,
    flusher: Flusher,
    shared: Arc<Shared>,
    confirm: C,
}

impl<C: Fn(Confirmed)> Writer<C> {
    /// Begins a new file behind those that were found: what is torn is never written behind.
    pub(super) fn begin(
        directory: &Path,
        boot: Boot,
        found: &Found,
        shared: Arc<Shared>,
        confirm: C,
    ) -> Result<Self, LogError> {
        let flusher =
            Flusher::begin(Arc::clone(&shared)).map_err(|source| io(directory, source))?;
        let number = found.files.last().copied().unwrap_or(0);
        let mut files: Vec<_> = found.files.iter().map(|number| (*number, 0)).collect();
        if let Some((_, bytes)) = files.last_mut() {
            *bytes = found.bytes;
        }
        let mut writer = Self {
            directory: directory.to_owned(),
            boot,
            file: None,
            len: 0,
            number,
            files,
            rewrite: None,
            flusher,
            shared,
            confirm,
        };
        writer.next_file()?;
        Ok(writer)
    }

    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            let mut gathered = Batch::default();
            let mut next = Some(job);
            while let Some(job) = next.take() {
                match job {
                    Job::Append(batch) => {
                        gathered.ticket = gathered.ticket.max(batch.ticket);
                        if gathered.bytes.is_empty() {
                            gathered.bytes = batch.bytes;
                        } else {
                            gathered.bytes.extend_from_slice(&batch.bytes);
                        }
                    }
                    Job::RewriteBegin => {
                        self.write(std::mem::take(&mut gathered));
                        self.rewrite_begin();
                    }
                    Job::RewriteEnd => {
                        self.write(std::mem::take(&mut gathered));
                        self.rewrite_end();
                    }
                }
                if gathered.bytes.len() < GATHER_BYTES {
                    next = jobs.try_recv().ok();
                }
            }
            self.write(gathered);
        }
    }

    fn write(&mut self, batch: Batch) {
        if batch.bytes.is_empty() {
            return;
        }
        let written = self.append(&batch.bytes);
        if let Err(error) = &written {
            if !self.shared.failed.swap(true, Ordering::Relaxed) {
                tracing::error!(%error, "the log of bindings can't be written: registrations get 503");
            }
            // A part may be there: go on in another file, and keep the older ones.
            self.file = None;
            self.rewrite = None;
        } else {
            self.shared.failed.store(false, Ordering::Relaxed);
        }
        if batch.ticket > 0 {
            (self.confirm)(Confirmed { ticket: batch.ticket, written: written.is_ok() });
        }
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), LogError> {
        if self.file.is_none() || self.len > SEGMENT_BYTES {
            self.next_file()?;
        }
        let Some(file) = &self.file else { return Ok(()) };
        let wrote = (&**file).write_all(bytes);
        wrote.map_err(|source| io(&self.directory, source))?;
        self.flusher.wrote(file);
        self.len = self.len.saturating_add(bytes.len() as u64);
        if let Some((_, len)) = self.files.last_mut() {
            *len = self.len;
        }
        self.tell();
        Ok(())
    }

    fn next_file(&mut self) -> Result<(), LogError> {
        let number = self.number.saturating_add(1);
        let file = Arc::new(segment::begin(&self.directory, number, &self.boot)?);
        self.flusher.wrote(&file);
        self.file = Some(file);
        (self.number, self.len) = (number, segment::HEAD as u64);
        self.files.push((number, self.len));
        self.tell();
        Ok(())
    }

    fn rewrite_begin(&mut self) {
        self.rewrite = match self.next_file() {
            Ok(()) => {
                self.flusher.begin_anew();
                Some(self.number)
            }
            Err(error) => {
                tracing::error!(%error, "the log of bindings can't be rewritten");
                None
            }
        };
    }

    /// The new records are on the disk before the old ones go.
    fn rewrite_end(&mut self) {
        let Some(first) = self.rewrite.take() else { return };
        if !self.flusher.flush() {
            return;
        }
        self.shared.unflushed.store(false, Ordering::Relaxed);
        let directory = &self.directory;
        self.files.retain(|(number, _)| {
            *number >= first
                || segment::remove(directory, *number)
                    .inspect_err(|error| tracing::error!(%error, "an old log of bindings stays"))
                    .is_err()
        });
        self.tell();
    }

    fn tell(&self) {
        let bytes = self.files.iter().map(|(_, len)| *len).fold(0, u64::saturating_add);
        self.shared.bytes.store(bytes, Ordering::Relaxed);
        self.shared.files.store(self.files.len() as u64, Ordering::Relaxed);
    }
}
