//! The benches' kernel programs: loaded once a run, attached in native mode, gone with the run.

use std::path::Path;

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{Array, MapData, PerCpuArray, PerCpuValues},
    programs::{Xdp, XdpMode, xdp::XdpLinkId},
    util::nr_cpus,
};

use crate::{
    lab::{HOME_INTERFACE, Lab, Pair, SERVER_INTERFACE},
    layout::{Answers, Lane, Nonce, Proof, Sample, Seen, map},
};

/// The programs and maps of `benches/ebpf`.
pub struct Kernel {
    object: Ebpf,
    /// Orders and state of the generators.
    pub lanes: PerCpuArray<MapData, Lane>,
    /// Counters of sink and reflector.
    pub answers: PerCpuArray<MapData, Answers>,
    /// Histogram of latencies.
    pub latency: PerCpuArray<MapData, u64>,
    /// One answer.
    pub sample: Array<MapData, Sample>,
    /// The response of each request, where clients prove who they are.
    pub proofs: Array<MapData, Proof>,
    /// The nonce of each client.
    pub nonces: Array<MapData, Nonce>,
    /// The redirects of each client that is moved.
    pub seen: PerCpuArray<MapData, Seen>,
}

impl Kernel {
    /// Loads every program of the object at `path`.
    ///
    /// # Errors
    /// When the object is missing, or the kernel refuses one of its programs.
    pub fn load(path: &Path) -> Result<Self> {
        let mut object = Ebpf::load_file(path).with_context(|| {
            format!("cannot load {}: build it with `cargo xtask build`", path.display())
        })?;
        for (name, program) in object.programs_mut() {
            let program: &mut Xdp = program.try_into()?;
            program.load().with_context(|| format!("the kernel refuses the program {name}"))?;
        }
        let mut take = |name: &str| {
            object.take_map(name).with_context(|| format!("the object has no map {name}"))
        };
        Ok(Self {
            lanes: take(map::LANES)?.try_into()?,
            answers: take(map::ANSWERS)?.try_into()?,
            latency: take(map::LATENCY)?.try_into()?,
            sample: take(map::SAMPLE)?.try_into()?,
            proofs: take(map::PROOFS)?.try_into()?,
            nonces: take(map::NONCES)?.try_into()?,
            seen: take(map::SEEN)?.try_into()?,
            object,
        })
    }

    /// A program by its name.
    ///
    /// # Errors
    /// When there is none.
    pub fn program(&self, name: &str) -> Result<&Xdp> {
        let program = self.object.program(name);
        Ok(program.with_context(|| format!("the object has no program {name}"))?.try_into()?)
    }

    /// The object itself, for maps that a single bench needs.
    pub fn object(&mut self) -> &mut Ebpf {
        &mut self.object
    }

    /// Attaches the sink to the clients' end of a pair.
    ///
    /// # Errors
    /// When native XDP is refused.
    pub fn sink(&mut self, lab: &Lab, pair: &Pair) -> Result<()> {
        self.attach_clients("sink", lab, pair)
    }

    /// Attaches a program to the clients' end of a pair.
    ///
    /// # Errors
    /// When native XDP is refused.
    pub fn attach_clients(&mut self, name: &str, lab: &Lab, pair: &Pair) -> Result<()> {
        let program = self.program_mut(name)?;
        lab.among_clients(|| {
            program.attach(&pair.client_interface, XdpMode::Driver)?;
            Ok(())
        })
    }

    /// Lets the sink pass everything until the next run of load, for sockets at the clients' end.
    ///
    /// # Errors
    /// When the map refuses it.
    pub fn pass_answers(&mut self) -> Result<()> {
        let passing = Answers { passing: 1, ..Answers::default() };
        let all = vec![passing; nr_cpus().map_err(|(_, error)| error)?];
        Ok(self.answers.set(0, PerCpuValues::try_from(all)?, 0)?)
    }

    /// Attaches what stands for a proxy's home, and what lets a proxy hear it.
    ///
    /// # Errors
    /// When native XDP is refused.
    pub fn attach_home(&mut self, pair: &Pair) -> Result<()> {
        let program = self.program_mut("home")?;
        pair.at_home(|interface| {
            program.attach(interface, XdpMode::Driver)?;
            Ok(())
        })?;
        Ok(())
    }

    /// Attaches a program that passes everything to the server's end of the interface towards its
    /// home: a server without one of its own is to get frames the same way.
    ///
    /// # Errors
    /// As [`Self::attach`].
    pub fn pass_home(&mut self, pair: &Pair) -> Result<()> {
        let program = self.program_mut("pass")?;
        pair.at_server(|| Ok(program.attach(HOME_INTERFACE, XdpMode::Driver)?))?;
        Ok(())
    }

    /// Attaches a program to the server's end of a pair.
    ///
    /// # Errors
    /// When native XDP is refused, or another program is attached there.
    pub fn attach(&mut self, name: &str, pair: &Pair) -> Result<XdpLinkId> {
        let program = self.program_mut(name)?;
        pair.at_server(|| Ok(program.attach(SERVER_INTERFACE, XdpMode::Driver)?))
            .with_context(|| format!("cannot attach {name} in {}", pair.namespace))
    }

    fn program_mut(&mut self, name: &str) -> Result<&mut Xdp> {
        let program = self.object.program_mut(name);
        Ok(program.with_context(|| format!("the object has no program {name}"))?.try_into()?)
    }
}
