//! Rows of figures: as JSON for machines, as aligned lines for people.

use std::path::Path;

use anyhow::Context;
use serde::Serialize;

/// Latencies in milliseconds, sorted.
#[derive(Debug, Default)]
pub(super) struct Latencies(Vec<f64>);

impl Latencies {
    /// Of pairs of times in microseconds.
    pub(super) fn between(pairs: impl Iterator<Item = (u64, u64)>) -> Self {
        let mut values: Vec<f64> = pairs
            .map(|(from, to)| to.saturating_sub(from) as f64 / 1e3)
            .collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// The nearest rank; `None` without any.
    pub(super) fn percentile(&self, percent: usize) -> Option<f64> {
        let rank = (self.0.len() * percent).div_ceil(100).saturating_sub(1);
        self.0.get(rank).map(|value| round(*value))
    }
}

/// Three decimals: no figure here is more exact.
pub(super) fn round(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// Writes all rows as one JSON array.
pub(super) fn write_json(path: Option<&Path>, rows: &[impl Serialize]) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    let text = serde_json::to_string_pretty(rows)? + "\n";
    std::fs::write(path, text).with_context(|| {
        format!(
            "[CV-CLI-096] cannot write {}; check its rights",
            path.display()
        )
    })
}

/// A line of columns, each right-aligned under its title.
pub(super) fn line(cells: &[(&str, String)]) -> String {
    let cells = cells
        .iter()
        .map(|(title, cell)| format!("{cell:>width$}", width = width(title)));
    cells.collect::<Vec<_>>().join("  ")
}

/// The line of titles.
pub(super) fn titles(cells: &[(&str, String)]) -> String {
    let titles = cells
        .iter()
        .map(|(title, _)| format!("{title:>width$}", width = width(title)));
    titles.collect::<Vec<_>>().join("  ")
}

/// What a figure looks like when it may be missing.
pub(super) fn or_dash(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{value:.1}"))
}

fn width(title: &str) -> usize {
    title.len().max(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let latencies = Latencies::between((1..=200).rev().map(|ms| (5_000, 5_000 + ms * 1_000)));
        assert_eq!(latencies.percentile(50), Some(100.0));
        assert_eq!(latencies.percentile(99), Some(198.0));
        assert_eq!(
            Latencies::between([(0, 7_000)].into_iter()).percentile(99),
            Some(7.0)
        );
        assert_eq!(Latencies::default().percentile(50), None);
    }

    #[test]
    fn columns_line_up() {
        let cells = [("a", "1".to_owned()), ("a longer title", "2".to_owned())];
        assert_eq!(line(&cells).len(), titles(&cells).len());
    }
}
