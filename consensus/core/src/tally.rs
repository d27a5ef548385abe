//! Collects votes until 2f+1 make a certificate.
//!
//! Signatures are checked late: a quorum of unchecked ones is added up and checked once. Only if
//! that fails is each checked alone; liars are accused, and from then on their votes are checked as
//! they come. One vote per kind, view and signer is kept.

use std::collections::BTreeMap;
use std::ops::Bound;

use conclave_light::Verifier;
use conclave_types::{
    AggregateSignature, Ballot, BlockId, BlsSignature, Digest, Height, Misbehaviour, Offence,
    Signers, ValidatorIndex, View, VoteKind,
};

use crate::broken::{Broken, Switch};
use crate::timeouts::Timeouts;
use crate::{Evidence, Fault};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    Open,
    Good,
    /// Wrong, or withdrawn after a proven double vote: nothing more is taken from this signer.
    Void,
}

#[cfg_attr(test, derive(Clone))]
struct Vote {
    ballot: Ballot,
    check: Check,
    /// A second, different vote came; the next ones are not worth checking.
    accused: bool,
}

#[derive(Default)]
#[cfg_attr(test, derive(Clone))]
struct Round {
    votes: BTreeMap<ValidatorIndex, Vote>,
    certified: bool,
    /// A rule is off: f+1 votes count as a quorum.
    few: bool,
}

#[derive(Default)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Tally {
    prepare: BTreeMap<View, Round>,
    commit: BTreeMap<View, Round>,
    pub(crate) timeouts: Timeouts,
    /// Those who sent a wrong signature before.
    pub(crate) suspects: Signers,
    pub(crate) broken: Switch,
}

/// What one more vote led to.
pub(crate) struct Outcome<C> {
    pub(crate) certificate: Option<C>,
    pub(crate) accused: Vec<(ValidatorIndex, Evidence)>,
}

/// A block with 2f+1 votes.
pub(crate) struct Certified {
    pub(crate) height: Height,
    pub(crate) block: BlockId,
    pub(crate) aggregate: AggregateSignature,
}

impl<C> Outcome<C> {
    pub(crate) const fn nothing() -> Self {
        Self {
            certificate: None,
            accused: Vec::new(),
        }
    }
}

impl Tally {
    /// Counts one vote; `own` ones are known to be right.
    pub(crate) fn vote(
        &mut self,
        verifier: &Verifier<'_>,
        kind: VoteKind,
        view: View,
        signer: ValidatorIndex,
        ballot: Ballot,
        own: bool,
    ) -> Outcome<Certified> {
        let mut outcome = Outcome::nothing();
        let (rounds, suspects) = match kind {
            VoteKind::Prepare => (&mut self.prepare, &mut self.suspects),
            VoteKind::Commit => (&mut self.commit, &mut self.suspects),
        };
        let round = rounds.entry(view).or_default();
        round.few = kind == VoteKind::Commit && self.broken.off(Broken::Rule5Quorum);
        let message = |ballot: &Ballot| message(verifier, kind, view, ballot);
        let holds = |ballot: &Ballot| {
            let signature = &ballot.signature;
            verifier
                .signatures
                .verify(signer, &message(ballot), signature)
        };
        let fault = || (signer, Evidence::Fault(Fault::Signature { view }));
        match round.votes.get_mut(&signer) {
            None => {
                let check = match (own, suspects.contains(signer)) {
                    (true, _) => Check::Good,
                    (false, false) => Check::Open,
                    (false, true) if holds(&ballot) => Check::Good,
                    (false, true) => Check::Void,
                };
                if check == Check::Void {
                    outcome.accused.push(fault());
                }
                let vote = Vote {
                    ballot,
                    check,
                    accused: false,
                };
                round.votes.insert(signer, vote);
            }
            Some(vote) if vote.ballot == ballot || vote.accused || vote.check == Check::Void => {
                return outcome;
            }
            Some(vote) => {
                vote.accused = true;
                if !holds(&ballot) {
                    suspects.insert(signer);
                    outcome.accused.push(fault());
                    return outcome;
                }
                if vote.check == Check::Good || holds(&vote.ballot) {
                    let proof = Misbehaviour {
                        epoch: verifier.committee.epoch,
                        validator: signer,
                        offence: Offence::double_vote(kind, view, vote.ballot, ballot),
                    };
                    outcome.accused.push((signer, Evidence::Proof(proof)));
                    return outcome;
                }
                suspects.insert(signer);
                outcome.accused.push(fault());
                vote.ballot = ballot;
                vote.check = Check::Good;
            }
        }
        if !round.certified {
            outcome.certificate =
                round.certify(verifier, &ballot, &message(&ballot), suspects, |liar| {
                    let evidence = Evidence::Fault(Fault::Signature { view });
                    outcome.accused.push((liar, evidence));
                });
        }
        outcome
    }

