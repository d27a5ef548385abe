//! The member: one task that owns all its state; workers, followers and network tasks send to it.
//!
//! ```text
//! followers ──deliveries──┐                      ┌──▶ work queue (threads): prove, advance
//! looks at the market ────┼──▶ member (one task) ─┼──▶ tasks: bid, submit, upkeep
//! workers, tasks ─results─┘                      └──▶ status (watch)
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use conclave_crypto::{EdSecret, load_key};
use conclave_sdk::api::AuctionView;
use conclave_sdk::{
    Client, ClientError, ClientOptions, FollowError, FollowFrom, Followed, Gateway, GatewayError,
    GatewayOptions, Program, ProgramError, ProofJob,
};
use conclave_types::{AccountId, Amount, AuctionId, Genesis, Height, Range, RollupId};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::{debug, error, info, warn};

use crate::bids::{Bids, Capacity};
use crate::config::{ProverConfig, ServedRollup};
use crate::error::ProverError;
use crate::jobs::{JobStage, Jobs, RangeKey, Submission, key_of};
use crate::open::{OpenError, Opened, Opener};
use crate::prove::{ProveWork, Proved};
use crate::queue::{Panicked, WorkQueue};
use crate::snapshot::remove_proof;
use crate::status::{JobStatus, ProverStatus, RollupStatus};
use crate::tasks::{self, MarketView, Standing};
use crate::track::{Boundary, Terms, Track};
use crate::upkeep::next_operation;

/// Looks at the market between two looks at the own standing.
const STANDING_EVERY: u32 = 8;
/// Before a rollup that could not be taken up is tried again.
const OPEN_RETRY: Duration = Duration::from_secs(1);
/// Between two operations for the member's standing, so that the first shows in the next look.
const UPKEEP_PAUSE: Duration = Duration::from_secs(2);
/// Deliveries that wait for the member; a follower pauses when they do.
const DELIVERIES_WAITING: usize = 256;

/// What a worker is asked for.
#[derive(Debug, Clone, Copy)]
enum WorkKey {
    Prove(Range),
    Advance(RollupId),
}

/// What it answers.
enum WorkDone {
    Proved(Result<Box<Proved>, ProgramError>),
    Advanced(Result<Boundary, String>),
}

/// What a task answers.
enum TaskDone {
    Market(Result<MarketView, ClientError>),
    Upkeep(Result<(), GatewayError>),
    Bid(AuctionId, Result<(), GatewayError>),
    Submitted(RangeKey, AuctionId, Submission),
    Opened(ServedRollup, Box<Result<Opened, OpenError>>),
}

/// A prover member.
pub struct Prover {
    config: ProverConfig,
    me: AccountId,
    client: Client,
    gateway: Arc<Gateway>,
    programs: Vec<Arc<dyn Program>>,
    dir: PathBuf,
    started: Instant,
    queue: WorkQueue<WorkKey, WorkDone>,
    tasks: JoinSet<TaskDone>,
    followers: JoinSet<()>,
    deliveries: mpsc::Receiver<(RollupId, Result<Followed, FollowError>)>,
    deliver: mpsc::Sender<(RollupId, Result<Followed, FollowError>)>,
    tracks: BTreeMap<RollupId, Track>,
    jobs: Jobs,
    bids: Bids,
    standing: Option<Standing>,
    looks: u32,
    looking: bool,
    upkeep_at: Option<Instant>,
    opening: Vec<(ServedRollup, Instant)>,
    status: watch::Sender<ProverStatus>,
}

