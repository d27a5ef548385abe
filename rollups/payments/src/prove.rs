//! Proving a range.

use winterfell::math::FieldElement;
use winterfell::math::fields::f64::BaseElement;
use winterfell::matrix::ColMatrix;
use winterfell::{
    AuxRandElements, CompositionPoly, CompositionPolyTrace, ConstraintCompositionCoefficients,
    DefaultConstraintCommitment, DefaultConstraintEvaluator, DefaultTraceLde, PartitionOptions,
    ProofOptions, Prover, StarkDomain, TraceInfo, TracePolyTable, TraceTable,
};

use crate::air::PaymentsAir;
use crate::commitment::{BoundedTree, Coin, Hash};
use crate::exclusion::classify;
use crate::hash::FieldDigest;
use crate::padding::padding_payment;
use crate::payment::{Entry, Payment, PaymentBody};
use crate::program::options;
use crate::proof_bytes::ProofHeader;
use crate::state::State;
use crate::statement::{ContentsError, PublicInputs, RangeContext};
use crate::trace::{self, Item};
use crate::transition::{Outcome, judge};

/// A range to prove.
pub struct ProveJob<'a> {
    /// Whose proof of which range, from which root.
    pub range: RangeContext,
    /// The state whose root is the range's old root.
    pub state: &'a State,
    /// The ordered contents, each with the height that ordered it.
    pub contents: &'a [(u64, Vec<u8>)],
}

/// A proven range.
#[derive(Debug, Clone)]
pub struct ProvenRange {
    /// The proof, as [`verify`](crate::verify) takes it.
    pub proof: Vec<u8>,
    /// The root after the range.
    pub new_root: [u8; 32],
    /// Indices of the contents that are no valid payments, in order.
    pub excluded: Vec<u32>,
}

/// Why a range could not be proven.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// The contents do not fit the range.
    #[error(transparent)]
    Contents(#[from] ContentsError),
    /// The state is not the one the range starts from.
    #[error("[CV-PAY-050] the state's root is not the range's old root; follow the stream first")]
    WrongState,
    /// The proof system failed; this is a defect here, never in the contents.
    #[error("[CV-PAY-051] the proof could not be made: {reason}")]
    Failed { reason: String },
}

/// Proves a range on the calling thread.
///
/// One range keeps one core busy; ranges are proven side by side by calling this from several
/// threads. The proof of one job is always the same bytes.
pub fn prove(job: &ProveJob<'_>) -> Result<ProvenRange, ProveError> {
    job.range.check_contents(job.contents)?;
    if job.state.root() != job.range.old_root {
        return Err(ProveError::WrongState);
    }
    let (payments, excluded) = sort_out(job);
    let (trace, inputs) = witness(job, &payments, judge);
    let header = ProofHeader {
        old: inputs.old,
        new: inputs.new,
    };
    let new_root = inputs.new_root;
    let proof = prove_trace(trace, inputs)?;
    Ok(ProvenRange {
        proof: header.prepend(&proof),
        new_root,
        excluded,
    })
}

/// The included payments with their entries, and the excluded indices.
pub(crate) fn sort_out(job: &ProveJob<'_>) -> (Vec<(Payment, Entry)>, Vec<u32>) {
    let ctx = job.range.payment_context();
    let mut payments = Vec::new();
    let mut excluded = Vec::new();
    for (index, (height, bytes)) in (0u32..).zip(job.contents) {
        let payment = classify(bytes, &ctx, *height).ok();
        let entry = payment.as_ref().and_then(|p| p.entry(&ctx, bytes));
        match payment.zip(entry) {
            Some(included) => payments.push(included),
            None => excluded.push(index),
        }
    }
    (payments, excluded)
}

