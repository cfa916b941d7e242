//! The load of servers over time: bars for the terminal, and a picture (SVG).

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::scene::Load;

/// Columns of the longest bar.
const BAR: f64 = 40.0;
/// The picture, and its plot inside, in pixels.
const SIZE: (f64, f64) = (760.0, 360.0);
const PLOT: (f64, f64, f64, f64) = (60.0, 40.0, 640.0, 260.0);
/// One for each server, told apart by those who see no colours well (Okabe, Ito).
const COLOURS: [&str; 3] = ["#d55e00", "#0072b2", "#009e73"];

/// What was seen, and what happened.
#[derive(Debug, Default)]
pub(super) struct Course {
    names: Vec<String>,
    /// Seconds, and each server's units a second.
    seen: Vec<(f64, Vec<f64>)>,
    marks: Vec<(f64, String)>,
}

/// A line for each server: a bar and its figures.
pub(super) fn bars(load: &Load) -> Vec<(String, String)> {
    let most = load.servers.iter().map(|server| server.rate).fold(1.0, f64::max);
    let bar = |server: &crate::scene::ServerLoad| {
        let length = (server.rate / most * BAR).round() as usize;
        format!(
            "{:<40}  {:>6.1} units/s  {:>3} clients  {:>2} watchers",
            "█".repeat(length),
            server.rate,
            server.clients,
            server.watchers
        )
    };
    load.servers.iter().map(|server| (server.name.clone(), bar(server))).collect()
}

impl Course {
    pub(super) fn new(names: &[&str]) -> Self {
        Self { names: names.iter().map(|name| (*name).to_owned()).collect(), ..Self::default() }
    }

    /// Notes the load at a time.
    pub(super) fn note(&mut self, at_s: f64, load: &Load) {
        let rates = self.names.iter().map(|name| load.of(name).rate).collect();
        self.seen.push((at_s, rates));
    }

    /// Notes that something happened.
    pub(super) fn mark(&mut self, at_s: f64, what: &str) {
        self.marks.push((at_s, what.to_owned()));
    }

    /// Writes the picture into a folder.
    pub(super) fn write(&self, folder: &Path) -> Result<PathBuf> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let file = folder.join("load.svg");
        std::fs::write(&file, self.svg())
            .with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
    }

    fn svg(&self) -> String {
        let (left, top, width, height) = PLOT;
        let end_s = self.seen.last().map_or(1.0, |(at_s, _)| at_s.max(1.0));
        let rates = self.seen.iter().flat_map(|(_, rates)| rates);
        let most = rates.copied().fold(1.0, f64::max) * 1.1;
        let x = |at_s: f64| left + at_s / end_s * width;
        let y = |rate: f64| top + height - rate / most * height;
        let (across, down) = SIZE;
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {across} {down}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
             <text x=\"{left}\" y=\"20\" font-size=\"15\">Load of each home, units a second \
             (one is what a REGISTER costs)</text>\n"
        );
        // Writing to a String can't fail.
        for step in 0..=4 {
            let rate = most / 4.0 * f64::from(step);
            let at = y(rate);
            let _ = writeln!(
                out,
                "<line x1=\"{left}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>\
                 <text x=\"{label}\" y=\"{at:.1}\" text-anchor=\"end\">{rate:.0}</text>",
                right = left + width,
                label = left - 6.0
            );
        }
        let _ = writeln!(
            out,
            "<text x=\"{left}\" y=\"{below}\">0 s</text><text x=\"{right}\" y=\"{below}\" \
             text-anchor=\"end\">{end_s:.0} s</text>",
            right = left + width,
            below = top + height + 18.0
        );
        for (place, (at_s, what)) in self.marks.iter().enumerate() {
            let (at, line) = (x(*at_s), top + 14.0 + 16.0 * place as f64);
            let _ = writeln!(
                out,
                "<line x1=\"{at:.1}\" y1=\"{top}\" x2=\"{at:.1}\" y2=\"{bottom}\" stroke=\"#888\" \
                 stroke-dasharray=\"4 3\"/><text x=\"{text:.1}\" y=\"{line}\">{what}</text>",
                bottom = top + height,
                text = at + 4.0
            );
        }
        for (place, (name, colour)) in self.names.iter().zip(COLOURS).enumerate() {
            let rate = |rates: &[f64]| rates.get(place).copied().unwrap_or(0.0);
            let points = self.seen.iter();
            let points = points.map(|(at, rates)| format!("{:.1},{:.1}", x(*at), y(rate(rates))));
            let points = points.collect::<Vec<_>>().join(" ");
            let at = left + 80.0 * place as f64;
            let _ = writeln!(
                out,
                "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" \
                 stroke-width=\"2.5\"/><rect x=\"{at}\" y=\"{key}\" width=\"14\" height=\"4\" \
                 fill=\"{colour}\"/><text x=\"{text}\" y=\"{base}\">home {name}</text>",
                key = top + height + 38.0,
                text = at + 20.0,
                base = top + height + 45.0
            );
        }
        out.push_str("</svg>\n");
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::ServerLoad;

    fn load(rates: [f64; 2]) -> Load {
        let server =
            |name: &str, rate| ServerLoad { name: name.into(), rate, ..Default::default() };
        Load { imbalance: None, servers: vec![server("a", rates[0]), server("b", rates[1])] }
    }

    #[test]
    fn the_longest_bar_is_that_of_the_hottest() {
        let lines = bars(&load([80.0, 20.0]));
        let lengths: Vec<_> = lines.iter().map(|(_, bar)| bar.matches('█').count()).collect();
        assert_eq!(lengths, [40, 10]);
        assert_eq!(bars(&load([0.0, 0.0]))[0].1.matches('█').count(), 0);
    }

    #[test]
    fn the_picture_has_a_line_for_each_server_and_what_happened() {
        let mut course = Course::new(&["a", "b"]);
        course.note(0.0, &load([80.0, 0.0]));
        course.note(10.0, &load([40.0, 40.0]));
        course.mark(5.0, "moves");
        let svg = course.svg();
        assert_eq!(svg.matches("<polyline").count(), 2, "{svg}");
        assert!(svg.contains("points=\"60.0,63.6 700.0,181.8\""), "{svg}");
        assert!(svg.contains(">moves<") && svg.ends_with("</svg>\n"));
    }
}
