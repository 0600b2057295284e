// SPDX-License-Identifier: GPL-2.0

//! What the bytes of a file say: which file, which place in it, which version.
//!
//! Every aligned word of eight bytes holds the number of its file, a version and its own
//! place, so that a wrong word tells where it comes from.

use anyhow::{bail, Result};

const WORD: u64 = 8;

/// Files are told apart by a byte, versions by three; both begin again when they are used up.
fn word(file: u64, version: u64, offset: u64) -> [u8; 8] {
    ((file & 0xff) << 56 | (version & 0xff_ffff) << 32 | (offset / WORD) & 0xffff_ffff)
        .to_be_bytes()
}

/// Fills `bytes`, which lie at `offset` of `file`, with what that version has there.
pub(crate) fn fill(bytes: &mut [u8], file: u64, version: u64, offset: u64) {
    let mut place = offset;
    let mut rest = bytes;
    while !rest.is_empty() {
        let word = word(file, version, place);
        let skip = (place % WORD) as usize;
        let count = rest.len().min(word.len() - skip);
        let (now, later) = rest.split_at_mut(count);
        now.copy_from_slice(&word[skip..skip + count]);
        place += count as u64;
        rest = later;
    }
}

/// New bytes of one version.
pub(crate) fn bytes(file: u64, version: u64, offset: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    fill(&mut bytes, file, version, offset);
    bytes
}

/// The first difference between what was wanted and what was found at `offset`.
pub(crate) struct Mismatch {
    /// Where in the file.
    pub offset: u64,
    text: String,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// Looks for the first byte in which `found` is not `wanted`.
pub(crate) fn difference(wanted: &[u8], found: &[u8], offset: u64) -> Option<Mismatch> {
    if wanted == found {
        return None;
    }
    if wanted.len() != found.len() {
        let text = format!(
            "{} bytes at {offset} where there are {}",
            found.len(),
            wanted.len()
        );
        return Some(Mismatch { offset, text });
    }
    let bad = |i: &usize| wanted[*i] != found[*i];
    let first = (0..wanted.len()).find(bad)?;
    let count = (0..wanted.len()).filter(bad).count();
    let last = (0..wanted.len()).rev().find(bad)?;
    let at = offset + first as u64;
    let text = format!(
        "{count} bytes differ between {at} and {} (block {} to {}): expected {}, found {}",
        offset + last as u64,
        at / 4096,
        (offset + last as u64) / 4096,
        describe(wanted, first, at),
        describe(found, first, at),
    );
    Some(Mismatch { offset: at, text })
}

/// An error which tells the first difference.
pub(crate) fn same(what: &str, wanted: &[u8], found: &[u8], offset: u64) -> Result<()> {
    match difference(wanted, found, offset) {
        Some(mismatch) => bail!("{what}: {mismatch}"),
        None => Ok(()),
    }
}

/// What the word around index `i` of `bytes`, which is at `offset` of the file, says.
fn describe(bytes: &[u8], i: usize, offset: u64) -> String {
    let begin = i.saturating_sub((offset % WORD) as usize);
    let Some(Ok(raw)) = bytes.get(begin..begin + 8).map(<[u8; 8]>::try_from) else {
        return format!("{:02x?}", &bytes[i..bytes.len().min(i + 8)]);
    };
    let word = u64::from_be_bytes(raw);
    if word == 0 {
        return "zeros".into();
    }
    let (file, version, place) = (
        word >> 56,
        word >> 32 & 0xff_ffff,
        (word & 0xffff_ffff) * WORD,
    );
    if place == offset - offset % WORD {
        format!("file {file} version {version}")
    } else {
        format!("{raw:02x?} (file {file} version {version} of offset {place}?)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_piece_is_part_of_the_whole() {
        let whole = bytes(3, 70_000, 0, 100);
        for begin in 0..100 {
            for end in begin..100 {
                assert_eq!(
                    bytes(3, 70_000, begin as u64, end - begin),
                    whole[begin..end]
                );
            }
        }
    }

    #[test]
    fn a_difference_names_place_and_versions() {
        let wanted = bytes(1, 2, 4096, 8192);
        let mut found = wanted.clone();
        assert!(difference(&wanted, &found, 4096).is_none());
        fill(&mut found[4096..4196], 1, 1, 8192);
        let mismatch = difference(&wanted, &found, 4096).unwrap();
        assert_eq!(mismatch.offset, 8192 + 3);
        let text = mismatch.to_string();
        assert!(text.contains("expected file 1 version 2"), "{text}");
        assert!(text.contains("found file 1 version 1"), "{text}");
    }

    #[test]
    fn zeros_are_told() {
        let wanted = bytes(1, 2, 0, 64);
        let text = difference(&wanted, &[0; 64], 0).unwrap().to_string();
        assert!(text.contains("found zeros"), "{text}");
    }
}
