//! What the kernel says when it refuses a program, as one line with a cure.

use aya::programs::ProgramError;

use crate::datapath::DatapathError;

/// The last line of the verifier's log says what is wrong; the whole log goes to the debug log.
pub(super) fn load_error(error: &ProgramError) -> DatapathError {
    let ProgramError::LoadError { io_error, verifier_log } = error else {
        return refused(error, error.to_string());
    };
    let log = verifier_log.to_string();
    tracing::debug!(%log, "verifier");
    let last = log.lines().rev().find(|line| !line.is_empty() && !is_statistics(line));
    refused(error, format!("{io_error}: {}", last.unwrap_or("no word from the verifier")))
}

fn is_statistics(line: &str) -> bool {
    ["verification time", "stack depth", "processed "].iter().any(|start| line.starts_with(start))
}

pub(super) fn refused(error: &(dyn std::error::Error + 'static), reason: String) -> DatapathError {
    let mut chain = Some(error);
    let mut denied = false;
    while let Some(error) = chain {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            denied |= error.kind() == std::io::ErrorKind::PermissionDenied;
        }
        chain = error.source();
    }
    let cure = if denied && !nix::unistd::geteuid().is_root() {
        "run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"
    } else {
        "Linux 6.1 or newer with BTF is needed; `cargo xtask doctor` looks"
    };
    DatapathError::Load { reason, cure }
}
