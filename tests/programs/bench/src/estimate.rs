// SPDX-License-Identifier: GPL-2.0

//! What some rounds tell of very many.

use serde::Serialize;

/// Of some rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Estimate {
    pub(crate) median: f64,
    /// In nine of ten cases the median of very many rounds is in here. Few rounds do not tell.
    pub(crate) interval: Option<(f64, f64)>,
}

/// How often an interval may be wrong.
const WRONG: f64 = 0.1;

impl Estimate {
    /// `None` of nothing.
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            1 => values[middle],
            _ => (values[middle - 1] + values[middle]) / 2.0,
        };
        let interval = left_out(values.len())
            .map(|outside| (values[outside], values[values.len() - 1 - outside]));
        Some(Self { median, interval })
    }
}

/// How many of the lowest and of the highest of `n` values the interval may leave out, whatever their distribution:
/// the median is below the `k`th with the probability that fewer than `k` of `n` coins fall on one side.
fn left_out(n: usize) -> Option<usize> {
    // Of n choose k, and of all that is less.
    let (mut chance, mut below) = (0.5f64.powi(n as i32), 0.0);
    let mut left_out = None;
    for k in 0..n / 2 {
        below += chance;
        if 2.0 * below > WRONG {
            break;
        }
        left_out = Some(k);
        chance *= (n - k) as f64 / (k + 1) as f64;
    }
    left_out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(Estimate::of(vec![]), None);
        let of = |values: &[f64]| Estimate::of(values.to_vec()).unwrap();
        assert_eq!(of(&[3.0, 1.0, 9.0]).median, 3.0);
        assert_eq!(of(&[4.0, 1.0, 2.0, 9.0]).median, 3.0);
    }

    #[test]
    fn intervals() {
        // Of five, all five: it is wrong in one of sixteen. Of eight, the inner six: in one of fourteen.
        let outside: Vec<_> = [1, 4, 5, 7, 8, 11].map(left_out).into();
        let wanted = [None, None, Some(0), Some(0), Some(1), Some(2)];
        assert_eq!(outside, wanted);
        let of = |values: &[f64]| Estimate::of(values.to_vec()).unwrap().interval;
        assert_eq!(of(&[3.0, 1.0, 9.0, 2.0]), None);
        assert_eq!(of(&[3.0, 1.0, 9.0, 2.0, 2.0]), Some((1.0, 9.0)));
        let eight = [0.0, 8.0, 7.0, 3.0, 1.0, 9.0, 2.0, 2.0];
        assert_eq!(of(&eight), Some((1.0, 8.0)));
    }
}
