//! The line that every event leaves, and the digest over all of them.

use std::fmt::{self, Write};

use conclave_consensus as agreement;
use conclave_node::{Event, PeerMessage};
use conclave_sequencer as sequencing;
use conclave_types::{Digest, Domain, Hasher};

/// A line is cut off here.
const LINE_CHARS_MAX: usize = 150;

/// Everything that happened, in order.
pub(crate) struct Trace {
    keep: bool,
    lines: Vec<String>,
    text: String,
    hasher: Hasher,
}

impl Trace {
    pub(crate) fn new(keep: bool) -> Self {
        Self {
            keep,
            lines: Vec::new(),
            text: String::new(),
            hasher: Domain::Simulation.hasher(),
        }
    }

    /// Notes an event.
    pub(crate) fn note(&mut self, at_us: u64, what: fmt::Arguments<'_>) {
        self.text.clear();
        let mut line = Bounded {
            text: &mut self.text,
            left: LINE_CHARS_MAX,
        };
        // An error says that the line is full.
        let _ = write!(line, "{at_us:>10} {what}");
        let hasher = std::mem::replace(&mut self.hasher, Domain::Simulation.hasher());
        self.hasher = hasher.part(self.text.as_bytes());
        if self.keep {
            self.lines.push(self.text.clone());
        }
    }

    /// The digest of all lines, and the lines if they were kept.
    pub(crate) fn finish(self) -> (Digest, Vec<String>) {
        (self.hasher.digest(), self.lines)
    }
}

/// Takes so many characters and then refuses, which ends the formatting of what is long: a ledger
/// in a line would cost more than everything else of its event.
struct Bounded<'a> {
    text: &'a mut String,
    left: usize,
}

impl Write for Bounded<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for c in part.chars() {
            if self.left == 0 {
                return Err(fmt::Error);
            }
            self.left -= 1;
            self.text.push(c);
        }
        Ok(())
    }
}

/// An event as one line.
pub(crate) struct Summary<'a>(pub(crate) &'a Event);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Event::Peer { from, message } = self.0 else {
            return match self.0 {
                Event::Done(done) => write!(f, "{done:?}"),
                other => write!(f, "{other:?}"),
            };
        };
        write!(f, "{}: ", from.0)?;
        match message {
            PeerMessage::Agreement(agreement::Message::Proposal(proposal)) => {
                let block = &proposal.block;
                let header = &block.header;
                let (id, height, view) = (block.id(), header.height, header.view);
                write!(f, "Proposal {id:?} height {height} view {view} batches ")?;
                let batches = block.batches.iter().map(|batch| batch.header.id());
                f.debug_list().entries(batches).finish()
            }
            PeerMessage::Agreement(message) => write!(f, "{message:?}"),
            PeerMessage::Sequencing(sequencing::Message::Dispersal(dispersal)) => {
                write!(f, "Dispersal {}", dispersal.manifest.header.id())
            }
            PeerMessage::Sequencing(message) => write!(f, "{message:?}"),
        }
    }
}
