// SPDX-License-Identifier: GPL-2.0
//! Units of file data that say what they are: file, place, version, and a fill that follows from these.

/// The size of a unit. A file's sizes and what is written to it are whole units.
pub(crate) const UNIT: u64 = 512;

const MAGIC: u64 = 0x7562_7463_7570_6f77;

/// Fills `unit` with what belongs there.
pub(crate) fn fill(unit: &mut [u8], file: u32, index: u64, version: u64) {
    let mut state = MAGIC ^ u64::from(file) << 48 ^ index << 24 ^ version;
    for (place, word) in unit.chunks_exact_mut(8).enumerate() {
        let value = match place {
            0 => MAGIC,
            1 => file.into(),
            2 => index,
            3 => version,
            _ => next(&mut state),
        };
        word.copy_from_slice(&value.to_le_bytes());
    }
}

/// The version of what is in a unit; 0 if it is zeros, or else what is wrong with it.
pub(crate) fn version(unit: &[u8], file: u32, index: u64) -> Result<u64, String> {
    if unit.iter().all(|&byte| byte == 0) {
        return Ok(0);
    }
    let word =
        |place: usize| u64::from_le_bytes(unit[place * 8..][..8].try_into().unwrap_or_default());
    if word(0) != MAGIC {
        return Err("something that nobody wrote".into());
    }
    if (word(1), word(2)) != (file.into(), index) {
        return Err(format!(
            "what belongs to unit {} of file {}",
            word(2),
            word(1)
        ));
    }
    let mut expected = [0; UNIT as usize];
    fill(&mut expected, file, index, word(3));
    match expected[..] == *unit {
        true => Ok(word(3)),
        false => Err(format!("a damaged version {}", word(3))),
    }
}

/// xorshift64.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_knows_its_place_and_shows_damage() {
        let mut unit = [0; UNIT as usize];
        assert_eq!(version(&unit, 3, 7), Ok(0));
        fill(&mut unit, 3, 7, 9);
        assert_eq!(version(&unit, 3, 7), Ok(9));
        assert!(version(&unit, 3, 8).is_err());
        assert!(version(&unit, 4, 7).is_err());
        for place in 0..unit.len() {
            let mut damaged = unit;
            damaged[place] ^= 1;
            assert!(version(&damaged, 3, 7).is_err(), "byte {place}");
        }
    }
}