impl Prover {
    /// Gets a member ready: opens its key, data directory and gateway. The nodes must be up.
    pub async fn open(
        config: ProverConfig,
        genesis: Arc<Genesis>,
        programs: Vec<Arc<dyn Program>>,
    ) -> Result<Self, ProverError> {
        if config.rollups.is_empty() {
            return Err(ProverError::NoRollups);
        }
        let dir = config.data_dir.clone();
        std::fs::create_dir_all(&dir).map_err(|source| ProverError::DataDir {
            path: dir.clone(),
            source,
        })?;
        let secret = EdSecret::from_seed(&*load_key(&config.account_key)?);
        let me = secret.account();
        let client = Client::with_options(config.nodes.iter().cloned(), patience())?;
        let options = GatewayOptions::default();
        let sequence = dir.join("sequence");
        let gateway = Gateway::open(client.clone(), genesis, secret, &sequence, options).await?;
        let waiting = usize::from(config.slots) + config.rollups.len();
        let queue = WorkQueue::start(config.workers, waiting)
            .map_err(|source| ProverError::Threads { source })?;
        let (deliver, deliveries) = mpsc::channel(DELIVERIES_WAITING);
        let status = ProverStatus {
            account: me.to_string(),
            ..ProverStatus::default()
        };
        let now = Instant::now();
        Ok(Self {
            opening: config.rollups.iter().map(|r| (r.clone(), now)).collect(),
            config,
            me,
            client,
            gateway: Arc::new(gateway),
            programs,
            dir,
            started: now,
            queue,
            tasks: JoinSet::new(),
            followers: JoinSet::new(),
            deliveries,
            deliver,
            tracks: BTreeMap::new(),
            jobs: Jobs::default(),
            bids: Bids::default(),
            standing: None,
            looks: 0,
            looking: false,
            upkeep_at: None,
            status: watch::Sender::new(status),
        })
    }

    /// The member's status, as it changes.
    pub fn status(&self) -> watch::Receiver<ProverStatus> {
        self.status.subscribe()
    }

