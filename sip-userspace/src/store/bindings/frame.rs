//! Records in a file: `mark (4 bytes) length (4) CRC-32 of length and record (4) record`.
//!
//! The mark is where reading goes on behind damage; the sum says what is whole.

/// What a record begins with.
const MARK: [u8; 4] = *b"\xf1HWb";
/// Bytes before the record.
pub(super) const HEAD: usize = 12;
/// Longest record: far above any client's, so that a damaged length is not believed.
const RECORD_MAX: usize = 1 << 20;

/// Appends a record with its frame.
pub fn push(out: &mut Vec<u8>, record: &[u8]) {
    let len = u32::try_from(record.len()).unwrap_or(u32::MAX).to_le_bytes();
    out.extend_from_slice(&MARK);
    out.extend_from_slice(&len);
    out.extend_from_slice(&sum(len, record).to_le_bytes());
    out.extend_from_slice(record);
}

fn sum(len: [u8; 4], record: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&len);
    hasher.update(record);
    hasher.finalize()
}

/// A stretch of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A whole record.
    Record(&'a [u8]),
    /// So many bytes that are none, with a whole record behind them.
    Damage(usize),
    /// So many bytes that are none, to the end.
    Torn(usize),
}

/// The pieces of a text.
pub(super) struct Pieces<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let text = self.0;
        if text.is_empty() {
            return None;
        }
        if let Some((record, rest)) = first(text) {
            self.0 = rest;
            return Some(Piece::Record(record));
        }
        let behind = text.get(1..).unwrap_or_default();
        for at in memchr::memmem::find_iter(behind, &MARK) {
            let at = at.saturating_add(1);
            let rest = text.get(at..).unwrap_or_default();
            if first(rest).is_some() {
                self.0 = rest;
                return Some(Piece::Damage(at));
            }
        }
        self.0 = &[];
        Some(Piece::Torn(text.len()))
    }
}

/// The record that a text begins with, and what follows it.
fn first(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mark, rest) = text.split_first_chunk::<4>()?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let (expected, rest) = rest.split_first_chunk::<4>()?;
    let bytes = u32::from_le_bytes(*len) as usize;
    if *mark != MARK || bytes > RECORD_MAX {
        return None;
    }
    let (record, rest) = rest.split_at_checked(bytes)?;
    (sum(*len, record).to_le_bytes() == *expected).then_some((record, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_costs_what_it_hits() {
        let mut text = Vec::new();
        for record in [&b"one"[..], b"", b"three", &MARK] {
            push(&mut text, record);
        }
        assert_eq!(text.len(), 4 * HEAD + 12);
        let pieces =
            |text: &[u8]| Pieces(text).map(|piece| format!("{piece:?}")).collect::<Vec<_>>();
        let whole = pieces(&text);
        assert_eq!(whole.len(), 4);
        for at in 0..text.len() {
            let mut bad = text.clone();
            bad[at] ^= 0x10;
            let got = pieces(&bad);
            let kept: Vec<_> = got.iter().filter(|piece| piece.starts_with("Record")).collect();
            assert_eq!(kept.len(), 3, "{at} {got:?}");
            let last = at >= text.len() - HEAD - 4;
            let expected = if last { "Torn" } else { "Damage" };
            assert!(got.iter().any(|piece| piece.starts_with(expected)), "{at} {got:?}");
        }
        for cut in 0..text.len() {
            let got = pieces(&text[..cut]);
            let kept = got.iter().filter(|piece| piece.starts_with("Record")).count();
            assert!(
                whole.starts_with(&whole[..kept]) && !got.iter().any(|it| it.starts_with("Damage"))
            );
        }
    }
}
