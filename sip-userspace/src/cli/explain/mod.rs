//! `homeward explain PATH...`: what the daemon, and with `--kernel` the kernel program, would do
//! with recorded datagrams. Nothing is sent, and no running daemon is asked or changed.
//!
//! `world` is what decides, `sender` imitates a client for a message that came without a packet,
//! `kernel` runs the program on a `frame`, `line` is what is printed. Invariants: no input ends
//! the program early; each datagram is judged as if it were the first one.
//! Deliberately absent: memory of redirects, retransmissions and rates, which would make a line
//! depend on those before it.

mod frame;
mod kernel;
mod line;
mod sender;
mod world;

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use self::{kernel::Program, line::Line, world::World};
use super::{Failure, output};
use crate::{
    capture::{self, CaptureError, Kind, Packets},
    config::PATH_DEFAULT,
    core::{Packet, explain::explain},
    sip::lex::printable,
};

/// Arguments of `homeward explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A file that ends in .sip, .dat or .bin holds one datagram; .pcap, .pcapng and .cap hold packets, of \
which those without UDP are left out. In a folder, and the folders in it, only files with these ends \
are taken; a file named by itself is taken in any case.

A message file is judged as if a well-behaved client had sent it: from the address and port that its \
top Via names, else from a documentation address. A packet is judged by its own source address. Each \
is judged as if it were the first: redirects, retransmissions and rates are not remembered.

Exit codes: 0 all is explained, 1 something could not be read (one line each on the error stream, the \
rest is explained), 2 a wrong argument, configuration or table.
")]
pub struct Args {
    /// Message files, captures (pcap, pcapng), or folders of them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The configuration [default: /etc/homeward/homeward.toml]
    #[arg(
        long,
        env = "HOMEWARD_CONFIG",
        default_value = PATH_DEFAULT,
        hide_default_value = true,
        hide_env = true
    )]
    config: String,
    /// The table's store [default: the configuration's, as the running daemon has committed it]
    #[arg(long, value_name = "FILE", conflicts_with = "assume_redirect")]
    table: Option<PathBuf>,
    /// Take every domain as served and every home as elsewhere, so that only the message's form
    /// decides; neither configuration nor table is read
    #[arg(long)]
    assume_redirect: bool,
    /// Also run the kernel program on each datagram, in a well-formed frame (root is needed;
    /// nothing is attached)
    #[arg(long)]
    kernel: bool,
    /// The kernel program's object [default: the one in this binary]
    #[arg(long, value_name = "FILE", requires = "kernel")]
    object: Option<PathBuf>,
}

impl Args {
    /// Explains all paths.
    ///
    /// # Errors
    /// With code 2 if configuration, table or object can't be had; with code 1 if the kernel
    /// refuses the program, or something could not be explained.
    pub(super) fn run(
        &self,
        json: bool,
        out: &mut dyn Write,
        errors: &mut dyn Write,
    ) -> Result<(), Failure> {
        let world = if self.assume_redirect {
            World::assumed()?
        } else {
            World::read(&self.config, self.table.as_deref())?
        };
        let program = match self.kernel {
            true => Some(Program::load(&world, self.object.as_deref())?),
            false => None,
        };
        let mut run = Run { world, program, json, out, errors, explained: 0, failed: 0 };
        for path in &self.paths {
            for (file, kind) in capture::find(path) {
                match kind {
                    Ok(Kind::Message) => run.message(&file)?,
                    Ok(Kind::Capture) => run.capture(&file)?,
                    Err(error) => run.fail(&name(&file), &error)?,
                }
            }
        }
        run.end()
    }
}

/// One run over all paths.
struct Run<'a> {
    world: World,
    program: Option<Program>,
    json: bool,
    out: &'a mut dyn Write,
    errors: &'a mut dyn Write,
    explained: u64,
    failed: u64,
}

impl Run<'_> {
    fn message(&mut self, file: &Path) -> io::Result<()> {
        match capture::message(file) {
            Err(error) => self.fail(&name(file), &error),
            Ok(payload) => {
                let source = sender::imitate(&payload, &self.world);
                self.explain(&name(file), source, &payload)
            }
        }
    }

    fn capture(&mut self, file: &Path) -> io::Result<()> {
        let name = name(file);
        let packets = match Packets::open(file) {
            Err(error) => return self.fail(&name, &error),
            Ok(packets) => packets,
        };
        for (number, packet) in packets {
            let at = format!("{name}:{number}");
            match packet {
                Ok(packet) => self.explain(&at, packet.source, &packet.payload)?,
                // No packet is to blame for these.
                Err(error @ (CaptureError::NoDatagrams | CaptureError::Empty)) => {
                    self.fail(&name, &error)?;
                }
                Err(error) if number == 0 => self.fail(&name, &error)?,
                Err(error) => self.fail(&at, &error)?,
            }
        }
        Ok(())
    }

    fn explain(&mut self, path: &str, source: SocketAddr, payload: &[u8]) -> io::Result<()> {
        let Some(local) = self.world.local_for(source) else {
            let version = if source.is_ipv4() { "IPv4" } else { "IPv6" };
            return self
                .fail(path, &format!("came over {version}, which sip.listen does not serve"));
        };
        let packet = Packet::udp(source, local, payload);
        let found = explain(&self.world.settings, &self.world.table, &packet);
        let ran = self.program.as_mut().map(|program| program.run(&self.world, &packet));
        let kernel = match ran.transpose() {
            Ok(kernel) => kernel,
            Err(error) => {
                self.fail(path, &error)?;
                None
            }
        };
        let line = Line::new(path, &found, &self.world.table, kernel.as_ref());
        match self.json {
            true => output::json(&line, &mut *self.out)?,
            false => writeln!(self.out, "{line}")?,
        }
        self.explained = self.explained.saturating_add(1);
        Ok(())
    }

    fn fail(&mut self, path: &str, error: &dyn std::fmt::Display) -> io::Result<()> {
        self.failed = self.failed.saturating_add(1);
        // Lines on both streams stay in their order where both go to one place.
        self.out.flush()?;
        writeln!(self.errors, "homeward: {path}: {error}")
    }

    fn end(self) -> Result<(), Failure> {
        self.out.flush()?;
        if self.failed == 0 {
            return Ok(());
        }
        let Self { failed, explained, .. } = self;
        let message =
            format!("{failed} not explained for the reasons above, {explained} explained");
        Err(Failure { message, code: 1 })
    }
}

/// A path in printable form.
fn name(path: &Path) -> String {
    printable(path.as_os_str().as_encoded_bytes())
}

#[cfg(test)]
mod tests;
