//! The daemons of a run, and the two loads that each gets.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, bail};
use hdrhistogram::Histogram;

use super::{
    clients::Table,
    judge::Measured,
    settings::Change,
    site::{Site, Timed, Trial},
};
use crate::{
    generator::Generator, kernel::Kernel, lab::Lab, load::histogram, options::Options,
    rounds::Accounts, search::Search,
};

/// The steady load, as a share of what the daemon can do.
pub const STEADY: f64 = 0.5;
/// The avalanche, as a multiple of the same.
pub const AVALANCHE: f64 = 3.0;
/// A p99 above this means that a queue is growing.
const GROWING_US: f64 = 20_000.0;

/// Less than this is too little to tell a p99 from; a daemon that can't do it is measured with it.
const MOST_MIN: f64 = 20_000.0;

/// Daemons and what drives them.
pub struct Bench<'a> {
    options: &'a Options,
    // Sites go before the lab that they are in.
    sites: Vec<Site>,
    kernel: Kernel,
    generator: Generator,
    /// Whose clients are whose.
    pub table: Table,
    /// Requests a second, both halves together, that a daemon with default settings can do.
    pub most: f64,
    lab: Lab,
}

/// Latencies of one daemon, over all rounds.
pub struct Log {
    steady: Histogram<u64>,
    avalanche: Histogram<u64>,
    redirects: Histogram<u64>,
}

impl Log {
    /// None yet.
    ///
    /// # Errors
    /// Never.
    pub fn new() -> Result<Self> {
        Ok(Self { steady: histogram()?, avalanche: histogram()?, redirects: histogram()? })
    }

    /// The histograms with their names.
    pub fn tags(&self) -> Vec<(String, &Histogram<u64>)> {
        vec![
            ("daemon_steady".into(), &self.steady),
            ("daemon_avalanche".into(), &self.avalanche),
            ("redirects_steady".into(), &self.redirects),
        ]
    }
}

impl<'a> Bench<'a> {
    /// One daemon for each set of changes, all up.
    ///
    /// # Errors
    /// When one does not start or answer.
    pub fn new(options: &'a Options, sets: &[Vec<Change>]) -> Result<Self> {
        let folder = options.folder("tune")?.join("servers");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let lab = Lab::new()?;
        let mut bench = Self {
            options,
            sites: Vec::new(),
            kernel: Kernel::load(&options.bench_object)?,
            generator: Generator::default(),
            table: Table::make(&folder)?,
            most: 0.0,
            lab,
        };
        for set in sets {
            bench.start(set)?;
        }
        for site in &mut bench.sites {
            site.wait(&mut bench.kernel, &mut bench.generator)?;
        }
        Ok(bench)
    }

    fn start(&mut self, set: &[Change]) -> Result<()> {
        let folder = self.options.folder("tune")?.join("servers");
        let host = format!("tune{}", self.sites.len());
        let at = (folder.as_path(), &self.table);
        let program = &self.options.daemon;
        self.sites.push(Site::start(&mut self.lab, &mut self.kernel, program, &host, at, set)?);
        Ok(())
    }

    /// One more daemon; returns its place.
    ///
    /// # Errors
    /// When it does not start or answer.
    pub fn add(&mut self, set: &[Change]) -> Result<usize> {
        self.start(set)?;
        if let Some(site) = self.sites.last_mut() {
            site.wait(&mut self.kernel, &mut self.generator)?;
        }
        Ok(self.sites.len() - 1)
    }

    /// Finds the highest rate at which a daemon with default settings keeps up.
    ///
    /// # Errors
    /// As [`Site::load`].
    pub fn find_most(&mut self) -> Result<()> {
        let (ms, precision) = if self.options.quick { (250, 0.2) } else { (400, 0.1) };
        let search = Search { start: 60_000.0, step: 1.5, precision, trials_max: 10 };
        let found = search.run(|rate| {
            let trial = self.load(0, (rate, Duration::from_millis(ms), Timed::Passed))?;
            Ok(((), trial.answered() > 0.999 && trial.us(0.99) < GROWING_US))
        })?;
        self.most = found.rate.max(MOST_MIN);
        Ok(())
    }

    /// One daemon's part of a round; with a log, redirects are timed as well.
    ///
    /// # Errors
    /// As [`Site::load`].
    pub fn measure(&mut self, place: usize, log: Option<&mut Log>) -> Result<Measured> {
        let (calm, flood) = if self.options.quick { (300, 700) } else { (500, 1_200) };
        let (calm, flood) = (Duration::from_millis(calm), Duration::from_millis(flood));
        let steady = self.load(place, (STEADY * self.most, calm, Timed::Passed))?;
        let redirects = match &log {
            Some(_) => Some(self.load(place, (STEADY * self.most, calm, Timed::Redirects))?),
            None => None,
        };
        let avalanche = self.load(place, (AVALANCHE * self.most, flood, Timed::Passed))?;
        if let (Some(log), Some(redirects)) = (log, redirects) {
            log.redirects.add(&redirects.latency)?;
            log.steady.add(&steady.latency)?;
            log.avalanche.add(&avalanche.latency)?;
        }
        Ok(Measured {
            in_time: avalanche.in_time(),
            sent: avalanche.sent(),
            answered: avalanche.answered(),
            redirected: avalanche.redirected(),
            p99_us: steady.us(0.99),
            p50_us: steady.us(0.5),
        })
    }

    fn load(&mut self, place: usize, load: (f64, Duration, Timed)) -> Result<Trial> {
        let Some(site) = self.sites.get_mut(place) else { bail!("no daemon at {place}") };
        site.load(&mut self.kernel, &mut self.generator, &self.table, load)
    }

    /// The processors' accounts, and whose work is ours.
    ///
    /// # Errors
    /// When /proc can't be read.
    pub fn accounts(&self) -> Result<(Accounts, Vec<u32>)> {
        let groups: Vec<_> = self.sites.iter().filter_map(Site::group).collect();
        Ok((Accounts::read(&groups)?, groups))
    }
}
