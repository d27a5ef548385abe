//! Does to the network what the schedule says, and writes down what it did and when.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{anyhow, bail};
use conclave_sdk::Client;
use conclave_tests::chaos::{
    Condition, Fault, FaultId, FaultKind, FaultRecord, Impact, LinkPattern, Moment, Scenario, Step,
    Target, schedule,
};
use futures::future::join_all;
use rustix::process::Signal;
use tokio::process::Child;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::network::{LOOK, Network, PATIENCE, PAYMENTS};
use super::relay::Relay;
use crate::devnet::plan::{prover_name, rollup_name, validator_name};

/// How long a validator may take to say who leads.
const STATUS_PATIENCE: Duration = Duration::from_millis(400);

/// The course of the faults.
pub(super) struct Driver<'a, 'n> {
    pub(super) scenario: &'a Scenario,
    pub(super) network: &'a mut Network<'n>,
    pub(super) relay: &'a Relay,
    /// Time 0.
    pub(super) start: Instant,
}

/// What is to be undone at a fault's end.
enum Undo {
    Start(String),
    Continue(String),
    Links,
    Clock { validator: u16, restart: bool },
    Disk(Child),
    Lies(u16),
}

struct Course<'d, 'a, 'n> {
    driver: &'d mut Driver<'a, 'n>,
    records: BTreeMap<FaultId, FaultRecord>,
    undo: BTreeMap<FaultId, Undo>,
    statuses: Vec<Client>,
    turn: u16,
    /// Validators that became ready again, and when.
    back: mpsc::UnboundedSender<(FaultId, u64)>,
}

impl Driver<'_, '_> {
    /// Goes through the schedule to the scenario's end, and waits for `at_end` and then for
    /// the faults that are not over.
    pub(super) async fn run<T>(
        &mut self,
        at_end: impl Future<Output = T>,
    ) -> anyhow::Result<(BTreeMap<FaultId, FaultRecord>, T)> {
        let clients =
            (0..self.network.validators()).map(|index| self.network.client(index, STATUS_PATIENCE));
        let statuses = clients.collect::<anyhow::Result<Vec<_>>>()?;
        let (back, mut returned) = mpsc::unbounded_channel();
        let (start, end) = (
            self.start,
            self.start + Duration::from_millis(self.scenario.length_ms()),
        );
        let steps = schedule(self.scenario);
        let mut course = Course {
            driver: self,
            records: BTreeMap::new(),
            undo: BTreeMap::new(),
            statuses,
            turn: 0,
            back,
        };

        // 1. The faults, each at its time.
        let mut steps = steps.into_iter().peekable();
        loop {
            let next = steps
                .peek()
                .map_or(end, |step| start + Duration::from_millis(step.at_ms));
            tokio::select! {
                error = course.driver.network.died() => return Err(error),
                Some((fault, at_ms)) = returned.recv() => course.ended(fault, at_ms),
                () = sleep_until(next) => match steps.next() {
                    Some(step) => course.step(step).await?,
                    None => break,
                },
            }
        }

        // 2. Those that are not over yet are over once their validator is ready.
        let ended = at_end.await;
        let deadline = Instant::now() + PATIENCE;
        while course
            .records
            .values()
            .any(|record| record.ended_ms.is_none())
        {
            tokio::select! {
                error = course.driver.network.died() => return Err(error),
                Some((fault, at_ms)) = returned.recv() => course.ended(fault, at_ms),
                () = sleep_until(deadline) => break,
            }
        }
        Ok((course.records, ended))
    }
}

