//! Writes that take their time, crashes that lose them, and starts from what is left.

use conclave_consensus::Write;
use conclave_node::{Effect, Event, Record};
use rand::Rng;

use super::world::{SimEvent, World};
use crate::checkers::Violation;
use crate::coverage::Branch;

impl World {
    pub(super) fn write(
        &mut self,
        node: usize,
        records: Vec<Record>,
        then: Vec<Effect>,
    ) -> Result<(), Violation> {
        let latency = self
            .random
            .disks
            .gen_range(self.plan.disk_us.0..=self.plan.disk_us.1);
        let incarnation = self.nodes[node].incarnation;
        let Some(up) = self.nodes[node].up.as_mut() else {
            return Ok(());
        };
        records.iter().for_each(|record| up.contents.add(record));
        if records.is_empty() && up.writing.is_empty() {
            for effect in then {
                self.perform(node, effect)?;
            }
            return Ok(());
        }
        up.disk_free_us = up.disk_free_us.max(self.now_us) + latency;
        // What waits for the disk shares one commit, as in the node's group commit.
        let at = match up.writing.is_empty() {
            true => up.disk_free_us,
            false => up.disk_free_us.min(self.now_us + 2 * latency),
        };
        up.writing.push_back((records, then));
        self.schedule(at, SimEvent::DiskDone { node, incarnation });
        Ok(())
    }

    pub(super) fn disk_done(&mut self, node: usize, incarnation: u32) -> Result<(), Violation> {
        if incarnation != self.nodes[node].incarnation {
            return Ok(());
        }
        let Some(up) = self.nodes[node].up.as_mut() else {
            return Ok(());
        };
        let Some((records, then)) = up.writing.pop_front() else {
            return Ok(());
        };
        self.apply(node, &records)?;
        for effect in then {
            self.perform(node, effect)?;
        }
        Ok(())
    }

    fn apply(&mut self, node: usize, records: &[Record]) -> Result<(), Violation> {
        let this = &mut self.nodes[node];
        for record in records {
            this.disk.apply(record);
            if let Record::Agreement(Write::Safety(state)) = record
                && this.byzantine.is_none()
            {
                self.checkers.durable(this.identity.index, state)?;
            }
        }
        Ok(())
    }

    /// Everything not yet durable is lost, but for a prefix that the disk had just taken.
    pub(super) fn crash(&mut self, node: usize) -> Result<(), Violation> {
        let Some(mut up) = self.nodes[node].up.take() else {
            return Ok(());
        };
        let survives = self.random.disks.gen_range(0..=up.writing.len());
        for (records, _) in up.writing.drain(..survives) {
            self.apply(node, &records)?;
        }
        self.checkers.coverage.saw(Branch::Crash);
        self.trace.note(self.now_us, format_args!("crash {node}"));
        Ok(())
    }

    pub(super) fn restart(&mut self, node: usize) -> Result<(), Violation> {
        if self.nodes[node].up.is_some() {
            return Ok(());
        }
        let now_ms = self.clock_ms(node);
        let replay = self.nodes[node].start(&self.genesis, now_ms);
        let incarnation = self.nodes[node].incarnation;
        if self.is_honest(node) {
            self.checkers.restarted(node);
        }
        if incarnation > 1 {
            self.checkers.coverage.saw(Branch::Restart);
        }
        self.trace.note(
            self.now_us,
            format_args!("start {node} with {} to replay", replay.len()),
        );
        for input in replay {
            self.give(node, incarnation, Event::Sequencing(input))?;
        }
        self.give(node, incarnation, Event::Start)
    }
}
