//! `Range` headers, as RFC 9110 §14 has them.

use std::ops::Range;

/// More ranges than this in one request are a mistake or an attack (RFC 9110 §14.2).
const MOST: usize = 16;

/// What a `Range` header asks of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// All of it: there is no header, or one that must be ignored.
    Whole,
    /// These ranges, cut to the file's end, in the order asked.
    Parts(Vec<Range<u64>>),
    /// Nothing that the file has: 416.
    Unsatisfiable,
}

/// Reads a `Range` header for a file of `size` bytes. A header that can't be read is ignored, as the RFC
/// wants; an end past the file is cut, a suffix longer than the file is all of it.
pub fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some(header) = header else { return Wanted::Whole };
    let Some((unit, list)) = header.split_once('=') else { return Wanted::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Wanted::Whole;
    }
    let mut parts = Vec::new();
    let mut count = 0;
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        count += 1;
        match range(part, size) {
            None => return Wanted::Whole,
            Some(range) if range.is_empty() => {}
            Some(range) => parts.push(range),
        }
    }
    match (count, parts.is_empty()) {
        (0, _) => Wanted::Whole,
        (_, true) => Wanted::Unsatisfiable,
        _ if count > MOST || overlap(&parts) => Wanted::Whole,
        _ => Wanted::Parts(parts),
    }
}

/// One range, cut to the file; empty if the file has none of it, `None` if it makes no sense.
fn range(part: &str, size: u64) -> Option<Range<u64>> {
    let (first, last) = part.split_once('-')?;
    let (first, last) = (first.trim(), last.trim());
    if first.is_empty() {
        let suffix = number(last)?;
        return Some(size.saturating_sub(suffix)..size);
    }
    let first = number(first)?;
    if last.is_empty() {
        return Some(first.min(size)..size);
    }
    let last = number(last)?;
    (first <= last).then(|| first.min(size)..last.saturating_add(1).min(size))
}

/// Digits only: `parse` alone would take a sign. More digits than fit mean "past the end".
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// Ranges that overlap make an answer longer than the file: a known way to waste a server's memory.
fn overlap(parts: &[Range<u64>]) -> bool {
    let mut sorted = parts.to_vec();
    sorted.sort_by_key(|part| part.start);
    sorted.windows(2).any(|pair| pair[0].end > pair[1].start)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, proptest};

    use super::*;

    fn one(range: Range<u64>) -> Wanted {
        Wanted::Parts(vec![range])
    }

    #[test]
    fn every_kind_of_range() {
        let cases: &[(&str, Wanted)] = &[
            ("bytes=0-0", one(0..1)),
            ("bytes=0-", one(0..1000)),
            ("bytes=999-", one(999..1000)),
            ("bytes=500-1999", one(500..1000)),
            ("bytes=500-99999999999999999999999", one(500..1000)),
            ("bytes=-1", one(999..1000)),
            ("bytes=-5000", one(0..1000)),
            ("BYTES = 3 - 4", one(3..5)),
            ("bytes=1000-", Wanted::Unsatisfiable),
            ("bytes=1000-2000", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=5-3", Wanted::Whole),
            ("bytes=+1-3", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=", Wanted::Whole),
            ("bytes", Wanted::Whole),
            ("items=0-3", Wanted::Whole),
            ("bytes=0-1,5-9,-10", Wanted::Parts(vec![0..2, 5..10, 990..1000])),
            ("bytes=0-1,5000-", one(0..2)),
            ("bytes=0-100,50-150", Wanted::Whole),
        ];
        for (header, expected) in cases {
            assert_eq!(&wanted(Some(header), 1000), expected, "{header}");
        }
        assert_eq!(wanted(None, 1000), Wanted::Whole);
        assert_eq!(wanted(Some("bytes=0-"), 0), Wanted::Unsatisfiable);
        let many: Vec<_> = (0..17).map(|n| format!("{0}-{0}", n * 2)).collect();
        assert_eq!(wanted(Some(&format!("bytes={}", many.join(","))), 1000), Wanted::Whole);
    }

    proptest! {
        #[test]
        fn never_past_the_end(header in "(bytes=)?[-0-9, ]{0,40}", size in 0u64..2000) {
            if let Wanted::Parts(parts) = wanted(Some(&header), size) {
                prop_assert!(parts.iter().all(|part| part.start < part.end && part.end <= size));
                prop_assert!(parts.iter().map(|part| part.end - part.start).sum::<u64>() <= size);
            }
        }
    }
}
