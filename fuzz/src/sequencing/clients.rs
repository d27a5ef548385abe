//! Clients that have keys and money, and submit anything.

use conclave_seal::{bucket_for, plain, seal};
use conclave_types::{
    Amount, AuctionId, Bid, Bucket, Digest, Envelope, EnvelopeCore, Epoch, Height, ProofPolicy,
    ProofSubmission, ProofSystem, ReleaseRule, RollupConfig, RollupId, Sequence, StateRoot,
    SystemOp, codec, encode_transactions,
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::member::{PROGRAM, world};
use crate::choices::Choices;
use crate::committee::{PAYERS, payer};

/// They count their envelopes, as the randomness of seals and as sequence numbers.
#[derive(Default)]
pub(super) struct Clients {
    sent: u64,
}

impl Clients {
    /// The next envelope, at this height of the chain.
    pub(super) fn envelope(
        &mut self,
        height: Height,
        choices: &mut Choices<'_>,
    ) -> Option<Envelope> {
        self.sent += 1;
        let secret = payer(choices.u8() % (PAYERS + 1));
        let mut core = EnvelopeCore {
            chain: world().genesis.chain_id(),
            epoch: Epoch(0),
            rollup: RollupId::SYSTEM,
            payer: secret.account(),
            sequence: Sequence(mostly(self.sent, choices)),
            expiry: Height(mostly(height.0 + 50, choices)),
            release: ReleaseRule::OnCommit,
            bucket: Bucket(0),
            fee_max: Amount(u64::MAX),
        };
        let mut random = ChaCha20Rng::seed_from_u64(self.sent);
        let sign = |message: &Digest| secret.sign(message);
        let key = &world().genesis.sealing.key;
        let mut envelope = match choices.u8() % 4 {
            0 | 1 => {
                let operation = codec::encode(&operation(choices)?);
                plain(core, operation, sign).ok()?
            }
            2 => {
                core.rollup = RollupId(u32::from(choices.u8() % 4));
                let transactions = transactions(choices);
                core.bucket = bucket_for(transactions.len())?;
                seal(key, core, &transactions, &mut random, sign).ok()?
            }
            _ => {
                core.release = ReleaseRule::AtClose(AuctionId(u64::from(choices.u8() % 4)));
                let bid = codec::encode(&bid(choices));
                core.bucket = bucket_for(bid.len())?;
                seal(key, core, &bid, &mut random, sign).ok()?
            }
        };
        // What the payer did not sign.
        if choices.u8() == 255 {
            let at = choices.below(envelope.body.len().max(1));
            if let Some(byte) = envelope.body.get_mut(at) {
                *byte ^= choices.u8();
            }
        }
        Some(envelope)
    }
}

fn mostly(number: u64, choices: &mut Choices<'_>) -> u64 {
    match choices.u8() {
        224.. => choices.near(number),
        _ => number,
    }
}

fn amount(choices: &mut Choices<'_>) -> Amount {
    Amount(mostly(u64::from(choices.u8()) * 5_000, choices))
}

fn rollup(choices: &mut Choices<'_>) -> RollupId {
    RollupId(u32::from(choices.u8() % 4))
}

/// Transactions in their list, or bytes that may be no list.
fn transactions(choices: &mut Choices<'_>) -> Vec<u8> {
    let list: Vec<Vec<u8>> = (0..choices.below(8))
        .map(|_| vec![choices.u8(); choices.below(32)])
        .collect();
    match (choices.u8() % 8, encode_transactions(&list)) {
        (1.., Ok(bytes)) => bytes,
        _ => choices.bytes(64).to_vec(),
    }
}

fn bid(choices: &mut Choices<'_>) -> SystemOp {
    SystemOp::Bid(Bid {
        auction: AuctionId(u64::from(choices.u8() % 4)),
        price: amount(choices),
    })
}

/// Any operation, of those that the market lives on more often.
fn operation(choices: &mut Choices<'_>) -> Option<SystemOp> {
    Some(match choices.u8() % 12 {
        0 | 1 => SystemOp::RegisterRollup {
            rollup: rollup(choices),
            config: config(choices),
        },
        2 => SystemOp::UpdateRollup {
            rollup: rollup(choices),
            config: config(choices),
        },
        3 => SystemOp::FundRollup {
            rollup: rollup(choices),
            amount: amount(choices),
        },
        4 => SystemOp::PostBond {
            amount: amount(choices),
        },
        5 => SystemOp::RegisterProver {
            slots: choices.u8().into(),
        },
        6 => SystemOp::DepositFees {
            account: payer(choices.u8() % PAYERS).account(),
            amount: amount(choices),
        },
        7 => SystemOp::SubmitProof(ProofSubmission {
            auction: AuctionId(u64::from(choices.u8() % 4)),
            system: ProofSystem::Winterfell,
            new_root: StateRoot(Digest([choices.u8() % 2; 32])),
            excluded: Vec::new(),
            proof: vec![choices.u8() % 2; 8],
        }),
        8 => bid(choices),
        _ => choices.value()?,
    })
}

fn config(choices: &mut Choices<'_>) -> RollupConfig {
    RollupConfig {
        name: "r".into(),
        owner: payer(choices.u8() % PAYERS).account(),
        program: PROGRAM,
        genesis_root: StateRoot(Digest([9; 32])),
        policy: match choices.u8() % 4 {
            0 => ProofPolicy::None,
            _ => ProofPolicy::Any {
                systems: vec![ProofSystem::Winterfell],
                required: 1 + choices.u8() / 128,
            },
        },
        reserve_price: amount(choices),
        reserve_price_max: Amount(mostly(2_000_000, choices)),
        range_transactions: mostly(1 + u64::from(choices.u8() % 8), choices),
        range_age_ms: mostly(100, choices),
        deadline_ms: mostly(1_000, choices),
        bond_percent: u32::from(choices.u8()),
        fee_share_percent: choices.u8() % 128,
    }
}
