//! How a validator without a safety state begins: at the genesis, or after it lost the state.
//!
//! It asks all others where they stand, and signs nothing up to the view after the highest one that
//! validators of weight 2f+1, itself not counted, have shown to have entered.
//!
//! Why that is enough. Suppose it signed something in view w before it lost its state. It had
//! entered w by a certificate of view w−1, which others of honest weight f at least signed, and so
//! had entered w−1. All honest others weigh 2f, those among the answers f+1, so one of the signers
//! answers, and shows view w−1 or a later one: w is at most one more than the highest shown.
//!
//! Its lock comes back by itself. Let 2f+1 have sent commit-vote(v), it among them. Then there is no
//! TC of view v: those who voted send no timeout for v, it sends none now, and the honest rest
//! weighs f. So every honest validator left v by the QC of v, or by certificates of later views,
//! whose honest signers had entered v+1 by that QC, and so on: all of them lead to a highest QC of
//! view v or later. It signs again only after it entered a view past all of these by such a
//! certificate, whose highest QC it takes over first (rule 3).
//!
//! Others that lost their state and do not sign again yet do not count as an answer. Until it signs
//! again, timeouts included, it counts among the f that may fail: it votes in views past that bound,
//! and gives up views once it knows a quorum certificate of the bound or later, for a commit vote
//! that it forgot and a timeout that knows no certificate as high are evidence against it.
//!
//! Epochs. All of this is about the newest epoch that anybody can show to have begun, by the
//! hand-overs from the genesis on; a standing of an earlier epoch says that its sender has signed
//! nothing in this one, and one of a later epoch cannot be judged before its hand-over is known.
//! Suppose the validator had moved on to the next epoch still, before it lost its state, and nobody
//! who answers has. Then the last block b of this epoch was final to it: others of honest weight f
//! had sent commit votes for b in some view v, so one of them answers and shows v+1 or a later view,
//! and b was first proposed in view v or an earlier one. So a last block that was first proposed past
//! the bound shows that nothing was forgotten in the next epoch ([`SafetyState::may_have_left`]);
//! after any other one the validator must ask again where the others stand, in the next epoch. So it
//! counts among the f that may fail until a block that was proposed past the bound is final to it.

use std::collections::BTreeMap;

use bincode::{Decode, Encode};
use conclave_crypto::Committee;
use conclave_light::{CertificateError, Verifier};
use conclave_types::{Entry, Epoch, Origin, QuorumCertificate, Signers, ValidatorIndex, View};

use crate::SafetyState;

/// Where a validator stands, as it shows to one that asks.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Standing {
    /// What entered its view.
    pub entry: Entry,
    /// Its highest quorum certificate.
    pub high_qc: QuorumCertificate,
    /// Up to where it abstains itself.
    pub abstain_through: View,
}

impl Standing {
    /// What a durable state shows.
    pub fn of(state: &SafetyState) -> Self {
        Self {
            entry: state.entry.clone(),
            high_qc: state.high_qc.clone(),
            abstain_through: state.abstain_through,
        }
    }

    /// The epoch that it stands in.
    pub fn epoch(&self) -> Epoch {
        self.high_qc.epoch
    }

    /// Whether its certificates are what they claim to be; the verifier is that of its epoch, and
    /// knows its origin.
    pub fn verify(&self, verifier: &Verifier<'_>) -> Result<(), CertificateError> {
        match &self.entry {
            Entry::Quorum(qc) => verifier.quorum(qc)?,
            Entry::Timeout(tc) => verifier.timeout(tc)?,
        }
        verifier.quorum(&self.high_qc)
    }

    /// The highest view that it may have signed in, as far as certificates show it: a liar cannot
    /// make others wait for a view that never comes.
    fn reach(&self) -> View {
        let entered = self.entry.enters();
        entered.max(self.abstain_through.min(entered.next()))
    }

    fn is_at_genesis(&self) -> bool {
        self.epoch() == Epoch(0) && self.reach() <= View(1)
    }
}

/// What a validator without a safety state may begin from, once enough others have answered with
/// verified standings, or with `None`: that they have no safety state either.
///
/// The committee and the origin are those of the newest epoch that is known to have begun; standings
/// of a later one must be left out.
///
/// It begins at the genesis if nobody shows anything later, enough others have answered for a
/// quorum with itself, and it does not know that it `ran_before`.
pub fn rejoin(
    origin: &Origin,
    committee: &Committee,
    own: ValidatorIndex,
    answers: &BTreeMap<ValidatorIndex, Option<Standing>>,
    ran_before: bool,
) -> Option<SafetyState> {
    // Who weighs nothing, as a validator that has left, makes no quorum.
    let votes = |from: ValidatorIndex| committee.weight(from) > 0;
    let others = || {
        let answers = answers.iter();
        answers.filter(move |(from, _)| **from != own && votes(**from))
    };
    let standings = || others().filter_map(|(from, answer)| Some((from, answer.as_ref()?)));
    let begun = ran_before
        || origin.epoch > Epoch(0)
        || standings().any(|(_, standing)| !standing.is_at_genesis());
    let mut heard = Signers::default();
    if !begun {
        if votes(own) {
            heard.insert(own);
        }
        for (from, _) in others() {
            heard.insert(*from);
        }
        return committee
            .has_quorum(&heard)
            .then(|| SafetyState::origin(origin));
    }
    for (from, standing) in standings() {
        // One that lost its own state and does not sign yet may have forgotten more than its
        // certificates show: in its epoch, and whether it left that.
        if standing.entry.enters() > standing.abstain_through {
            heard.insert(*from);
        }
    }
    if !committee.has_quorum(&heard) {
        return None;
    }
    let mut state = SafetyState::origin(origin);
    let mut reach = View(0);
    for (_, standing) in standings().filter(|(_, s)| s.epoch() == origin.epoch) {
        reach = reach.max(standing.reach());
        let carried = match &standing.entry {
            Entry::Quorum(qc) => qc,
            Entry::Timeout(tc) => &tc.high_qc,
        };
        for qc in [carried, &standing.high_qc] {
            if qc.view > state.high_qc.view {
                state.high_qc = qc.clone();
            }
        }
        if standing.entry.enters() > state.entry.enters() {
            state.entry = standing.entry.clone();
        }
    }
    state.abstain_through = reach.next();
    Some(state)
}
