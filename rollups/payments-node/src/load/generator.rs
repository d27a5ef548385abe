//! Which payment comes next, and what it is meant to come to.
//!
//! Wrong payments of every kind that the transition knows take turns. An overflow of a balance is
//! not among them: the bound on the supply makes it unreachable.

use std::collections::VecDeque;

use conclave_payments::{Address, Draft, Payment, PaymentContext, SLOTS, VALUE_LIMIT, WalletError};
use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::OutcomeKind;
use crate::owner::{Outlook, RESERVED_SLOTS, Unchecked};
use crate::purse::{Purse, Readiness};
use crate::queue::Projection;

/// The kinds of wrong payments, in turn.
pub(crate) const INVALID: [OutcomeKind; 8] = [
    OutcomeKind::InsufficientBalance,
    OutcomeKind::WrongNonce,
    OutcomeKind::OwnerMismatch,
    OutcomeKind::AbsentSender,
    OutcomeKind::ReceiverSlotTaken,
    OutcomeKind::Undecodable,
    OutcomeKind::BadSignature,
    OutcomeKind::Expired,
];
/// Payments of one account on their way at most; one envelope carries them in order.
const LANE_MAX: usize = 16;
/// What a payment moves at most.
const AMOUNT_MAX: u64 = 1_000;
/// What a payment costs at most.
const FEE_MAX: u64 = 5;
/// How far ahead a nonce is wrong beyond doubt.
const NONCE_AHEAD: u64 = 1 << 32;

/// How the load is mixed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GeneratorOptions {
    pub(crate) context: PaymentContext,
    /// Wrong payments in hundredths.
    pub(crate) invalid_percent: u8,
    /// Blocks that a payment stays valid for.
    pub(crate) expiry_blocks: u64,
    /// Makes runs differ; the payments are random in any case.
    pub(crate) seed: u64,
}

/// The load generator without clock and queue.
pub(crate) struct Generator {
    options: GeneratorOptions,
    purses: Vec<Purse>,
    random: ChaCha8Rng,
    /// The next sender to try.
    turn: usize,
    /// Hundredths of a wrong payment that are due.
    invalid_due: u32,
    next_kind: usize,
    /// Accounts to be opened by the next payments.
    newcomers: VecDeque<Address>,
    valid_made: u64,
}

/// What a tick made.
#[derive(Default)]
pub(crate) struct Made {
    pub(crate) payments: Vec<Unchecked>,
    /// Payments due that no account could send.
    pub(crate) skipped: u64,
}

impl Generator {
    pub(crate) fn new(options: GeneratorOptions, purses: Vec<Purse>) -> Self {
        Self {
            random: ChaCha8Rng::seed_from_u64(options.seed),
            options,
            purses,
            turn: 0,
            invalid_due: 0,
            next_kind: 0,
            newcomers: VecDeque::new(),
            valid_made: 0,
        }
    }

    /// The slots whose outlook [`make`](Self::make) needs, in its order.
    pub(crate) fn slots(&self) -> Vec<u32> {
        self.purses.iter().map(|purse| purse.address.slot).collect()
    }

    /// Valid payments made so far.
    pub(crate) fn valid_made(&self) -> u64 {
        self.valid_made
    }

    /// Adds an account that the next payment opens; later it pays others too.
    pub(crate) fn welcome(&mut self, purse: Purse) {
        self.newcomers.push_back(purse.address);
        self.purses.push(purse);
    }

    /// Makes `due` payments that fit the outlook. Blocks: signing takes half a millisecond, and a
    /// rotation derives a key tree.
    pub(crate) fn make(&mut self, outlook: &Outlook, due: usize) -> Result<Made, WalletError> {
        let mut senders = outlook.senders.clone();
        let mut made = Made::default();
        for _ in 0..due {
            self.invalid_due += u32::from(self.options.invalid_percent);
            let next = if self.invalid_due >= 100 {
                self.invalid_due -= 100;
                self.invalid(&mut senders, outlook.height)?
            } else {
                self.valid(&mut senders, outlook.height)?
            };
            match next {
                Some(payment) => made.payments.push(payment),
                None => made.skipped += 1,
            }
        }
        Ok(made)
    }

    fn valid(
        &mut self,
        senders: &mut [Option<Projection>],
        height: u64,
    ) -> Result<Option<Unchecked>, WalletError> {
        let Some(sender) = self.ready_sender(senders, height)? else {
            return Ok(None);
        };
        let sender = match sender {
            Sender::Ready(sender) => sender,
            Sender::Rotating(payment) => return Ok(Some(payment)),
        };
        let receiver = match self.newcomers.pop_front() {
            Some(newcomer) => newcomer,
            None => self.other_than(senders, sender),
        };
        let draft = self.draft(senders, sender, receiver, height);
        let payment = self.purses[sender].pay(&self.options.context, &draft)?;
        advance(&mut senders[sender], draft.amount + draft.fee);
        self.valid_made += 1;
        Ok(Some(in_lane(&payment, OutcomeKind::Applied)))
    }

