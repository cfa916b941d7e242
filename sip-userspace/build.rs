//! Puts the kernel program's object where the daemon embeds it from.
//!
//! `HOMEWARD_XDP_OBJECT` names the object (`cargo xtask build` sets it). Without it an empty one
//! is embedded, and the daemon says so when it is asked to attach; so the host-only tests need no
//! eBPF toolchain.

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=HOMEWARD_XDP_OBJECT");
    let target = PathBuf::from(env::var("OUT_DIR")?).join("homeward-xdp.o");
    match env::var_os("HOMEWARD_XDP_OBJECT") {
        Some(object) => {
            println!("cargo::rerun-if-changed={}", object.display());
            fs::copy(&object, &target)
                .map_err(|error| format!("HOMEWARD_XDP_OBJECT={}: {error}", object.display()))?;
        }
        None => fs::write(&target, [])?,
    }
    Ok(())
}