impl Course<'_, '_, '_> {
    fn now_ms(&self) -> u64 {
        self.driver.start.elapsed().as_millis() as u64
    }

    fn ended(&mut self, fault: FaultId, at_ms: u64) {
        if let Some(record) = self.records.get_mut(&fault) {
            record.ended_ms = Some(at_ms);
        }
    }

    async fn step(&mut self, step: Step) -> anyhow::Result<()> {
        let fault = self.driver.scenario.faults[step.fault.fault].clone();
        match step.moment {
            Moment::Begin => self.begin(step.fault, &fault).await,
            Moment::End => self.end(step.fault).await,
        }
    }

    async fn begin(&mut self, id: FaultId, fault: &Fault) -> anyhow::Result<()> {
        let mut impact = Impact::default();
        let target = match fault.kind {
            FaultKind::Kill(target)
            | FaultKind::Restart(target)
            | FaultKind::Pause(target)
            | FaultKind::Clock { target, .. }
            | FaultKind::SlowDisk { target, .. } => Some((target, self.find(target).await?)),
            _ => None,
        };
        let name = target
            .as_ref()
            .map_or("", |(_, name)| name.as_str())
            .to_owned();
        let validator = name
            .strip_prefix("validator-")
            .and_then(|index| index.parse().ok());
        let leads = match target {
            Some((Target::Leader, _)) => ", which leads",
            _ => "",
        };
        let began_ms = self.now_ms();
        let what = match &fault.kind {
            FaultKind::Kill(target) => {
                impact.down.extend(validator);
                impact.killed_leader = *target == Target::Leader;
                self.driver.network.kill(&name).await;
                self.undo.insert(id, Undo::Start(name.clone()));
                format!("{name}{leads}, is killed")
                    .replace(", is", if leads.is_empty() { " is" } else { ", is" })
            }
            FaultKind::Restart(_) => {
                impact.down.extend(validator);
                self.driver.network.stop(&name).await?;
                self.start_again(id, &name)?;
                format!("{name} is stopped and started again")
            }
            FaultKind::Pause(_) => {
                impact.down.extend(validator);
                self.driver.network.signal(&name, Signal::STOP)?;
                self.undo.insert(id, Undo::Continue(name.clone()));
                format!("{name} stands still")
            }
            FaultKind::Partition(groups) => {
                impact.cut = apart(groups, self.driver.network.validators());
                self.cut(id, &impact.cut, |_| Condition::Cut);
                format!("partition {groups:?}")
            }
            FaultKind::Cut(patterns) => {
                impact.cut = self.links(patterns);
                self.cut(id, &impact.cut, |_| Condition::Cut);
                format!("cut {}", words(&impact.cut))
            }
            FaultKind::Flap { links, period_ms } => {
                let period_ms = *period_ms;
                impact.cut = self.links(links);
                self.cut(id, &impact.cut, |since_ms| Condition::Flap {
                    since_ms,
                    period_ms,
                });
                format!("every {period_ms} ms off and on: {}", words(&impact.cut))
            }
            FaultKind::Weather { links, weather } => {
                let links = self.links(links);
                self.cut(id, &links, |_| Condition::Weather(*weather));
                format!(
                    "{} to {} ms late, {} % lost, {} % repeated, {} % reordered: {}",
                    weather.delay_ms.0,
                    weather.delay_ms.1,
                    weather.drop * 100.0,
                    weather.duplicate * 100.0,
                    weather.reorder * 100.0,
                    words(&links)
                )
            }
            FaultKind::Clock {
                seconds, restart, ..
            } => {
                let (validator, restart) = (validator.unwrap_or_default(), *restart);
                self.driver.network.set_clock(validator, *seconds)?;
                self.undo.insert(id, Undo::Clock { validator, restart });
                if restart {
                    impact.down.push(validator);
                    self.driver.network.stop(&name).await?;
                    self.driver.network.start_again(&name)?;
                }
                let how = if restart {
                    "starts under a clock"
                } else {
                    "has a clock that jumps to be"
                };
                format!("{name} {how} {seconds:+} s off")
            }
            FaultKind::SlowDisk { sync_ms, .. } => {
                let child = self
                    .driver
                    .network
                    .slow_disk(validator.unwrap_or_default(), *sync_ms)?;
                self.undo.insert(id, Undo::Disk(child));
                format!("each sync of the disk of {name} takes {sync_ms} ms more")
            }
            FaultKind::Byzantine(one) => {
                self.driver.network.corrupt(one).await?;
                self.undo.insert(id, Undo::Lies(one.validator));
                let lies: Vec<&str> = one.lies.iter().map(|lie| lie.name()).collect();
                let name = validator_name(one.validator);
                format!("{name} lies as {}", lies.join(", "))
            }
        };
        let record = FaultRecord {
            what,
            began_ms,
            ended_ms: None,
            impact,
        };
        self.records.insert(id, record);
        Ok(())
    }

    async fn end(&mut self, id: FaultId) -> anyhow::Result<()> {
        match self.undo.remove(&id) {
            Some(Undo::Start(name)) => self.start_again(id, &name)?,
            Some(Undo::Continue(name)) => {
                self.driver.network.signal(&name, Signal::CONT)?;
                self.await_ready(id, &name);
            }
            Some(Undo::Clock { validator, restart }) => {
                self.driver.network.set_clock(validator, 0)?;
                let name = validator_name(validator);
                if restart {
                    self.driver.network.stop(&name).await?;
                    self.driver.network.start_again(&name)?;
                }
                self.await_ready(id, &name);
            }
            Some(Undo::Disk(mut child)) => {
                // Killed, it lets go of the validator, which runs on.
                child.kill().await?;
                self.ended(id, self.now_ms());
            }
            Some(Undo::Lies(index)) => {
                // Nobody has to let it in again, so nobody waits for that.
                self.driver.network.reform(index).await?;
                self.ended(id, self.now_ms());
            }
            Some(Undo::Links) => {
                self.driver.relay.end(id);
                self.ended(id, self.now_ms());
            }
            None => {}
        }
        Ok(())
    }

    fn start_again(&mut self, id: FaultId, name: &str) -> anyhow::Result<()> {
        self.driver.network.start_again(name)?;
        self.await_ready(id, name);
        Ok(())
    }

    /// A validator's fault is over when it is ready; that of others when they run.
    fn await_ready(&self, id: FaultId, name: &str) {
        let (back, start) = (self.back.clone(), self.driver.start);
        let index = name
            .strip_prefix("validator-")
            .and_then(|index| index.parse().ok());
        let ready = index.map(|index| self.driver.network.ready(index));
        tokio::spawn(async move {
            if let Some(ready) = ready {
                ready.await;
            }
            // Nobody waits any more once the run was given up.
            let _ = back.send((id, start.elapsed().as_millis() as u64));
        });
    }

    fn cut(&mut self, id: FaultId, links: &[(u16, u16)], condition: impl Fn(u64) -> Condition) {
        self.driver.relay.begin(id, links, condition);
        self.undo.insert(id, Undo::Links);
    }

    fn links(&self, patterns: &[LinkPattern]) -> Vec<(u16, u16)> {
        let validators = self.driver.network.validators();
        let mut links: Vec<_> = patterns
            .iter()
            .flat_map(|pattern| pattern.links(validators))
            .collect();
        links.sort_unstable();
        links.dedup();
        links
    }

    /// The name of whom a fault hits.
    async fn find(&mut self, target: Target) -> anyhow::Result<String> {
        let name = match target {
            Target::Leader => validator_name(self.leader().await?),
            Target::Next => {
                let turn = self.turn % self.driver.network.validators();
                self.turn += 1;
                validator_name(turn)
            }
            Target::Winner => prover_name(self.winner().await?),
            Target::Rollup => rollup_name(1),
            Target::Validator(index) => validator_name(index),
            Target::Prover(index) => prover_name(index),
        };
        match self.driver.network.runs(&name) {
            true => Ok(name),
            false => bail!("[CV-CLI-124] {name} does not run; correct the scenario"),
        }
    }

    /// Who leads, by the word of the validator that is in the highest view.
    async fn leader(&self) -> anyhow::Result<u16> {
        let answers = join_all(self.statuses.iter().map(Client::status)).await;
        let runs = |leader: &u16| self.driver.network.runs(&validator_name(*leader));
        let known = answers.into_iter().flatten();
        let known = known.filter_map(|status| Some((status.view, status.leader.filter(runs)?)));
        let newest = known.max().map(|(_, leader)| leader);
        newest
            .ok_or_else(|| anyhow!("[CV-CLI-129] no validator says who leads; look into the logs"))
    }

    /// A prover that was awarded a range and has not settled it; waited for.
    async fn winner(&self) -> anyhow::Result<u16> {
        let accounts = self.driver.network.prover_accounts()?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            for client in &self.statuses {
                let Ok(auctions) = client.auctions(Some(PAYMENTS), Some("awarded"), 10).await
                else {
                    continue;
                };
                // Its standby must be able to take over.
                let with_standby = auctions
                    .iter()
                    .rev()
                    .filter(|auction| auction.standby.is_some());
                let mut winners =
                    with_standby.filter_map(|auction| accounts.get(auction.winner.as_ref()?));
                if let Some(winner) = winners.next() {
                    return Ok(*winner);
                }
            }
            sleep(LOOK).await;
        }
        bail!("[CV-CLI-130] no prover won a range with a standby; give the rollup more payments")
    }
}

