//! Carries out a plan of [`Fetches`]: asks, has the answers judged, and tells how far it is.

use std::time::{Duration, Instant};

use conclave_sequencer::{FetchProgress, Fetches, PART_TIMEOUT_MS};
use conclave_types::ValidatorIndex;
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use crate::serve::{Request, Response};
use crate::shell::{Shell, lock};

/// Between looks at what is overdue.
const TICK: Duration = Duration::from_millis(100);
/// Between lines about the progress in the log.
const SHOW_EVERY: Duration = Duration::from_secs(2);

/// Without anything new for this long a plan is given up: whoever is asked for what is left is silent
/// or gone, and a new plan may do without it. Twice what one answer may take.
const STALL: Duration = Duration::from_millis(2 * PART_TIMEOUT_MS);

/// What an answer was worth.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The part is here.
    Good,
    /// Some of it is, and the rest is to be asked for.
    Partial,
    /// The peer does not have it.
    Lacking,
    /// It holds nothing that is not here already.
    Useless,
    /// It does not verify.
    Lie(String),
}

/// How far catching up or joining is, for status and metrics.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Syncing {
    pub(crate) what: &'static str,
    pub(crate) progress: FetchProgress,
}

impl Shell {
    /// Runs a plan to its end; `false` when nobody is left to be asked for some part, when nothing
    /// new comes any more, or when the node stops. At most `ahead` parts from the first missing one on are asked for.
    pub(crate) async fn download(
        &self,
        what: &'static str,
        fetches: &mut Fetches,
        ahead: usize,
        request: impl Fn(u64) -> Request,
        mut judge: impl FnMut(ValidatorIndex, u64, Response) -> Verdict,
    ) -> bool {
        let start = Instant::now();
        let now = || start.elapsed().as_millis() as u64;
        let mut open = FuturesUnordered::new();
        let mut closing = self.closing.clone();
        let mut shown = None;
        let mut news = 0;
        while !fetches.is_done() {
            let at = now();
            let stalled = at - news > STALL.as_millis() as u64;
            if stalled || fetches.is_stuck() || *closing.borrow_and_update() {
                return false;
            }
            for ask in fetches.next(at, ahead) {
                let within = Duration::from_millis(ask.deadline - at);
                let request = request(ask.part);
                open.push(async move { (ask, self.ask_within(ask.from, request, within).await) });
            }
            tokio::select! {
                Some((ask, answer)) = open.next() => match answer {
                    None => fetches.failed(ask.from, ask.part, now()),
                    Some(answer) => match judge(ask.from, ask.part, answer) {
                        Verdict::Good => {
                            if fetches.delivered(ask.from, ask.part) {
                                news = now();
                            }
                        }
                        Verdict::Partial => {
                            news = now();
                            fetches.again(ask.from, ask.part);
                        }
                        Verdict::Useless => fetches.failed(ask.from, ask.part, now()),
                        Verdict::Lacking => fetches.lacks(ask.from, ask.part),
                        Verdict::Lie(why) => {
                            tracing::warn!(peer = ask.from.0, why, "a peer's answer does not verify");
                            self.metrics.misbehaviour();
                            self.transport.punish(ask.from, &why);
                            fetches.lied(ask.from);
                        }
                    },
                },
                _ = closing.changed() => {}
                () = tokio::time::sleep(TICK) => {}
            }
            let progress = fetches.progress(now());
            self.note_syncing(what, progress, &mut shown);
        }
        true
    }

    /// Notes how far it is, and logs that now and then.
    pub(crate) fn note_syncing(
        &self,
        what: &'static str,
        progress: FetchProgress,
        shown: &mut Option<Instant>,
    ) {
        *lock(&self.syncing) = Some(Syncing { what, progress });
        if shown.is_none_or(|at| at.elapsed() >= SHOW_EVERY) {
            *shown = Some(Instant::now());
            let rate = progress.parts_per_1000_s as f64 / 1000.0;
            let (done, total) = (progress.done, progress.total);
            let seconds_left = progress.seconds_left;
            tracing::info!(what, done, total, rate, seconds_left, "catching up");
        }
    }

    /// All peers, connected or not: one that is not may be when its turn comes.
    pub(crate) fn all_peers(&self) -> impl Iterator<Item = ValidatorIndex> {
        self.transport.peers().into_iter().map(|peer| peer.index)
    }

    /// All peers that are connected now.
    pub(crate) fn connected_peers(&self) -> Vec<ValidatorIndex> {
        let peers = self.transport.peers().into_iter();
        let connected = peers.filter(|peer| peer.connected.is_some());
        connected.map(|peer| peer.index).collect()
    }

    /// Asks all connected peers the same, at the same time.
    pub(crate) async fn ask_all(&self, request: &Request) -> Vec<(ValidatorIndex, Response)> {
        let asks = self.connected_peers().into_iter().map(|peer| {
            let request = request.clone();
            async move { Some((peer, self.ask(peer, request).await?)) }
        });
        let answers = futures::future::join_all(asks).await;
        answers.into_iter().flatten().collect()
    }
}
