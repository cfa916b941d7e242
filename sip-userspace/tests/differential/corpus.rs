//! Messages that nobody here wrote, where the folder lies beside the repository, and the
//! project's own cases in any way.

use crate::{cases, world::World};
use sip_common::abi::{DOMAIN_CLIENTS, DOMAIN_URI};
use std::{fs, path::Path};

/// Every message there is, in a fixed order.
pub fn messages() -> Vec<Vec<u8>> {
    let mut messages: Vec<Vec<u8>> = cases::all().into_iter().map(|case| case.message).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let mut files = Vec::new();
    collect(&folder, &mut files);
    files.sort();
    messages.extend(files.iter().filter_map(|file| fs::read(file).ok()));
    messages
}

fn collect(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let message = path.extension().is_some_and(|kind| kind == "dat" || kind == "sip");
        if path.is_dir() {
            collect(&path, files);
        } else if message {
            files.push(path);
        }
    }
}

/// Serves the domains of these messages, as many as the table of names takes.
pub fn serve(world: &mut World, messages: &[Vec<u8>]) {
    for message in messages {
        let text = String::from_utf8_lossy(message);
        let start = text.split("\r\n").next().unwrap_or_default().to_lowercase();
        let to = text.lines().find(|line| line.starts_with("To:") || line.starts_with("t:"));
        let hosts =
            [start.split("sip:").nth(1), to.and_then(|to| to.rsplit_once('@')).map(|p| p.1)];
        for host in hosts.into_iter().flatten() {
            let host: String = host
                .to_lowercase()
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '.' || *c == '-')
                .collect();
            if !host.is_empty() && host.len() <= 64 && !world.serves(&host) {
                world.try_serve(&host, DOMAIN_CLIENTS | DOMAIN_URI);
            }
        }
    }
}