    /// A commit vote of the signer for a view after the first and up to the second of these.
    pub(crate) fn commit_vote_within(
        &self,
        signer: ValidatorIndex,
        (after, last): (View, View),
    ) -> Option<(View, Ballot)> {
        let mut rounds = self
            .commit
            .range((Bound::Excluded(after), Bound::Included(last)));
        rounds.find_map(|(view, round)| {
            let vote = round.votes.get(&signer)?;
            (vote.check != Check::Void).then_some((*view, vote.ballot))
        })
    }

    /// Forgets what the current view and the last commit have made useless.
    pub(crate) fn prune(&mut self, view: View, commit_from: View) {
        // The round of the view before still shows double votes; a certificate is of no more use.
        let before = View(view.0.saturating_sub(1));
        self.prepare = self.prepare.split_off(&before);
        self.prepare.entry(before).or_default().certified = true;
        self.commit = self.commit.split_off(&commit_from);
    }
}

impl Round {
    /// The certificate for the ballot's block, if 2f+1 voted for it.
    fn certify(
        &mut self,
        verifier: &Verifier<'_>,
        ballot: &Ballot,
        message: &Digest,
        suspects: &mut Signers,
        mut accuse: impl FnMut(ValidatorIndex),
    ) -> Option<Certified> {
        let (signers, signatures) = self.supporters(verifier, ballot)?;
        let sum = verifier.signatures.aggregate(&signatures);
        let checked = sum.filter(|sum| {
            let groups = [(*message, signers)];
            verifier.signatures.verify_aggregate(&groups, sum)
        });
        let (signers, signature) = match checked {
            Some(sum) => (signers, sum),
            None => {
                for signer in signers.iter() {
                    let Some(vote) = self.votes.get_mut(&signer) else {
                        continue;
                    };
                    if vote.check == Check::Open {
                        let signature = &vote.ballot.signature;
                        if verifier.signatures.verify(signer, message, signature) {
                            vote.check = Check::Good;
                        } else {
                            vote.check = Check::Void;
                            suspects.insert(signer);
                            accuse(signer);
                        }
                    }
                }
                let (signers, signatures) = self.supporters(verifier, ballot)?;
                (signers, verifier.signatures.aggregate(&signatures)?)
            }
        };
        self.certified = true;
        Some(Certified {
            height: ballot.height,
            block: ballot.block,
            aggregate: AggregateSignature { signers, signature },
        })
    }

    /// Those who voted for the same block, if they are a quorum.
    fn supporters(
        &self,
        verifier: &Verifier<'_>,
        ballot: &Ballot,
    ) -> Option<(Signers, Vec<BlsSignature>)> {
        let mut signers = Signers::default();
        let mut signatures = Vec::new();
        for (signer, vote) in &self.votes {
            let same = vote.ballot.block == ballot.block && vote.ballot.height == ballot.height;
            if same && vote.check != Check::Void {
                signers.insert(*signer);
                signatures.push(vote.ballot.signature);
            }
        }
        let enough = match self.few {
            true => verifier.committee.has_one_honest(&signers),
            false => verifier.committee.has_quorum(&signers),
        };
        enough.then_some((signers, signatures))
    }
}

fn message(verifier: &Verifier<'_>, kind: VoteKind, view: View, ballot: &Ballot) -> Digest {
    let epoch = verifier.committee.epoch;
    kind.message(verifier.chain, epoch, view, ballot.height, ballot.block)
}
