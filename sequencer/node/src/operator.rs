//! The validator's own account, which pays for what the node itself puts on the ledger: reports of
//! misbehaviour, and its part in key generations.

use conclave_ledger::Ledger;
use conclave_types::{
    AccountId, Amount, Bucket, ChainId, Digest, EdSignature, Envelope, EnvelopeCore, Height,
    ReleaseRule, RollupId, Sequence, SystemOp, codec, limits,
};

/// The ticket of the node's own submissions; clients' tickets count up from zero.
pub(crate) const OWN_TICKET: u64 = u64::MAX;

/// Blocks until an operation of ours that was not ordered expires; it is made anew then. They count
/// from the executed height, which ordering may be far ahead of.
pub(crate) const RETRY_BLOCKS: u64 = limits::LEDGER_LAG_BLOCKS_MAX + limits::ORDER_BLOCKS;

/// The account, and what signs for it.
pub struct Operator {
    pub chain: ChainId,
    pub account: AccountId,
    /// Signs with the account's key.
    pub sign: Box<dyn Fn(&Digest) -> EdSignature + Send>,
}

/// An operator and where its sequence numbers stand.
pub(crate) struct Account {
    operator: Operator,
    /// The newest sequence number used here.
    sequence: u64,
}

impl Account {
    pub(crate) fn new(operator: Operator) -> Self {
        let sequence = 0;
        Self { operator, sequence }
    }

    /// A plain envelope with an operation, to be ordered within [`RETRY_BLOCKS`]; `None` if the
    /// operation is too large.
    pub(crate) fn envelope(&mut self, op: &SystemOp, ledger: &Ledger) -> Option<Envelope> {
        let payer = self.operator.account;
        let newest = ledger.account(&payer).sequence;
        self.sequence = self.sequence.max(newest.map_or(0, |newest| newest.0)) + 1;
        let core = EnvelopeCore {
            chain: self.operator.chain,
            epoch: ledger.epoch(),
            rollup: RollupId::SYSTEM,
            payer,
            sequence: Sequence(self.sequence),
            expiry: Height(ledger.height().0 + RETRY_BLOCKS),
            release: ReleaseRule::OnCommit,
            bucket: Bucket(0),
            // What a validator does for itself is worth more than any fee, and the account holds
            // little else.
            fee_max: Amount(u64::MAX),
        };
        let sign = |digest: &Digest| (self.operator.sign)(digest);
        conclave_seal::plain(core, codec::encode(op), sign).ok()
    }
}

#[cfg(test)]
mod tests {
    use conclave_crypto::EdSecret;
    use conclave_types::ValidatorIndex;

    use super::*;
    use crate::http::tests::chain::genesis;

    /// An operation that was made from a ledger as far behind as opening may be had expired before any
    /// block could order it.
    #[test]
    fn an_operation_outlives_the_lag_of_the_ledger_that_it_is_made_from() {
        let genesis = genesis();
        let ledger = Ledger::genesis(&genesis);
        let key = EdSecret::from_seed(&[1; 32]);
        let mut account = Account::new(Operator {
            chain: genesis.chain_id(),
            account: key.account(),
            sign: Box::new(move |digest| key.sign(digest)),
        });
        let validator = ValidatorIndex(0);
        let envelope = account.envelope(&SystemOp::LeaveValidator { validator }, &ledger);
        let expiry = envelope.expect("a small operation").header.core.expiry;
        let newest = ledger.height().0 + limits::LEDGER_LAG_BLOCKS_MAX;
        assert_eq!(expiry, Height(newest + limits::ORDER_BLOCKS));
    }
}
