//! Which load to try next: double until it is too much, then close in.

/// Steps after which the most is known well enough: the last good and bad load differ by less.
const CLOSE_ENOUGH: f64 = 1.15;

/// The search for the most that is sustained.
#[derive(Debug)]
pub(super) struct Ramp {
    good: Option<f64>,
    bad: Option<f64>,
    steps_left: usize,
}

impl Ramp {
    pub(super) fn new(steps: usize) -> Self {
        Self {
            good: None,
            bad: None,
            steps_left: steps,
        }
    }

    /// Notes how a load went.
    pub(super) fn note(&mut self, load: f64, sustained: bool) {
        match sustained {
            true => self.good = Some(self.good.map_or(load, |good| good.max(load))),
            false => self.bad = Some(self.bad.map_or(load, |bad| bad.min(load))),
        }
    }

    /// The next load, `None` when the search is over.
    pub(super) fn next(&mut self) -> Option<f64> {
        self.steps_left = self.steps_left.checked_sub(1)?;
        match (self.good, self.bad) {
            (Some(good), Some(bad)) if bad < good * CLOSE_ENOUGH => None,
            (Some(good), Some(bad)) => Some((good * bad).sqrt().round()),
            (Some(good), None) => Some(good * 2.0),
            (None, Some(bad)) => Some((bad / 2.0).round()),
            (None, None) => None,
        }
    }

    /// The highest load that was sustained.
    pub(super) fn most(&self) -> Option<f64> {
        self.good
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(start: f64, capacity: f64) -> (Option<f64>, usize) {
        let mut ramp = Ramp::new(12);
        let (mut load, mut runs) = (Some(start), 0);
        while let Some(tried) = load {
            ramp.note(tried, tried <= capacity);
            runs += 1;
            load = ramp.next();
        }
        (ramp.most(), runs)
    }

    #[test]
    fn the_most_is_found_from_below_and_from_above() {
        for start in [100.0, 1_000.0, 50_000.0] {
            let (most, runs) = search(start, 7_000.0);
            let most = most.expect("found");
            assert!((7_000.0 / CLOSE_ENOUGH..=7_000.0).contains(&most), "{most}");
            assert!(runs <= 12, "{runs}");
        }
        assert_eq!(search(1e12, 1.0).0, None);
    }
}
