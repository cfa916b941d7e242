//! `show`: the percentiles of histogram logs, two runs side by side, and what a report says.

use std::{fmt::Write as _, path::Path};

use anyhow::Result;
use hdrhistogram::Histogram;

use crate::hlog;

const QUANTILES: [(&str, f64); 8] = [
    ("p10", 0.1),
    ("p50", 0.5),
    ("p75", 0.75),
    ("p90", 0.9),
    ("p99", 0.99),
    ("p99.9", 0.999),
    ("p99.99", 0.9999),
    ("max", 1.0),
];

/// The percentiles of one log, or of two beside each other with the ratio of the second to the
/// first, in us.
///
/// # Errors
/// When a log can't be read.
pub fn show(first: &Path, second: Option<&Path>) -> Result<String> {
    let mut text = String::new();
    let logs = hlog::read(first)?;
    let Some(second) = second else {
        writeln!(text, "{}", first.display())?;
        for (tag, histogram) in &logs {
            writeln!(text, "{}: {} values, us", named(tag), histogram.len())?;
            for (name, quantile) in QUANTILES {
                writeln!(text, "  {name:<8}{:>14.2}", us(histogram, quantile))?;
            }
        }
        return Ok(text);
    };
    let others = hlog::read(second)?;
    writeln!(text, "A {}\nB {}", first.display(), second.display())?;
    for (index, (tag, a)) in logs.iter().enumerate() {
        let same = others.iter().find(|(other, _)| other == tag);
        // Two logs of one histogram each are compared whatever they are called.
        let Some((other, b)) = same.or(if logs.len() == 1 { others.get(index) } else { None })
        else {
            writeln!(text, "{}: only in A", named(tag))?;
            continue;
        };
        writeln!(
            text,
            "{} ({} values) / {} ({} values), us",
            named(tag),
            a.len(),
            named(other),
            b.len()
        )?;
        writeln!(text, "  {:<8}{:>14}{:>14}{:>10}", "", "A", "B", "B/A")?;
        for (name, quantile) in QUANTILES {
            let (a, b) = (us(a, quantile), us(b, quantile));
            writeln!(text, "  {name:<8}{a:>14.2}{b:>14.2}{:>10.2}", b / a.max(1e-3))?;
        }
    }
    for (tag, _) in others.iter().filter(|(tag, _)| logs.iter().all(|(own, _)| own != tag)) {
        if logs.len() > 1 {
            writeln!(text, "{}: only in B", named(tag))?;
        }
    }
    Ok(text)
}

fn named(tag: &str) -> &str {
    if tag.is_empty() { "(no tag)" } else { tag }
}

fn us(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    histogram.value_at_quantile(quantile) as f64 / 1e3
}