    /// The next account that can pay, from the turn on. One whose key tree is nearly used up
    /// rotates instead.
    fn ready_sender(
        &mut self,
        senders: &mut [Option<Projection>],
        height: u64,
    ) -> Result<Option<Sender>, WalletError> {
        for _ in 0..senders.len() {
            let at = self.turn % senders.len();
            self.turn = at + 1;
            let Some(projection) = &mut senders[at] else {
                continue;
            };
            let purse = &mut self.purses[at];
            match purse.prepare(projection)? {
                Readiness::Ready => {
                    let rich = projection.spendable >= AMOUNT_MAX + FEE_MAX;
                    if rich && projection.pending < LANE_MAX {
                        return Ok(Some(Sender::Ready(at)));
                    }
                }
                Readiness::MustRotate => {
                    let expiry = height + self.options.expiry_blocks;
                    let context = &self.options.context;
                    let payment = purse.rotate(context, projection.nonce, expiry)?;
                    projection.owner = payment.body.next_owner();
                    projection.nonce += 1;
                    projection.pending += 1;
                    let payment = in_lane(&payment, OutcomeKind::Applied);
                    return Ok(Some(Sender::Rotating(payment)));
                }
                Readiness::Waiting => {}
            }
        }
        Ok(None)
    }

    fn invalid(
        &mut self,
        senders: &mut [Option<Projection>],
        height: u64,
    ) -> Result<Option<Unchecked>, WalletError> {
        let Some(sender) = self.ready_sender(senders, height)? else {
            return Ok(None);
        };
        let sender = match sender {
            Sender::Ready(sender) => sender,
            Sender::Rotating(payment) => return Ok(Some(payment)),
        };
        let kind = INVALID[self.next_kind % INVALID.len()];
        self.next_kind += 1;
        self.wrong(kind, senders, sender, height).map(Some)
    }

    /// One payment that comes to `kind`.
    fn wrong(
        &mut self,
        kind: OutcomeKind,
        senders: &mut [Option<Projection>],
        sender: usize,
        height: u64,
    ) -> Result<Unchecked, WalletError> {
        let receiver = self.other_than(senders, sender);
        let mut draft = self.draft(senders, sender, receiver, height);
        match kind {
            OutcomeKind::InsufficientBalance => {
                draft.amount = VALUE_LIMIT - 1 - draft.fee;
                advance(&mut senders[sender], 0);
            }
            OutcomeKind::WrongNonce if draft.nonce > 0 && self.random.r#gen() => draft.nonce -= 1,
            OutcomeKind::WrongNonce => draft.nonce += NONCE_AHEAD,
            OutcomeKind::OwnerMismatch => draft.sender = receiver.slot,
            OutcomeKind::AbsentSender => {
                draft.sender = SLOTS - 1 - self.random.gen_range(0..RESERVED_SLOTS);
            }
            OutcomeKind::ReceiverSlotTaken => draft.receiver.key = self.purses[sender].address.key,
            OutcomeKind::Expired => draft.expiry = height,
            _ => {}
        }
        let mut payment = self.purses[sender].pay(&self.options.context, &draft)?;
        Ok(match kind {
            OutcomeKind::Undecodable => loose(self.spoil(payment.encode()), kind),
            OutcomeKind::BadSignature => {
                payment.body.amount += 1;
                loose(payment.encode(), kind)
            }
            OutcomeKind::OwnerMismatch | OutcomeKind::AbsentSender | OutcomeKind::Expired => {
                loose(payment.encode(), kind)
            }
            // These depend on the account's nonce or owner, so they keep their place in its lane.
            _ => {
                if let Some(projection) = &mut senders[sender]
                    && kind != OutcomeKind::InsufficientBalance
                {
                    projection.pending += 1;
                }
                in_lane(&payment, kind)
            }
        })
    }

    /// Bytes that are no payment: cut off, one too many, or noise.
    fn spoil(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        match self.random.gen_range(0..3) {
            0 => bytes.truncate(self.random.gen_range(0..bytes.len())),
            1 => bytes.push(self.random.r#gen()),
            _ => {
                bytes.truncate(self.random.gen_range(1..512));
                self.random.fill_bytes(&mut bytes);
            }
        }
        bytes
    }

    fn draft(
        &mut self,
        senders: &[Option<Projection>],
        sender: usize,
        receiver: Address,
        height: u64,
    ) -> Draft {
        Draft {
            sender: self.purses[sender].address.slot,
            nonce: senders[sender].map_or(0, |projection| projection.nonce),
            receiver,
            amount: self.random.gen_range(1..=AMOUNT_MAX),
            fee: self.random.gen_range(1..=FEE_MAX),
            expiry: height + self.options.expiry_blocks,
        }
    }

    /// The address of another account that certainly exists; the sender's own when it is alone.
    fn other_than(&mut self, senders: &[Option<Projection>], sender: usize) -> Address {
        let start = self.random.gen_range(0..senders.len());
        let other = (0..senders.len())
            .map(|step| (start + step) % senders.len())
            .find(|other| *other != sender && senders[*other].is_some());
        self.purses[other.unwrap_or(sender)].address
    }
}

enum Sender {
    Ready(usize),
    Rotating(Unchecked),
}

/// What a payment that advances the nonce makes of its sender.
fn advance(projection: &mut Option<Projection>, total: u64) {
    if let Some(projection) = projection {
        projection.nonce += 1;
        projection.spendable -= total;
        projection.pending += 1;
    }
}

fn in_lane(payment: &Payment, intended: OutcomeKind) -> Unchecked {
    Unchecked {
        lane: Some(payment.body.sender),
        bytes: payment.encode(),
        intended,
    }
}

fn loose(bytes: Vec<u8>, intended: OutcomeKind) -> Unchecked {
    Unchecked {
        lane: None,
        bytes,
        intended,
    }
}
