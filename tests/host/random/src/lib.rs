// SPDX-License-Identifier: GPL-2.0
//! Random numbers that a seed repeats: for the tests in the engine and those beside it.

/// A generator (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
    /// What it says before: eight bytes a number.
    told: std::vec::IntoIter<u64>,
}

impl Random {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Self {
            state: seed,
            told: Vec::new().into_iter(),
        }
    }

    /// The numbers that these bytes are, for a fuzzer that decides; then those of a seed.
    pub fn told(bytes: &[u8]) -> Self {
        let number = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).unwrap();
        let told: Vec<u64> = bytes.chunks_exact(8).map(number).collect();
        Self {
            told: told.into_iter(),
            ..Self::new(0)
        }
    }

    /// Any number.
    #[expect(
        clippy::should_implement_trait,
        reason = "there is no end that an iterator would tell"
    )]
    pub fn next(&mut self) -> u64 {
        if let Some(number) = self.told.next() {
            return number;
        }
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u64
    }

    /// True once in `n`.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of `choices`, which is not empty.
    pub fn choose<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// These seeds, and as many more as `RBTRFS_SOAK` in the environment says, times their number.
pub fn seeds(usual: std::ops::Range<u64>) -> impl Iterator<Item = u64> {
    let soak = std::env::var("RBTRFS_SOAK")
        .ok()
        .and_then(|text| text.parse::<u64>().ok());
    // Far from the seeds of others.
    let more = (usual.start + 1) * 1_000_000;
    let count = (usual.end - usual.start) * soak.unwrap_or(0);
    usual.chain(more..more + count)
}

#[test]
fn told_numbers_come_first() {
    let mut random = Random::told(&[1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1, 9]);
    assert_eq!((random.next(), random.next()), (1, (1 << 56) + 2));
    assert_eq!(random.next(), Random::new(0).next());
}
