//! What the operator of a validator asks of the ledger.

use conclave_crypto::BlsSecret;
use conclave_types::{SystemOp, TransportKey, ValidatorIndex, ValidatorInfo, ValidatorUpdate};

/// Registers a validator; its account must be the envelope's payer, whose balance covers the bond.
pub const fn register_validator(info: ValidatorInfo) -> SystemOp {
    SystemOp::RegisterValidator(info)
}

/// Ends a validator's service with the next epoch that can do without it.
pub const fn leave_validator(validator: ValidatorIndex) -> SystemOp {
    SystemOp::LeaveValidator { validator }
}

/// Changes of one validator from the next epoch on; what is not named stays as it is.
#[derive(Debug, Clone)]
pub struct ValidatorChange(ValidatorUpdate);

impl ValidatorChange {
    /// No change yet, of the validator in a slot.
    pub fn of(validator: ValidatorIndex) -> Self {
        Self(ValidatorUpdate {
            validator,
            ..ValidatorUpdate::default()
        })
    }

    /// Another weight, of at least 1; more is bonded at once.
    #[must_use]
    pub const fn weight(mut self, weight: u16) -> Self {
        self.0.weight = Some(weight);
        self
    }

    /// A new key for votes, with the proof of its possession.
    #[must_use]
    pub fn bls(mut self, secret: &BlsSecret) -> Self {
        self.0.bls = Some((secret.public(), secret.prove_possession()));
        self
    }

    /// A new key for the transport between validators.
    #[must_use]
    pub const fn transport_key(mut self, key: TransportKey) -> Self {
        self.0.transport_key = Some(key);
        self
    }

    /// Where peers reach it, as `host:port` (UDP).
    #[must_use]
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.0.address = Some(address.into());
        self
    }

    /// Where clients reach its HTTP API, as a base URL.
    #[must_use]
    pub fn api(mut self, api: impl Into<String>) -> Self {
        self.0.api = Some(api.into());
        self
    }

    /// Whether nothing would change.
    pub fn is_empty(&self) -> bool {
        self.0 == Self::of(self.0.validator).0
    }

    /// The operation.
    pub fn operation(self) -> SystemOp {
        SystemOp::UpdateValidator(self.0)
    }
}

#[cfg(test)]
mod tests {
    use conclave_crypto::BlsKey;

    use super::*;

    #[test]
    fn a_change_names_only_what_changes_and_proves_its_key() {
        let change = ValidatorChange::of(ValidatorIndex(3));
        assert!(change.is_empty());
        let change = change.weight(2).bls(&BlsSecret::from_seed(&[1; 32]));
        assert!(!change.is_empty());
        let SystemOp::UpdateValidator(update) = change.operation() else {
            panic!("an update");
        };
        assert_eq!(
            (update.validator, update.weight),
            (ValidatorIndex(3), Some(2))
        );
        assert_eq!(
            (update.transport_key, update.address, update.api),
            (None, None, None)
        );
        let (key, possession) = update.bls.expect("named");
        assert!(BlsKey::decode_with_possession(&key, &possession).is_some());
    }
}
