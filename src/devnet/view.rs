//! What the terminal shows: a page that is rewritten in place, or plain lines when nobody watches.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Stdout, Write, stdout};
use std::time::{Duration, Instant};

use conclave_sdk::api::AuctionView;
use crossterm::cursor::{MoveToColumn, MoveUp};
use crossterm::queue;
use crossterm::style::Print;
use crossterm::terminal::{Clear, ClearType, size};

use crate::duration::clock;
use crate::overview::{Names, Overview, auction_line, short};

/// Between two pages on a terminal, and two reports without one.
const PAGE_EVERY: Duration = Duration::from_secs(1);
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// Rates are taken over this long, so that they do not flicker.
const RATE_WINDOW: Duration = Duration::from_secs(10);
/// Auctions on the page.
const AUCTIONS_SHOWN: usize = 8;

/// What stays the same.
pub(crate) struct Frame {
    pub(crate) names: Names,
    /// Base URL of the HTTP API.
    pub(crate) api: String,
    /// Base URLs of the rollups' own APIs.
    pub(crate) rollup_apis: String,
    /// Where logs and files are.
    pub(crate) folder: String,
}

/// The view on a running devnet.
pub(crate) struct View {
    frame: Frame,
    start: Instant,
    out: Stdout,
    is_page: bool,
    /// Lines of the page on the screen.
    shown: u16,
    /// Overviews of the last while, oldest first.
    recent: Vec<Overview>,
    /// The state that each auction was last reported in.
    reported: BTreeMap<u64, String>,
}

impl View {
    pub(crate) fn new(frame: Frame) -> Self {
        let out = stdout();
        let mut view = Self {
            is_page: out.is_terminal(),
            frame,
            start: Instant::now(),
            out,
            shown: 0,
            recent: Vec::new(),
            reported: BTreeMap::new(),
        };
        view.say(&format!(
            "HTTP API at {}, rollups' APIs at {}",
            view.frame.api, view.frame.rollup_apis
        ));
        view.say(&format!("logs and files in {}", view.frame.folder));
        view
    }

    /// Between two updates.
    pub(crate) const fn period(&self) -> Duration {
        match self.is_page {
            true => PAGE_EVERY,
            false => REPORT_EVERY,
        }
    }

    /// Since the view began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Shows the chain as it is; `activity` says what each prover is doing.
    pub(crate) fn update(&mut self, overview: Overview, activity: &BTreeMap<String, String>) {
        self.recent
            .retain(|past| overview.at - past.at <= RATE_WINDOW);
        let lines = match self.is_page {
            true => self.page(&overview, activity),
            false => self.report(&overview),
        };
        self.recent.push(overview);
        // A terminal that cannot be written to is no reason to stop the devnet.
        let _ = match self.is_page {
            true => self.rewrite(&lines),
            false => self.append(&lines),
        };
    }

    /// Says something once, under what is shown.
    pub(crate) fn say(&mut self, text: &str) {
        self.shown = 0;
        // A terminal that cannot be written to is no reason to stop the devnet.
        let _ = self.append(&[text.to_owned()]);
    }

    fn page(&self, overview: &Overview, activity: &BTreeMap<String, String>) -> Vec<String> {
        let frame = &self.frame;
        let rates = self
            .recent
            .first()
            .and_then(|past| overview.rates_since(past));
        let mut lines = vec![
            format!(
                "conclave devnet  {}  chain {}  HTTP API {}  files {}",
                clock(self.elapsed()),
                short(&overview.status.chain),
                frame.api,
                frame.folder
            ),
            overview.chain_line(rates),
            String::new(),
        ];
        lines.extend(overview.rollup_lines());
        lines.push(String::new());
        lines.extend(overview.auction_lines(&frame.names, AUCTIONS_SHOWN));
        lines.push(String::new());
        lines.extend(overview.prover_lines(&frame.names, activity));
        lines.push(String::new());
        lines.push("Ctrl-C stops everything; the next start goes on from here.".into());
        lines
    }

    fn report(&mut self, overview: &Overview) -> Vec<String> {
        let rates = self
            .recent
            .first()
            .and_then(|past| overview.rates_since(past));
        let mut lines = Vec::new();
        for auction in overview.auctions.iter().rev() {
            if self.is_news(auction) {
                lines.push(format!(
                    "        {}",
                    auction_line(auction, &self.frame.names)
                ));
            }
        }
        let kept = &overview.auctions;
        self.reported
            .retain(|id, _| kept.iter().any(|auction| auction.id == *id));
        let names = &self.frame.names;
        lines.push(format!(
            "{:>6}  {}",
            clock(self.elapsed()),
            overview.chain_line(rates)
        ));
        lines.push(format!("        {}", overview.rollups_short()));
        lines.push(format!("        {}", overview.provers_short(names)));
        lines
    }

    /// Whether an auction was cleared or changed its state since it was reported. What was there
    /// before the view began is no news.
    fn is_news(&mut self, auction: &AuctionView) -> bool {
        let before = self.reported.insert(auction.id, auction.state.clone());
        auction.state != "bidding"
            && !self.recent.is_empty()
            && before.as_ref() != Some(&auction.state)
    }

    fn append(&mut self, lines: &[String]) -> std::io::Result<()> {
        for line in lines {
            writeln!(self.out, "{}", line.trim_end())?;
        }
        self.out.flush()
    }

    /// Writes the page over the one before, cut to the terminal.
    fn rewrite(&mut self, lines: &[String]) -> std::io::Result<()> {
        let (columns, rows) = size().unwrap_or((100, 40));
        if self.shown > 0 {
            queue!(self.out, MoveUp(self.shown))?;
        }
        queue!(self.out, MoveToColumn(0), Clear(ClearType::FromCursorDown))?;
        let lines = &lines[..lines.len().min(usize::from(rows.saturating_sub(1)))];
        for line in lines {
            let cut: String = line.chars().take(columns.into()).collect();
            queue!(self.out, Print(cut.trim_end()), Print("\n"))?;
        }
        self.shown = lines.len() as u16;
        self.out.flush()
    }
}