    /// Runs until `shutdown` resolves. Work under way on threads is finished; what was won and not
    /// submitted is taken up again by the next run.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<(), ProverError> {
        info!(account = %self.me, rollups = self.config.rollups.len(), "prover member started");
        let mut poll = tokio::time::interval(Duration::from_millis(self.config.poll_ms.max(1)));
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                Some((key, result)) = self.queue.done() => self.worked(key, result),
                Some(result) = self.tasks.join_next() => match result {
                    Ok(done) => self.done(done),
                    Err(error) => {
                        error!(%error, "a task of the member failed");
                        self.looking = false;
                    }
                },
                Some((rollup, followed)) = self.deliveries.recv() => self.followed(rollup, followed),
                _ = poll.tick() => self.tick(),
            }
            self.dispatch();
        }
        info!("prover member stopping");
        self.tasks.shutdown().await;
        self.followers.shutdown().await;
        let queue = self.queue;
        // Joining threads blocks, so it happens where that harms nobody.
        let closed = tokio::task::spawn_blocking(move || queue.close()).await;
        if let Err(error) = closed {
            error!(%error, "the work queue did not close");
        }
        Ok(())
    }

    /// Starts what is due by time.
    fn tick(&mut self) {
        if !self.looking {
            self.looking = true;
            let standing = self.standing.is_none() || self.looks.is_multiple_of(STANDING_EVERY);
            self.looks = self.looks.wrapping_add(1);
            let look = tasks::look(self.client.clone(), self.me, standing);
            self.tasks.spawn(async { TaskDone::Market(look.await) });
        }
        let now = Instant::now();
        let (due, later) = std::mem::take(&mut self.opening)
            .into_iter()
            .partition(|(_, at)| *at <= now);
        self.opening = later;
        for (served, _) in due {
            let opener = Opener {
                client: self.client.clone(),
                chain: self.gateway.chain(),
                programs: self.programs.clone(),
                served: served.clone(),
                dir: self.dir.clone(),
            };
            self.tasks
                .spawn(async { TaskDone::Opened(served, Box::new(opener.open().await)) });
        }
    }

    fn done(&mut self, done: TaskDone) {
        match done {
            TaskDone::Market(result) => {
                self.looking = false;
                match result {
                    Ok(market) => self.market(market),
                    Err(error) => warn!(%error, "the market cannot be seen"),
                }
            }
            TaskDone::Upkeep(result) => {
                self.upkeep_at = Some(Instant::now() + UPKEEP_PAUSE);
                // The next look shows the effect.
                self.looks = 0;
                if let Err(error) = result {
                    warn!(%error, "an operation for the member's standing failed");
                }
            }
            TaskDone::Bid(auction, Err(error)) => {
                warn!(%auction, %error, "the bid was not submitted");
                self.bids.withdraw(auction);
            }
            TaskDone::Bid(auction, Ok(())) => {
                debug!(%auction, "bid submitted");
                self.status.send_modify(|status| status.bids_placed += 1);
            }
            TaskDone::Submitted(key, auction, result) => self.submitted(key, auction, result),
            TaskDone::Opened(served, result) => self.opened(served, *result),
        }
    }

    fn opened(&mut self, served: ServedRollup, result: Result<Opened, OpenError>) {
        let rollup = served.id;
        match result {
            Ok(opened) => {
                let from = FollowFrom {
                    height: opened.height,
                    next_index: opened.next_index,
                    proofs: false,
                };
                let settled = opened.track.watch_settled();
                self.tracks.insert(rollup, opened.track);
                let (client, deliver) = (self.client.clone(), self.deliver.clone());
                self.followers
                    .spawn(tasks::follow(client, rollup, from, settled, deliver));
            }
            Err(OpenError::Later(reason)) => {
                debug!(%rollup, reason, "the rollup cannot be taken up yet");
                self.opening.push((served, Instant::now() + OPEN_RETRY));
            }
            Err(OpenError::Never(reason)) => {
                error!(%rollup, reason, "the rollup is not served");
                self.status.send_modify(|status| {
                    status
                        .rollups
                        .push(RollupStatus::not_served(rollup, reason));
                });
            }
        }
    }

    fn followed(&mut self, rollup: RollupId, followed: Result<Followed, FollowError>) {
        let Some(track) = self.tracks.get_mut(&rollup) else {
            return;
        };
        match followed {
            Ok(Followed::Delivery(delivery)) => {
                if let Err(error) = track.take(&delivery) {
                    error!(%rollup, %error, "the rollup is not served any more");
                    track.broken = Some(error.to_string());
                }
            }
            Ok(Followed::Progress(height)) => track.covered = track.covered.max(height),
            Err(error) => warn!(%rollup, %error, "the stream was interrupted"),
        }
    }

    /// Takes a look at the market: terms, awards, and what may be bid for.
    fn market(&mut self, market: MarketView) {
        if let Some(standing) = market.standing {
            self.take_terms(&standing);
            self.standing = Some(standing);
            self.start_upkeep();
        }
        self.note_prices(&market.auctions);
        let tracks = &self.tracks;
        let settled = |rollup| tracks.get(&rollup).map(|track| track.terms.settled_index);
        let now = self.now_ms();
        let open = self.config.open_jobs;
        let over = self
            .jobs
            .observe(now, self.me, &market.auctions, open, settled);
        for range in over {
            if let Err(error) = remove_proof(&self.dir, &range) {
                warn!(%error, "a settled proof could not be removed");
            }
        }
        self.bids.keep_open(&market.auctions);
        for view in &market.auctions {
            self.consider(view);
        }
    }

    fn take_terms(&mut self, standing: &Standing) {
        for view in &standing.rollups {
            if let Some(track) = self.tracks.get_mut(&RollupId(view.id))
                && let Some(terms) = Terms::of(view)
                && terms.settled_index >= track.terms.settled_index
            {
                track.terms = terms;
            }
        }
    }

    fn note_prices(&mut self, auctions: &[AuctionView]) {
        for view in auctions {
            if let (Some(price), Some(track)) =
                (view.price, self.tracks.get_mut(&RollupId(view.rollup)))
            {
                let count = view.to_index.saturating_sub(view.from_index);
                track.last_price = Some((Amount(price), count));
            }
        }
    }

    fn start_upkeep(&mut self) {
        let due = self.upkeep_at.is_none_or(|at| Instant::now() >= at);
        let Some(standing) = self.standing.as_ref().filter(|_| due) else {
            return;
        };
        let Some(account) = &standing.account else {
            return;
        };
        let prover = standing.prover.as_ref();
        let Some(op) = next_operation(&self.config, self.me, account, prover) else {
            return;
        };
        info!(?op, "keeping the member's standing");
        // No second one before this one's result is in.
        self.upkeep_at = Some(Instant::now() + Duration::from_secs(3600));
        let upkeep = tasks::upkeep(self.gateway.clone(), op);
        self.tasks.spawn(async { TaskDone::Upkeep(upkeep.await) });
    }

    fn consider(&mut self, view: &AuctionView) {
        let auction = AuctionId(view.id);
        if view.state != "bidding" || self.bids.contains(auction) {
            return;
        }
        let capacity = Capacity {
            config: &self.config,
            prover: self.standing.as_ref().and_then(|s| s.prover.as_ref()),
            unproven: self.jobs.unproven().copied().collect(),
        };
        match self.bids.consider(view, &self.tracks, &capacity) {
            Ok((price, bond)) => {
                info!(%auction, rollup = view.rollup, %price, ceiling = view.price_max, "bidding");
                self.bids.place(view, bond);
                let bid = tasks::bid(self.gateway.clone(), auction, price);
                self.tasks
                    .spawn(async move { TaskDone::Bid(auction, bid.await) });
            }
            Err(reason) => debug!(%auction, %reason, "no bid"),
        }
    }

    fn submitted(&mut self, key: RangeKey, auction: AuctionId, result: Submission) {
        match &result {
            Submission::Accepted => {
                info!(%auction, "proof accepted");
                self.status
                    .send_modify(|status| status.proofs_accepted += 1);
            }
            Submission::Later { reason, .. } => debug!(%auction, reason, "proof not taken yet"),
            Submission::Refused(reason) => error!(%auction, reason, "proof refused"),
        }
        let now = self.now_ms();
        self.jobs.submitted(now, key, auction, result);
    }

    fn worked(&mut self, key: WorkKey, result: Result<WorkDone, Panicked>) {
        match (key, result) {
            (WorkKey::Prove(range), Ok(WorkDone::Proved(result))) => self.proved(range, result),
            (WorkKey::Advance(rollup), Ok(WorkDone::Advanced(result))) => {
                if let Err(reason) = &result {
                    error!(%rollup, reason, "the rollup is not served any more");
                }
                if let Some(track) = self.tracks.get_mut(&rollup) {
                    track.advanced(Some(result));
                }
            }
            (WorkKey::Prove(range), Err(panicked)) => {
                error!(%panicked, "proving failed");
                self.jobs.proved(key_of(&range), Err(panicked.to_string()));
            }
            (WorkKey::Advance(rollup), Err(panicked)) => {
                error!(%rollup, %panicked, "the rollup is not served any more");
                if let Some(track) = self.tracks.get_mut(&rollup) {
                    track.advanced(Some(Err(panicked.to_string())));
                }
            }
            (WorkKey::Prove(_), Ok(WorkDone::Advanced(_)))
            | (WorkKey::Advance(_), Ok(WorkDone::Proved(_))) => {
                unreachable!("a worker answers what it was asked")
            }
        }
    }

    fn proved(&mut self, range: Range, result: Result<Box<Proved>, ProgramError>) {
        let result = match result {
            Ok(proved) => {
                let count = range.count();
                info!(rollup = %range.rollup, from = %range.from, count, took = ?proved.took, bytes = proved.proven.proof.len(), "proven");
                if let Some(track) = self.tracks.get_mut(&range.rollup) {
                    proved.boundaries.into_iter().for_each(|b| track.keep(b));
                }
                self.status.send_modify(|status| status.proofs_made += 1);
                Ok(proved.proven)
            }
            Err(error) => {
                error!(rollup = %range.rollup, from = %range.from, %error, "proving failed");
                Err(error.reason)
            }
        };
        self.jobs.proved(key_of(&range), result);
    }

    /// Hands out everything that can be done now.
    fn dispatch(&mut self) {
        for track in self.tracks.values_mut() {
            if let Some(advance) = track.advance(&self.dir) {
                let key = WorkKey::Advance(track.rollup);
                let work = || WorkDone::Advanced(advance.run());
                if self.queue.push(key, work).is_err() {
                    track.advanced(None);
                }
            }
        }
        for range in self.jobs.wanted() {
            self.prove(range);
        }
        for (range, auction, proven) in self.jobs.start_submitting(self.now_ms()) {
            let Some(track) = self.tracks.get(&range.rollup) else {
                continue;
            };
            let system = track.program.system();
            let submit = tasks::submit(self.gateway.clone(), auction, system, proven);
            let key = key_of(&range);
            self.tasks
                .spawn(async move { TaskDone::Submitted(key, auction, submit.await) });
        }
        self.publish();
    }

    fn prove(&mut self, range: Range) {
        let Some(track) = self.tracks.get(&range.rollup) else {
            return;
        };
        let Some((start, before, contents)) = track.start_of(&range) else {
            return;
        };
        let work = ProveWork {
            job: ProofJob {
                chain: track.chain,
                prover: self.me,
                range,
            },
            program: track.program.clone(),
            start,
            before,
            contents,
            dir: self.dir.clone(),
        };
        let run = || WorkDone::Proved(work.run().map(Box::new));
        if self.queue.push(WorkKey::Prove(range), run).is_ok() {
            self.jobs.proving(&range);
        }
    }

    fn publish(&self) {
        let jobs: Vec<JobStatus> = self.jobs.iter().map(JobStatus::of).collect();
        let rollups: Vec<RollupStatus> = self.tracks.values().map(RollupStatus::of).collect();
        self.status.send_if_modified(|status| {
            let before = status.clone();
            let unserved =
                |entry: &RollupStatus| !self.tracks.contains_key(&RollupId(entry.rollup));
            status.rollups.retain(unserved);
            status.rollups.extend(rollups);
            status.jobs = jobs;
            if let Some(standing) = &self.standing {
                if let Some(account) = &standing.account {
                    status.balance = account.balance;
                    status.fees = account.fees;
                }
                if let Some(prover) = &standing.prover {
                    status.bond_free = prover.bond_free;
                    status.bond_locked = prover.bond_locked;
                    status.slots = prover.slots;
                    status.held = prover.jobs;
                    status.armed = prover.armed;
                    status.settled = prover.settled;
                    status.missed = prover.missed;
                }
            }
            *status != before
        });
    }

    /// Milliseconds since the member started; jobs wait on it.
    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A window is half a second, so a node that hangs is left soon.
