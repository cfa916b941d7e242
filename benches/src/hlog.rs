//! Histogram logs: one `.hlog` file a latency (V2, compressed), readable by every HdrHistogram.

use std::{
    fs::{self, File},
    io::BufWriter,
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, anyhow};
use hdrhistogram::{
    Histogram,
    serialization::{
        Deserializer, V2DeflateSerializer,
        interval_log::{IntervalLogIterator, IntervalLogWriterBuilder, LogEntry, Tag},
    },
};

use crate::load::histogram;

/// What the largest values of a log are divided by for reading: ns to ms.
const NS_A_MS: f64 = 1e6;

/// Writes one interval a histogram, each with its tag (no blanks or commas).
///
/// # Errors
/// When the file can't be written, or a tag is not one.
pub fn write(path: &Path, histograms: &[(String, &Histogram<u64>)]) -> Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    let mut file = BufWriter::new(File::create(path).with_context(cannot)?);
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("latencies in ns")
        .with_start_time(SystemTime::now())
        .with_max_value_divisor(NS_A_MS)
        .begin_log_with(&mut file, &mut serializer)
        .with_context(cannot)?;
    for (second, (tag, histogram)) in histograms.iter().enumerate() {
        let tag = Tag::new(tag).with_context(|| format!("{tag:?} is no tag"))?;
        let start = Duration::from_secs(second as u64);
        log.write_histogram(histogram, start, Duration::from_secs(1), Some(tag))
            .map_err(|error| anyhow!("{}: {error:?}", cannot()))?;
    }
    Ok(())
}

/// The histograms of a log, those of one tag added up, in the order in which they first stand.
///
/// # Errors
/// When the file can't be read, or is no histogram log.
pub fn read(path: &Path) -> Result<Vec<(String, Histogram<u64>)>> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut all: Vec<(String, Histogram<u64>)> = Vec::new();
    let mut deserializer = Deserializer::new();
    for entry in IntervalLogIterator::new(&bytes) {
        let entry =
            entry.map_err(|error| anyhow!("{} is no histogram log: {error:?}", path.display()))?;
        let LogEntry::Interval(interval) = entry else { continue };
        let tag = interval.tag().map_or("", |tag| tag.as_str()).to_owned();
        // The text is the base64 form of what the serializer wrote.
        let bytes = base64(interval.encoded_histogram())
            .with_context(|| format!("{}: a histogram is not base64", path.display()))?;
        let one: Histogram<u64> = deserializer
            .deserialize(&mut bytes.as_slice())
            .map_err(|error| anyhow!("{}: a histogram is broken: {error:?}", path.display()))?;
        match all.iter_mut().find(|(name, _)| *name == tag) {
            Some((_, sum)) => sum.add(&one).map_err(|error| anyhow!("{error:?}"))?,
            None => {
                let mut sum = histogram()?;
                sum.auto(true);
                sum.add(&one).map_err(|error| anyhow!("{error:?}"))?;
                all.push((tag, sum));
            }
        }
    }
    if all.is_empty() {
        return Err(anyhow!("{} holds no histogram", path.display()));
    }
    Ok(all)
}

/// The bytes behind a base64 text, standard alphabet; `None` if it is none.
fn base64(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut held) = (Vec::with_capacity(text.len()), 0u32, 0);
    for letter in text.trim_end_matches('=').bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read_as_it_was_written_and_rounds_are_added_up() {
        let path = std::env::temp_dir().join(format!("homeward-{}.hlog", std::process::id()));
        let mut one = histogram().unwrap();
        one.record_n(1_000, 990).unwrap();
        one.record_n(2_000_000, 10).unwrap();
        let tags = ["a", "b", "a"].map(|tag| (tag.to_owned(), &one));
        write(&path, &tags).unwrap();
        let back = read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(back.len(), 2);
        assert_eq!(back[0].1.len(), 2_000);
        assert_eq!(back[1].1.len(), 1_000);
        assert_eq!(back[0].1.value_at_quantile(0.5), one.value_at_quantile(0.5));
        assert_eq!(back[0].1.max(), one.max());
    }

    #[test]
    fn what_is_no_log_is_refused() {
        let path = std::env::temp_dir().join(format!("homeward-{}.txt", std::process::id()));
        fs::write(&path, "no log\n").unwrap();
        let error = read(&path).unwrap_err();
        fs::remove_file(&path).unwrap();
        assert!(format!("{error:#}").contains("no histogram log"), "{error:#}");
    }
}
