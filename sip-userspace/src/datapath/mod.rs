//! From the committed table into the kernel, and out again as counters.
//!
//! `path` is the whole of it for a running daemon. `kernel` loads the program and is the only
//! writer of its maps (invariant I3), which `maps` names; `publish` decides in which order the
//! table's words are written and compares the two, `desired` what is told beside the table;
//! `attach` puts the program on an interface; `memory` is the crate's only module with `unsafe`. With XDP off none of this exists, and every
//! answer is the same (I1).
//! Deliberately absent: decisions about clients.

pub mod attach;
pub mod desired;
pub mod kernel;
pub mod layout;
pub mod maps;
pub mod memory;
pub mod path;
pub mod pins;
pub mod publish;
pub mod times;

pub use attach::Attached;
pub use kernel::{Kernel, Sizes};
pub use path::{Compared, Difference, Head, KernelPath, Origin, Verified};

use sip_common::verdict::{
    COUNTER_BACK, COUNTER_FORWARD, COUNTER_REDIRECT, COUNTER_RETRANSMISSION, REFUSALS,
};

/// The object that was embedded when the daemon was built; empty without an eBPF toolchain.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/homeward-xdp.o"));

/// What can go wrong between the daemon and the kernel: what, why, and the cure.
#[derive(Debug, thiserror::Error)]
pub enum DatapathError {
    /// Built without the kernel program.
    #[error(
        "this binary holds no kernel program; build it with `cargo xtask build`, or run with xdp.mode = \"off\""
    )]
    NoObject,
    /// The object or the program was refused.
    #[error("the kernel refuses the program: {reason}; {cure}")]
    Load {
        /// What it said.
        reason: String,
        /// What to do.
        cure: &'static str,
    },
    /// A map is not what this daemon knows.
    #[error(
        "map {map}: {reason}; the object does not belong to this daemon, build both with `cargo xtask build`"
    )]
    Map {
        /// Its name.
        map: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The program could not be attached.
    #[error("interface {interface}: {reason}; {cure}")]
    Attach {
        /// Its name.
        interface: String,
        /// What went wrong.
        reason: String,
        /// What to do.
        cure: String,
    },
    /// The table is not in the maps as it should be.
    #[error("the kernel's maps are behind: {reason}")]
    Publish {
        /// What failed.
        reason: String,
    },
    /// A directory of pins can't be used.
    #[error(
        "{path}: {reason}; correct xdp.bpffs, or remove what is there (`homeward detach`), or set xdp.keep_attached = false"
    )]
    Pins {
        /// The directory, or what is wrong in it.
        path: std::path::PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A system call failed.
    #[error("{call}: {source}")]
    Call {
        /// Which.
        call: &'static str,
        /// Why.
        source: std::io::Error,
    },
}

/// The name of a kernel counter.
pub fn counter_label(index: u32) -> &'static str {
    match index {
        COUNTER_REDIRECT => "redirect",
        COUNTER_RETRANSMISSION => "retransmission",
        COUNTER_FORWARD => "forward",
        COUNTER_BACK => "back",
        other => REFUSALS.get(other as usize).map_or("unknown", |refusal| refusal.label()),
    }
}
