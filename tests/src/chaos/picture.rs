//! One run as a picture: final blocks over time, how far each validator is, faults marked.

use std::fmt::Write as _;

use super::history::History;
use super::outcome::Outcome;

const WIDTH: f64 = 1100.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 60.0;
/// Heights of the bars and of the lines below them.
const BARS: f64 = 150.0;
const LINES: f64 = 150.0;
const GAP: f64 = 40.0;
/// Blocks are counted in steps of this.
const STEP_MS: u64 = 250;
/// A colour for each validator.
const COLOURS: [&str; 16] = [
    "#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad", "#d68910", "#117a65", "#7b241c", "#5d6d7e",
    "#b7950b", "#6c3483", "#16a085", "#e74c3c", "#2c3e50", "#a04000", "#7d3c98", "#229954",
];

/// Draws a run as SVG.
pub fn picture(outcome: &Outcome, history: &History) -> String {
    let commits = history.commits();
    let end_ms = history.end_ms.max(1);
    let x = |at_ms: u64| LEFT + (WIDTH - LEFT - RIGHT) * (at_ms.min(end_ms) as f64 / end_ms as f64);
    let bottom = TOP + BARS + GAP + LINES;
    let faults_at = bottom + 40.0;
    let rows = history.faults.len().min(24) as f64;
    let height = faults_at + 18.0 * rows + 20.0;
    let mut svg = String::new();
    let mut put = |text: String| {
        svg.push_str(&text);
        svg.push('\n');
    };
    put(format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0}" font-family="sans-serif" font-size="12">"#
    ));
    put(r##"<rect width="100%" height="100%" fill="#ffffff"/>"##.into());
    put(format!(
        r#"<text x="{LEFT}" y="22" font-size="16" font-weight="bold">{}: {}</text>"#,
        escape(&outcome.name),
        if outcome.held {
            "every checker held"
        } else {
            "FAILED"
        }
    ));
    put(format!(
        r##"<text x="{LEFT}" y="42" fill="#555555">{}; longest pause {} ms, slowest recovery {} ms, progress in {} of {} windows</text>"##,
        escape(&outcome.about),
        outcome.longest_pause_ms,
        outcome.recovery_ms_max,
        outcome.windows_with_progress,
        outcome.windows_expected
    ));

    // Behind everything: when no quorum was connected, and when each fault lasted.
    for (from, to) in &outcome.windows.split_ms {
        put(band(x(*from), x(*to), TOP, bottom - TOP, "#999999", 0.35));
    }
    for fault in history.faults.values() {
        let to = fault.ended_ms.unwrap_or(end_ms);
        let width = (x(to) - x(fault.began_ms)).max(1.5);
        put(band(
            x(fault.began_ms),
            x(fault.began_ms) + width,
            TOP,
            bottom - TOP,
            "#e67e22",
            0.18,
        ));
    }

    // Blocks a second.
    let steps = (end_ms / STEP_MS + 1) as usize;
    let mut counts = vec![0_u64; steps];
    let mut before = commits.first().map_or(0, |(_, height)| height.0);
    for (at, height) in &commits {
        if let Some(count) = counts.get_mut((at / STEP_MS) as usize) {
            *count += height.0 - before;
        }
        before = height.0;
    }
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    for (step, count) in counts.iter().enumerate() {
        let tall = BARS * *count as f64 / most as f64;
        let from = x(step as u64 * STEP_MS);
        let width = x((step as u64 + 1) * STEP_MS) - from;
        put(format!(
            r##"<rect x="{from:.1}" y="{:.1}" width="{:.1}" height="{tall:.1}" fill="#34495e"/>"##,
            TOP + BARS - tall,
            (width - 0.5).max(0.2)
        ));
    }
    put(format!(
        r#"<text x="{:.0}" y="{:.0}" text-anchor="end">{}/s</text><text x="{:.0}" y="{:.0}" text-anchor="end">0</text>"#,
        LEFT - 6.0,
        TOP + 10.0,
        most * 1000 / STEP_MS,
        LEFT - 6.0,
        TOP + BARS
    ));
    put(format!(
        r#"<text x="{LEFT}" y="{:.0}">final blocks a second, and below the final height at each validator</text>"#,
        TOP + BARS + 16.0
    ));

    // How far each validator is.
    let low = history
        .readings
        .iter()
        .map(|r| r.committed.0)
        .filter(|h| *h > 0)
        .min()
        .unwrap_or(0);
    let high = commits
        .last()
        .map_or(1, |(_, height)| height.0)
        .max(low + 1);
    let y =
        |height: u64| bottom - LINES * (height.saturating_sub(low)) as f64 / (high - low) as f64;
    let mut validators: Vec<u16> = history.readings.iter().map(|r| r.validator).collect();
    validators.sort_unstable();
    validators.dedup();
    for (place, validator) in validators.iter().enumerate() {
        let colour = COLOURS[usize::from(*validator) % COLOURS.len()];
        let mut points = String::new();
        let own = history
            .readings
            .iter()
            .filter(|r| r.validator == *validator && r.at_ms <= end_ms);
        for reading in own {
            // Writing to a string does not fail.
            let _ = write!(
                points,
                "{:.1},{:.1} ",
                x(reading.at_ms),
                y(reading.committed.0)
            );
        }
        put(format!(
            r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="1.3"/>"#,
            points.trim_end()
        ));
        put(format!(
            r#"<text x="{:.0}" y="{:.0}" fill="{colour}">validator {validator}</text>"#,
            LEFT + 6.0,
            bottom - LINES + 14.0 + 14.0 * place as f64
        ));
    }
    for height in [low, high] {
        put(format!(
            r#"<text x="{:.0}" y="{:.1}" text-anchor="end">{height}</text>"#,
            LEFT - 6.0,
            y(height) + 4.0
        ));
    }

    // The axis and the faults in words.
    let tick_ms: u64 = [1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 300_000]
        .into_iter()
        .find(|tick| end_ms / tick <= 20)
        .unwrap_or(600_000);
    for at in (0..=end_ms).step_by(tick_ms as usize) {
        put(format!(
            r##"<line x1="{0:.1}" x2="{0:.1}" y1="{bottom}" y2="{1}" stroke="#333333"/><text x="{0:.1}" y="{2}" text-anchor="middle">{3} s</text>"##,
            x(at),
            bottom + 4.0,
            bottom + 18.0,
            at / 1000
        ));
    }
    for (row, fault) in history.faults.values().take(24).enumerate() {
        let ended = fault.ended_ms.map_or("never".into(), |end| {
            format!("{:.1} s", end as f64 / 1000.0)
        });
        put(format!(
            r##"<text x="{LEFT}" y="{:.0}" fill="#a04000">{:.1} s to {ended}: {}</text>"##,
            faults_at + 18.0 * row as f64,
            fault.began_ms as f64 / 1000.0,
            escape(&fault.what)
        ));
    }
    put("</svg>".into());
    svg
}

fn band(from: f64, to: f64, y: f64, height: f64, colour: &str, opacity: f64) -> String {
    format!(
        r#"<rect x="{from:.1}" y="{y:.0}" width="{:.1}" height="{height:.0}" fill="{colour}" opacity="{opacity}"/>"#,
        to - from
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
