//! The program's identity: what its proofs are made and checked with.

use std::sync::OnceLock;

use winterfell::{BatchingMethod, FieldExtension, Proof, ProofOptions};

use winter_utils::Deserializable;

use crate::commitment::Hash;
use crate::domain::PROGRAM_VERSION;
use crate::payment::DEPTH;
use crate::proof_bytes::expected_context;
use crate::signature::{CHAINS, KEY_DEPTH, WEIGHT};
use crate::statement::RANGE_CONTENTS_MAX;
use crate::trace::slots;
use crate::{air, layout, permutation};

/// Changes with every change of the constraints, the trace or an encoding.
const AIR_IDENTITY: &str = "payments/1: poseidon2-goldilocks-8, one permutation a row";

/// Queries of a proof.
const QUERIES: usize = 85;
/// The evaluation domain is this many times the trace.
const BLOWUP: usize = 4;
/// Leading zero bits of the proof of work.
const GRINDING: u32 = 20;
/// Columns FRI folds at once.
const FOLDING: usize = 8;
/// Degree of the polynomial FRI sends in full.
const REMAINDER_DEGREE: usize = 127;

/// Bits of security of the registered options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecurityBits {
    /// Proven, in the list-decoding regime.
    pub proven: u32,
    /// Under the conjecture that ePrint 2025/2010 and 2025/2046 disprove up to capacity; shown,
    /// never relied on.
    pub conjectured: u32,
}

/// The only options a proof may be made with.
pub(crate) fn options() -> ProofOptions {
    ProofOptions::new(
        QUERIES,
        BLOWUP,
        GRINDING,
        FieldExtension::Cubic,
        FOLDING,
        REMAINDER_DEGREE,
        BatchingMethod::Linear,
        BatchingMethod::Linear,
    )
}

/// The digest over AIR identity, parameters and registered options: shape of the constraints,
/// selectors and round constants are part of it, so most changes change it by themselves.
pub fn program_version() -> [u8; 32] {
    static VERSION: OnceLock<[u8; 32]> = OnceLock::new();
    *VERSION.get_or_init(|| {
        let parameters = [
            DEPTH,
            KEY_DEPTH,
            CHAINS,
            WEIGHT as usize,
            QUERIES,
            BLOWUP,
            GRINDING as usize,
            FieldExtension::Cubic as usize,
            FOLDING,
            REMAINDER_DEGREE,
            BatchingMethod::Linear as usize,
        ];
        let mut hasher = blake3::Hasher::new_derive_key(PROGRAM_VERSION);
        hasher.update(AIR_IDENTITY.as_bytes());
        for parameter in parameters.into_iter().chain(air::shape()) {
            hasher.update(&(parameter as u64).to_le_bytes());
        }
        for constant in layout::periodic_columns().into_iter().flatten() {
            hasher.update(&constant.as_int().to_le_bytes());
        }
        for constant in permutation::round_constants() {
            hasher.update(&constant.as_int().to_le_bytes());
        }
        *hasher.finalize().as_bytes()
    })
}

/// Security of a proof of this many included payments, as the proof system itself computes it
/// from options, trace length, columns and constraints.
pub fn security_bits(included: usize) -> SecurityBits {
    /// One entry for each trace length; the search for the best bound takes a while.
    static KNOWN: [OnceLock<SecurityBits>; 11] = [const { OnceLock::new() }; 11];
    let size = slots(included.min(RANGE_CONTENTS_MAX)).ilog2() as usize;
    *KNOWN[size].get_or_init(|| {
        let mut proof = Proof::new_dummy();
        match Deserializable::read_from_bytes(&expected_context(included)) {
            Ok(context) => proof.context = context,
            // We wrote these bytes ourselves.
            Err(error) => unreachable!("our own context does not parse: {error}"),
        }
        SecurityBits {
            proven: proof.proven_security::<Hash>().ldr_bits(),
            conjectured: proof.conjectured_security::<Hash>().bits(),
        }
    })
}
