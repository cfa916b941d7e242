//! `homeward documents`: man pages and shell completions, for those who make packages.
//!
//! Hidden from the help. The binary writes them itself, so what a package says of a command is
//! what the command in it does.

use std::{fs, io, path::PathBuf};

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::{Cli, Failure};

/// Where each shell looks for completions, below `share`.
const COMPLETIONS: [(Shell, &str); 3] = [
    (Shell::Bash, "bash-completion/completions"),
    (Shell::Zsh, "zsh/site-functions"),
    (Shell::Fish, "fish/vendor_completions.d"),
];

/// Writes man pages and completions
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder that becomes `share`
    folder: PathBuf,
}

impl Args {
    /// Writes them; folders that are missing are made.
    ///
    /// # Errors
    /// With code 1 if the folder can't be written.
    pub fn run(&self) -> Result<(), Failure> {
        self.write().map_err(|error| Failure {
            message: format!(
                "{}: {error}; name a folder that can be written",
                self.folder.display()
            ),
            code: 1,
        })
    }

    fn write(&self) -> io::Result<()> {
        let pages = self.folder.join("man/man1");
        fs::create_dir_all(&pages)?;
        clap_mangen::generate_to(Cli::command(), &pages)?;
        for (shell, folder) in COMPLETIONS {
            let folder = self.folder.join(folder);
            fs::create_dir_all(&folder)?;
            // Bash's loader looks for a file with the bare name of the command.
            let written =
                clap_complete::generate_to(shell, &mut Cli::command(), "homeward", &folder)?;
            if shell == Shell::Bash {
                fs::rename(written, folder.join("homeward"))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_every_shell_its_file() {
        let folder = tempfile::tempdir().unwrap();
        Args { folder: folder.path().to_owned() }.run().unwrap();
        let page =
            fs::read_to_string(folder.path().join("man/man1/homeward-server-add.1")).unwrap();
        assert!(page.contains("\\-\\-address"), "{page}");
        assert!(!folder.path().join("man/man1/homeward-documents.1").exists());
        for file in [
            "bash-completion/completions/homeward",
            "zsh/site-functions/_homeward",
            "fish/vendor_completions.d/homeward.fish",
        ] {
            let text = fs::read_to_string(folder.path().join(file)).unwrap();
            assert!(text.contains("status"), "{file}");
        }
    }
}
