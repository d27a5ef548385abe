//! Prover members: they register, bid, prove and submit.

use std::collections::BTreeMap;

use conclave_ledger::Ledger;
use conclave_market::{ContentSource, Phase, Stage, may_submit};
use conclave_types::{
    Amount, AuctionId, Bid, ChainId, Envelope, ProofSubmission, ProofSystem, Statement, SystemOp,
};
use rand::Rng;
use rand_chacha::ChaCha20Rng;

use super::clients::Payer;
use super::plan::{Conduct, SECOND};
use crate::model::{Proofs, Sealer};

/// Before something that had no visible effect is sent again.
const AGAIN_US: u64 = 3 * SECOND;

pub(crate) struct Prover {
    pub(crate) payer: Payer,
    conduct: Conduct,
    sent: BTreeMap<(AuctionId, &'static str), u64>,
}

impl Prover {
    pub(crate) fn new(payer: Payer, conduct: Conduct) -> Self {
        Self {
            payer,
            conduct,
            sent: BTreeMap::new(),
        }
    }

    fn is_due(&mut self, key: (AuctionId, &'static str), now_us: u64) -> bool {
        let due = self.sent.get(&key).is_none_or(|at| now_us >= at + AGAIN_US);
        if due {
            self.sent.insert(key, now_us);
        }
        due
    }

    /// What it wants to submit, seeing this ledger and these contents.
    #[expect(clippy::too_many_arguments, reason = "a prover sees the whole world")]
    pub(crate) fn act(
        &mut self,
        now_us: u64,
        chain: ChainId,
        ledger: &Ledger,
        contents: &dyn ContentSource,
        proofs: &mut dyn Proofs,
        sealer: &Sealer,
        random: &mut ChaCha20Rng,
    ) -> Vec<Envelope> {
        let height = ledger.height();
        let account = self.payer.account();
        let mut wanted = Vec::new();
        match ledger.prover(&account) {
            None if self.is_due((AuctionId(0), "register"), now_us) => {
                let register = SystemOp::RegisterProver { slots: 4 };
                wanted.push(self.payer.operation(chain, height, &register));
            }
            None => {}
            Some(prover)
                if prover.free.0 + prover.locked.0 < 1_000_000
                    && self.is_due((AuctionId(0), "bond"), now_us) =>
            {
                let bond = SystemOp::PostBond {
                    amount: Amount(10_000_000),
                };
                wanted.push(self.payer.operation(chain, height, &bond));
            }
            Some(prover) if !prover.armed && self.is_due((AuctionId(0), "rearm"), now_us) => {
                wanted.push(self.payer.operation(chain, height, &SystemOp::Rearm));
            }
            Some(_) => {}
        }
        for auction in ledger.auctions() {
            match &auction.phase {
                Phase::Bidding if self.sent.insert((auction.id, "bid"), now_us).is_none() => {
                    let price = Amount(random.gen_range(1..=auction.max_price.0.max(1)));
                    let bid = SystemOp::Bid(Bid {
                        auction: auction.id,
                        price,
                    });
                    wanted.push(
                        self.payer
                            .bid(chain, height, auction.id, &bid, sealer, random),
                    );
                }
                Phase::Awarded(award) => {
                    let allowed = may_submit(auction, account).is_ok();
                    let won = award.stage == Stage::Winner;
                    let skips = won && self.conduct == Conduct::Lazy;
                    let settled = ledger.settled(auction.rollup());
                    let range = auction.intent.range;
                    let Some(settled) = settled.filter(|settled| settled.next == range.from) else {
                        continue;
                    };
                    if !allowed || skips || !self.is_due((auction.id, "proof"), now_us) {
                        continue;
                    }
                    let Some(contents) = contents.transactions(&range) else {
                        continue;
                    };
                    let mut statement = Statement {
                        chain,
                        program: auction.intent.program,
                        prover: account,
                        range,
                        old_root: settled.root,
                        new_root: settled.root,
                    };
                    let (excluded, mut proof) = proofs.prove(&mut statement, &contents);
                    if won && self.conduct == Conduct::Lying {
                        lie(&mut statement, &mut proof, random);
                    }
                    let submission = ProofSubmission {
                        auction: auction.id,
                        system: ProofSystem::Winterfell,
                        new_root: statement.new_root,
                        excluded,
                        proof,
                    };
                    let op = SystemOp::SubmitProof(submission);
                    wanted.push(self.payer.operation(chain, height, &op));
                }
                _ => {}
            }
        }
        wanted
    }
}

/// Makes a right submission wrong: in its root, or somewhere in its proof.
fn lie(statement: &mut Statement, proof: &mut [u8], random: &mut ChaCha20Rng) {
    if random.gen_bool(0.3) {
        statement.new_root.0.0[0] ^= 1;
    } else {
        let at = random.gen_range(0..proof.len());
        proof[at] ^= 1 << random.gen_range(0..8);
    }
}
