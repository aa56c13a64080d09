//! Batches and medians.

use std::time::Instant;

/// Runs `one` so many times, and returns the nanoseconds that each took.
pub fn batch(times: u32, mut one: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..times {
        one();
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(times)
}

/// Returns the middle one of some figures, and NaN of none.
#[must_use]
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Runs rounds that yield one figure for each of several ways, and returns the median of each way. The first round warms up and does
/// not count.
///
/// # Errors
/// The first error of a round.
pub fn medians<const WAYS: usize, E>(
    rounds: usize,
    mut round: impl FnMut() -> Result<[f64; WAYS], E>,
) -> Result<[f64; WAYS], E> {
    let mut figures = [const { Vec::new() }; WAYS];
    for number in 0..=rounds {
        let once = round()?;
        if number > 0 {
            for (figures, figure) in figures.iter_mut().zip(once) {
                figures.push(figure);
            }
        }
    }
    Ok(figures.map(median))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_has_its_median_and_the_first_round_does_not_count() {
        let mut number = 0.0;
        let found = medians(3, || {
            number += 1.0;
            Ok::<_, ()>([number, if number < 2.0 { 1e9 } else { 7.0 }])
        });
        assert_eq!(found, Ok([3.0, 7.0]));
    }
}
