//! The directory of pins in a bpffs: what outlives the daemon.
//!
//!     DIR/link-MODE-INTERFACE   links; a dot in a name stands as a colon, bpffs refuses dots
//!     DIR/maps/                 the program and the maps that the links run on
//!     DIR/next/                 those of another layout, while they are being filled
//!     DIR/old/                  for the moment of the change from one to the other
//!
//! Invariants: the directory is the user's own with mode 0700, on a bpffs, and holds nothing else
//! (T14); whatever moment a daemon dies at, the next one knows which maps the links run on.

use std::{
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{DirBuilderExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

use nix::sys::statfs::{FsType, statfs};

use super::{
    DatapathError, Kernel,
    kernel::{PINNED, PROGRAM},
    memory::{link_info, object_get},
};
use crate::config::Mode;

/// `BPF_FS_MAGIC` of include/uapi/linux/magic.h.
const BPFFS: FsType = FsType(0xcafe_4a11);
const LINK: &str = "link-";
const MAPS: &str = "maps";
const NEXT: &str = "next";
const OLD: &str = "old";
/// A program on its way to the place of the one before it.
const PROGRAM_NEW: &str = "homeward-new";

/// A directory of pins.
#[derive(Clone, Debug)]
pub struct Pins {
    root: PathBuf,
}

/// A pinned link.
#[derive(Debug)]
pub struct Link {
    /// The interface that it was made for.
    pub interface: String,
    /// How the program is attached there.
    pub mode: Mode,
    /// Where it is pinned.
    pub path: PathBuf,
    /// The link itself.
    pub fd: OwnedFd,
}

impl Pins {
    /// The directory at a path, whether it exists or not.
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Whether it exists; then it is checked.
    ///
    /// # Errors
    /// If it is somebody else's, open to others, or holds something else.
    pub fn check(&self) -> Result<bool, DatapathError> {
        self.check_for(nix::unistd::geteuid().as_raw())
    }

    fn check_for(&self, user: u32) -> Result<bool, DatapathError> {
        let meta = match fs::symlink_metadata(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other.map_err(|error| failed(&self.root, &error))?,
        };
        let wrong = |reason: String| DatapathError::Pins { path: self.root.clone(), reason };
        if !meta.is_dir() {
            return Err(wrong("it is no directory".to_owned()));
        }
        if meta.uid() != user {
            return Err(wrong(format!("it belongs to user {}, not to this one", meta.uid())));
        }
        if meta.mode() & 0o077 != 0 {
            let mode = meta.mode() & 0o7777;
            return Err(wrong(format!("others may enter it (mode {mode:04o}, not 0700)")));
        }
        self.on_bpffs(&self.root)?;
        for name in names(&self.root)? {
            let own = [MAPS, NEXT, OLD].contains(&name.as_str()) || parse_link(&name).is_some();
            if !own {
                return Err(wrong(format!("it holds `{name}`, which is not Homeward's")));
            }
        }
        for generation in [MAPS, NEXT, OLD].map(|name| self.root.join(name)) {
            for name in names(&generation)? {
                if ![PROGRAM, PROGRAM_NEW].contains(&name.as_str())
                    && !PINNED.contains(&name.as_str())
                {
                    let name = generation.join(name);
                    let reason = "it is not Homeward's".to_owned();
                    return Err(DatapathError::Pins { path: name, reason });
                }
            }
        }
        Ok(true)
    }

    /// Makes it, if it does not exist.
    ///
    /// # Errors
    /// If there is no bpffs, or the system refuses.
    pub fn create(&self) -> Result<(), DatapathError> {
        if self.check()? {
            return Ok(());
        }
        let outer = self.root.ancestors().skip(1).find(|path| path.exists());
        self.on_bpffs(outer.unwrap_or(Path::new("/")))?;
        make(&self.root)
    }

    fn on_bpffs(&self, path: &Path) -> Result<(), DatapathError> {
        let found = statfs(path).map_err(|error| failed(path, &error.into()))?;
        if found.filesystem_type() == BPFFS {
            return Ok(());
        }
        let reason = "it is not on a bpffs (`mount -t bpf bpf /sys/fs/bpf`)".to_owned();
        Err(DatapathError::Pins { path: self.root.clone(), reason })
    }

    /// The program and maps that the links run on.
    pub fn maps(&self) -> PathBuf {
        self.root.join(MAPS)
    }

    /// An empty directory for those of another layout.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn begin_next(&self) -> Result<PathBuf, DatapathError> {
        let next = self.root.join(NEXT);
        remove_generation(&next)?;
        make(&next)?;
        Ok(next)
    }

    /// An empty directory for the first program and maps.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn begin(&self) -> Result<PathBuf, DatapathError> {
        self.create()?;
        remove_generation(&self.maps())?;
        make(&self.maps())?;
        Ok(self.maps())
    }

    /// Has the next program and maps take the place of those that the links ran on.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn end_next(&self) -> Result<(), DatapathError> {
        let old = self.root.join(OLD);
        remove_generation(&old)?;
        if self.maps().exists() {
            rename(&self.maps(), &old)?;
        }
        rename(&self.root.join(NEXT), &self.maps())?;
        remove_generation(&old)
    }

    /// Has another program take the place of the one that the maps' links ran.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn replace_program(&self, kernel: &mut Kernel) -> Result<(), DatapathError> {
        let new = self.maps().join(PROGRAM_NEW);
        if new.exists() {
            fs::remove_file(&new).map_err(|error| failed(&new, &error))?;
        }
        kernel.pin_program(&new)?;
        rename(&new, &self.maps().join(PROGRAM))
    }

    /// Ends what a daemon that died in a change had begun: forward if a link runs the next
    /// program already, else back.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn settle(&self) -> Result<(), DatapathError> {
        let next = self.root.join(NEXT);
        if next.exists() {
            let program = aya::programs::ProgramInfo::from_pin(next.join(PROGRAM)).ok();
            let program = program.map(|info| info.id());
            let links = self.links()?;
            let runs =
                |link: &Link| link_info(link.fd.as_fd()).ok().map(|info| info.program) == program;
            if links.iter().any(runs) || !self.maps().exists() {
                self.end_next()?;
            } else {
                remove_generation(&next)?;
            }
        }
        remove_generation(&self.root.join(OLD))
    }

    /// The pinned links.
    ///
    /// # Errors
    /// If one can't be opened.
    pub fn links(&self) -> Result<Vec<Link>, DatapathError> {
        let mut links = Vec::new();
        for name in names(&self.root)? {
            let Some((mode, interface)) = parse_link(&name) else { continue };
            let path = self.root.join(&name);
            let fd = object_get(&path).map_err(|error| failed(&path, &error))?;
            links.push(Link { interface, mode, path, fd });
        }
        Ok(links)
    }

    /// Where the link of an interface is pinned.
    pub fn link(&self, interface: &str, mode: Mode) -> PathBuf {
        self.root.join(format!("{LINK}{mode}-{}", interface.replace('.', ":")))
    }

    /// Removes everything, links first; what was removed. Root may remove what another user's
    /// daemon has left; its directory stays, since it could not make it again.
    ///
    /// # Errors
    /// If the directory is not ours, or the system refuses.
    pub fn remove_all(&self) -> Result<Vec<String>, DatapathError> {
        let own = nix::unistd::geteuid();
        let owner = fs::symlink_metadata(&self.root).map(|meta| meta.uid());
        let user = if own.is_root() { owner.unwrap_or(0) } else { own.as_raw() };
        if !self.check_for(user)? {
            return Ok(Vec::new());
        }
        let mut removed = Vec::new();
        for name in names(&self.root)? {
            if let Some((mode, interface)) = parse_link(&name) {
                let path = self.root.join(&name);
                fs::remove_file(&path).map_err(|error| failed(&path, &error))?;
                removed.push(format!("the program's link to {interface} ({mode})"));
            }
        }
        for generation in [MAPS, NEXT, OLD].map(|name| self.root.join(name)) {
            let count = names(&generation)?.len();
            let program = generation.join(PROGRAM).exists();
            remove_generation(&generation)?;
            if count > 0 {
                let maps = count - usize::from(program);
                let program = if program { "the program and " } else { "" };
                removed.push(format!("{program}{maps} maps in {}", generation.display()));
            }
        }
        if user != own.as_raw() {
            return Ok(removed);
        }
        match fs::remove_dir(&self.root) {
            Ok(()) => removed.push(self.root.display().to_string()),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            Err(error) => return Err(failed(&self.root, &error)),
        }
        Ok(removed)
    }
}

/// Mode and interface in a link's name.
fn parse_link(name: &str) -> Option<(Mode, String)> {
    let (mode, interface) = name.strip_prefix(LINK)?.split_once('-')?;
    let mode = [Mode::Native, Mode::Generic].into_iter().find(|known| known.to_string() == mode)?;
    Some((mode, interface.replace(':', ".")))
}

/// Names in a directory; none if it does not exist.
fn names(directory: &Path) -> Result<Vec<String>, DatapathError> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|error| failed(directory, &error))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| failed(directory, &error))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}

fn remove_generation(directory: &Path) -> Result<(), DatapathError> {
    for name in names(directory)? {
        let path = directory.join(name);
        fs::remove_file(&path).map_err(|error| failed(&path, &error))?;
    }
    match fs::remove_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(directory, &error)),
        _ => Ok(()),
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), DatapathError> {
    fs::rename(from, to).map_err(|error| failed(to, &error))
}

fn make(directory: &Path) -> Result<(), DatapathError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(directory).map_err(|error| failed(directory, &error))
}

fn failed(path: &Path, error: &io::Error) -> DatapathError {
    DatapathError::Pins { path: path.to_owned(), reason: error.to_string() }
}