/// The trace of a range and what it shows.
pub(crate) fn witness(
    job: &ProveJob<'_>,
    payments: &[(Payment, Entry)],
    judge: impl Fn(&State, &PaymentBody) -> Outcome,
) -> (TraceTable<BaseElement>, PublicInputs) {
    let ctx = job.range.payment_context();
    let items: Vec<_> = payments
        .iter()
        .map(|(payment, entry)| Item {
            body: &payment.body,
            signature: &payment.signature,
            entry: *entry,
        })
        .collect();
    let (dummy, dummy_entry) = padding_payment(&ctx);
    let padding = Item {
        body: &dummy.body,
        signature: &dummy.signature,
        entry: dummy_entry,
    };

    let mut state = job.state.clone();
    let old = state.opening();
    let first_commitment = job.range.first_commitment();
    let last = payments
        .iter()
        .fold(first_commitment.node(), |c, (_, entry)| entry.extend(c));
    let trace = trace::build(
        &mut state,
        ctx.first_state(),
        first_commitment,
        &items,
        &padding,
        judge,
    );
    let inputs = PublicInputs {
        range: job.range,
        new_root: state.root(),
        count: payments.len() as u32,
        old,
        new: state.opening(),
        first_commitment,
        last_commitment: FieldDigest::from_node(last),
    };
    (trace, inputs)
}

/// Runs the proof system on a trace.
pub(crate) fn prove_trace(
    trace: TraceTable<BaseElement>,
    inputs: PublicInputs,
) -> Result<Vec<u8>, ProveError> {
    let prover = PaymentsProver {
        options: options(),
        inputs,
    };
    let proof = prover.prove(trace).map_err(|error| ProveError::Failed {
        reason: error.to_string(),
    })?;
    Ok(proof.to_bytes())
}

struct PaymentsProver {
    options: ProofOptions,
    inputs: PublicInputs,
}

impl Prover for PaymentsProver {
    type BaseField = BaseElement;
    type Air = PaymentsAir;
    type Trace = TraceTable<BaseElement>;
    type HashFn = Hash;
    type VC = BoundedTree;
    type RandomCoin = Coin;
    type TraceLde<E: FieldElement<BaseField = BaseElement>> = DefaultTraceLde<E, Hash, BoundedTree>;
    type ConstraintCommitment<E: FieldElement<BaseField = BaseElement>> =
        DefaultConstraintCommitment<E, Hash, BoundedTree>;
    type ConstraintEvaluator<'a, E: FieldElement<BaseField = BaseElement>> =
        DefaultConstraintEvaluator<'a, PaymentsAir, E>;

    fn get_pub_inputs(&self, _trace: &Self::Trace) -> PublicInputs {
        self.inputs.clone()
    }

    fn options(&self) -> &ProofOptions {
        &self.options
    }

    fn new_trace_lde<E: FieldElement<BaseField = BaseElement>>(
        &self,
        trace_info: &TraceInfo,
        main_trace: &ColMatrix<BaseElement>,
        domain: &StarkDomain<BaseElement>,
        partition_option: PartitionOptions,
    ) -> (Self::TraceLde<E>, TracePolyTable<E>) {
        DefaultTraceLde::new(trace_info, main_trace, domain, partition_option)
    }

    fn build_constraint_commitment<E: FieldElement<BaseField = BaseElement>>(
        &self,
        composition_poly_trace: CompositionPolyTrace<E>,
        num_constraint_composition_columns: usize,
        domain: &StarkDomain<BaseElement>,
        partition_options: PartitionOptions,
    ) -> (Self::ConstraintCommitment<E>, CompositionPoly<E>) {
        DefaultConstraintCommitment::new(
            composition_poly_trace,
            num_constraint_composition_columns,
            domain,
            partition_options,
        )
    }

    fn new_evaluator<'a, E: FieldElement<BaseField = BaseElement>>(
        &self,
        air: &'a PaymentsAir,
        aux_rand_elements: Option<AuxRandElements<E>>,
        composition_coefficients: ConstraintCompositionCoefficients<E>,
    ) -> Self::ConstraintEvaluator<'a, E> {
        DefaultConstraintEvaluator::new(air, aux_rand_elements, composition_coefficients)
    }
}