fn patience() -> ClientOptions {
    ClientOptions {
        connect_timeout: Duration::from_secs(1),
        request_timeout: Duration::from_secs(5),
        rounds: 2,
        ..ClientOptions::default()
    }
}

impl JobStatus {
    fn of(job: &crate::jobs::Job) -> Self {
        let (stage, reason) = match &job.stage {
            JobStage::Wanted => ("wanted", None),
            JobStage::Proving => ("proving", None),
            JobStage::Proven => ("proven", None),
            JobStage::Submitting => ("submitting", None),
            JobStage::Accepted => ("accepted", None),
            JobStage::Failed(reason) => ("failed", Some(reason.clone())),
        };
        Self {
            auction: job.auction.0,
            rollup: job.range.rollup.0,
            from_index: job.range.from.0,
            to_index: job.range.to.0,
            stage: stage.into(),
            reason,
        }
    }
}

impl RollupStatus {
    fn of(track: &Track) -> Self {
        Self {
            rollup: track.rollup.0,
            height: track.covered.0,
            next_index: track.next_index().0,
            settled_index: track.base_index().0,
            time_us_64: track.calibration.time_us(64),
            broken: track.broken.clone(),
        }
    }

    fn not_served(rollup: RollupId, reason: String) -> Self {
        Self {
            rollup: rollup.0,
            height: Height(0).0,
            next_index: 0,
            settled_index: 0,
            time_us_64: 0,
            broken: Some(reason),
        }
    }
}