/// The links between different groups, both ways; who is in no group is alone.
fn apart(groups: &[Vec<u16>], validators: u16) -> Vec<(u16, u16)> {
    let together = |a, b| {
        groups
            .iter()
            .any(|group| group.contains(&a) && group.contains(&b))
    };
    let links = LinkPattern::ALL.links(validators);
    links
        .into_iter()
        .filter(|(a, b)| !together(*a, *b))
        .collect()
}

fn words(links: &[(u16, u16)]) -> String {
    if links.len() > 6 {
        return format!("{} links", links.len());
    }
    let words: Vec<String> = links.iter().map(|(a, b)| format!("{a}>{b}")).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_cuts_exactly_what_is_between_the_groups() {
        assert_eq!(apart(&[vec![0, 1, 2, 3]], 4), []);
        let cut = apart(&[vec![0, 1], vec![2, 3]], 4);
        assert_eq!(cut.len(), 8);
        assert!(cut.contains(&(0, 2)) && cut.contains(&(3, 1)) && !cut.contains(&(0, 1)));
        // Validator 3 is named nowhere.
        let alone = apart(&[vec![0, 1, 2]], 4);
        assert!(alone.iter().all(|(a, b)| *a == 3 || *b == 3));
        assert_eq!(alone.len(), 6);
    }
}
