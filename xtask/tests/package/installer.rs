//! The archive and its installer.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use xtask::{package, process, workspace};

use crate::{packed, traces, unpack};

/// A folder of the test's own, which goes when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = workspace::target().join("package/tests").join(name);
        // A run that was cut short may have left it.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn install(package: &Path, root: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(package.join("install"));
    command.arg("--root").arg(root).args(words).output().unwrap()
}

#[track_caller]
fn installed(package: &Path, root: &Path, words: &[&str]) -> String {
    let output = install(package, root, words);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// Makes a newer package of an unpacked one: with a file more, one less, and `configuration`.
fn newer(package: &Path, configuration: &str) {
    fs::write(package.join("etc/homeward/homeward.toml"), configuration).unwrap();
    fs::rename(
        package.join("share/doc/homeward/LICENSE-MIT"),
        package.join("share/doc/homeward/NEW"),
    )
    .unwrap();
    let list = "find . -type f ! -path ./share/homeward/files -printf '%P\\n' | sort | \
                xargs sha256sum >../list && mv ../list share/homeward/files";
    process::capture(Command::new("sh").args(["-c", list]).current_dir(package)).unwrap();
}

#[test]
#[ignore = "needs the kernel's toolchain"]
fn the_same_files_give_the_same_archive() {
    let first = fs::read(&packed().archive).unwrap();
    let daemon = workspace::target().join("release/homeward");
    let again = package::pack(&daemon).unwrap();
    assert!(first == fs::read(&again.archive).unwrap(), "the archives differ");
    let folder = again.sums.parent().unwrap();
    process::capture(Command::new("sha256sum").args(["--check", "SHA256SUMS"]).current_dir(folder))
        .unwrap();
}

#[test]
#[ignore = "needs the kernel's toolchain"]
fn the_configuration_of_the_package_is_right() {
    let folder = Folder::new("configuration");
    unpack(&folder.0);
    let mut check = Command::new(folder.0.join("bin/homeward"));
    check.args(["run", "--check", "--config"]).arg(folder.0.join("etc/homeward/homeward.toml"));
    process::capture(&mut check).unwrap();
}

#[test]
#[ignore = "needs the kernel's toolchain"]
fn what_is_installed_goes_without_a_trace() {
    let folder = Folder::new("traces");
    let (package, root) = (folder.0.join("package"), folder.0.join("root"));
    unpack(&package);
    // What other packages have made stays, also if it is empty.
    for prefix in ["/usr/local", "/usr", "/opt/homeward"] {
        fs::create_dir_all(root.join("usr/local/share/man")).unwrap();
        let before = traces::below(&root);
        installed(&package, &root, &["--prefix", prefix]);
        let below = |path: &str| root.join(prefix.trim_start_matches('/')).join(path);
        assert!(below("share/man/man1/homeward-server-add.1").is_file());
        let mode = fs::metadata(below("bin/homeward")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755);
        let unit = match prefix {
            "/opt/homeward" => root.join("etc/systemd/system/homeward.service"),
            _ => below("lib/systemd/system/homeward.service"),
        };
        let unit = fs::read_to_string(unit).unwrap();
        assert!(unit.contains(&format!("\nExecStart={prefix}/bin/homeward run\n")), "{unit}");
        installed(&package, &root, &["--prefix", prefix]);
        let own = below("share/homeward/install");
        process::capture(Command::new(own).arg("--uninstall").arg("--root").arg(&root)).unwrap();
        assert_eq!(traces::below(&root), before, "{prefix}");
    }
}

#[test]
#[ignore = "needs the kernel's toolchain"]
fn an_upgrade_brings_what_is_new_and_leaves_a_changed_configuration() {
    let folder = Folder::new("upgrade");
    let (package, root) = (folder.0.join("package"), folder.0.join("root"));
    unpack(&package);
    fs::create_dir_all(root.join("etc")).unwrap();
    let before = traces::below(&root);
    installed(&package, &root, &[]);
    let file = root.join("etc/homeward/homeward.toml");
    let fresh = root.join("etc/homeward/homeward.toml.new");
    let read = |path: &Path| fs::read_to_string(path).unwrap();

    newer(&package, "second");
    installed(&package, &root, &[]);
    assert_eq!(read(&file), "second", "nobody had changed it");
    assert!(!root.join("usr/local/share/doc/homeward/LICENSE-MIT").exists());
    assert!(root.join("usr/local/share/doc/homeward/NEW").exists());

    fs::write(&file, "mine").unwrap();
    installed(&package, &root, &[]);
    assert!(read(&file) == "mine" && !fresh.exists(), "there is nothing new to tell of");
    fs::write(package.join("share/doc/homeward/LICENSE-MIT"), "").unwrap();
    newer(&package, "third");
    let said = installed(&package, &root, &[]);
    assert!(read(&file) == "mine" && read(&fresh) == "third", "{said}");
    assert!(said.contains("was changed and stays"), "{said}");

    installed(&package, &root, &["--uninstall"]);
    assert_eq!(read(&file), "mine");
    installed(&package, &root, &[]);
    assert_eq!(read(&file), "mine", "what was left is not overwritten either");
    installed(&package, &root, &["--uninstall", "--purge"]);
    assert_eq!(traces::below(&root), before);
}

#[test]
#[ignore = "needs the kernel's toolchain"]
fn what_cannot_be_installed_is_refused_with_the_cure() {
    let folder = Folder::new("refused");
    let (package, root) = (folder.0.join("package"), folder.0.join("root"));
    unpack(&package);
    fs::create_dir_all(&root).unwrap();
    let refused = |words: &[&str], reason: &str| {
        let output = install(&package, &root, words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(reason), "{words:?}: {said}");
    };
    refused(&["--prefix", "usr"], "is not absolute");
    refused(&["--prefix", "/a b"], "use letters");
    refused(&["--prefix"], "wants a folder");
    refused(&["--fast"], "is no option");
    refused(&["--purge"], "goes with --uninstall");
    refused(&["--uninstall"], "nothing is installed there");
    fs::write(package.join("bin/homeward"), "cut off").unwrap();
    refused(&[], "unpack it again");
    assert!(traces::below(&root).is_empty(), "nothing was written");
}
