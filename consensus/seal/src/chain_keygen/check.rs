//! Whether a message may go on the board: cheap checks first, the same verdict for everybody.

use conclave_types::{
    ChannelOffer, Dealing, KeyGenerationFault, KeyGenerationPhase, Point, RevealedShares, Signers,
    ValidatorIndex,
};
use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;

use super::proof::{self, Known};
use super::{Board, Round};
use crate::{curve, key, public};

/// Bytes of an encrypted share's authentication tag.
pub(super) const TAG_BYTES: usize = 16;
/// Bytes of one share.
pub(super) const SHARE_BYTES: usize = 32;

/// A channel key: of a member, in its phase, once, with its proof of possession.
pub fn check_channel(
    board: &Board<'_>,
    from: ValidatorIndex,
    offer: &ChannelOffer,
) -> Result<(), KeyGenerationFault> {
    let before = expect(board, from, KeyGenerationPhase::Channel)?;
    if before.is_some_and(|before| before.channel.is_some()) {
        return Err(KeyGenerationFault::Repeated);
    }
    let round = board.round();
    match proof::verify(
        round,
        from,
        Known::ChannelKey,
        &offer.channel,
        &offer.possession,
    ) {
        true => Ok(()),
        false => Err(KeyGenerationFault::Proof),
    }
}

/// A dealing: of the right degree and lengths, with a proof of its constant term.
pub fn check_dealing(
    board: &Board<'_>,
    from: ValidatorIndex,
    dealing: &Dealing,
) -> Result<(), KeyGenerationFault> {
    let before = expect(board, from, KeyGenerationPhase::Deal)?;
    let before = before.filter(|before| before.channel.is_some());
    let before = before.ok_or(KeyGenerationFault::NoChannel)?;
    if before.dealing.is_some() {
        return Err(KeyGenerationFault::Repeated);
    }
    let round = board.round();
    if dealing.commitment.len() != round.coefficients() {
        return Err(KeyGenerationFault::Degree);
    }
    if !lengths_fit(board, from, dealing) {
        return Err(KeyGenerationFault::Length);
    }
    let constant = &dealing.commitment[0];
    if !proof::verify(
        round,
        from,
        Known::ConstantTerm,
        constant,
        &dealing.knowledge,
    ) {
        return Err(KeyGenerationFault::Proof);
    }
    decode_commitment(&dealing.commitment)
        .map(|_| ())
        .ok_or(KeyGenerationFault::Encoding)
}

/// An acknowledgement: by whoever could be dealt to, of dealers only.
pub fn check_acknowledgement(
    board: &Board<'_>,
    from: ValidatorIndex,
    dealers: &Signers,
) -> Result<(), KeyGenerationFault> {
    let before = expect(board, from, KeyGenerationPhase::Acknowledge)?;
    let before = before.filter(|before| before.channel.is_some());
    let before = before.ok_or(KeyGenerationFault::NoChannel)?;
    if before.acknowledged.is_some() {
        return Err(KeyGenerationFault::Repeated);
    }
    match dealers.iter().all(|dealer| board.dealing(dealer).is_some()) {
        true => Ok(()),
        false => Err(KeyGenerationFault::NoDealing),
    }
}

/// A reveal: exactly the shares that this dealer owes, each on its committed polynomial.
pub fn check_reveal(
    board: &Board<'_>,
    from: ValidatorIndex,
    revealed: &[RevealedShares],
) -> Result<(), KeyGenerationFault> {
    let before = expect(board, from, KeyGenerationPhase::Reveal)?;
    if before.is_some_and(|before| before.revealed.is_some()) {
        return Err(KeyGenerationFault::Repeated);
    }
    let owed = board.owed(from).unwrap_or_default();
    let Some(dealing) = board.dealing(from).filter(|_| !owed.is_empty()) else {
        return Err(KeyGenerationFault::NotOwed);
    };
    let round = board.round();
    let fits = |(owed, revealed): (&ValidatorIndex, &RevealedShares)| {
        revealed.receiver == *owed && revealed.shares.len() == round.positions(*owed).len()
    };
    if owed.len() != revealed.len() || !owed.iter().zip(revealed).all(fits) {
        return Err(KeyGenerationFault::NotOwed);
    }
    let commitment = decode_commitment(&dealing.commitment).ok_or(KeyGenerationFault::Encoding)?;
    for RevealedShares { receiver, shares } in revealed {
        for (position, share) in round.positions(*receiver).zip(shares) {
            let share = curve::scalar(share).ok_or(KeyGenerationFault::Encoding)?;
            if !is_value(&commitment, position, &share) {
                return Err(KeyGenerationFault::Share);
            }
        }
    }
    Ok(())
}

/// Whether a share is the committed polynomial's value at a position.
pub(super) fn is_value(commitment: &[RistrettoPoint], position: usize, share: &Scalar) -> bool {
    curve::base(share) == public::evaluate(commitment, key::index_of(position))
}

/// A commitment's points; `None` when one is not canonical.
pub(super) fn decode_commitment(commitment: &[Point]) -> Option<Vec<RistrettoPoint>> {
    commitment.iter().map(curve::any_point).collect()
}

/// Bytes of what a dealer encrypts to a member.
pub(super) fn sealed_bytes(round: &Round, to: ValidatorIndex) -> usize {
    SHARE_BYTES * round.positions(to).len() + TAG_BYTES
}

fn lengths_fit(board: &Board<'_>, from: ValidatorIndex, dealing: &Dealing) -> bool {
    let round = board.round();
    let fits = |(to, sealed): (ValidatorIndex, &Vec<u8>)| match board.receives(from, to) {
        true => sealed.len() == sealed_bytes(round, to),
        false => sealed.is_empty(),
    };
    let slots = (0..).map(ValidatorIndex);
    dealing.sealed.len() == round.slots() && slots.zip(&dealing.sealed).all(fits)
}

/// What the sender has said so far, if it is a member and the phase is right.
fn expect<'a>(
    board: &'a Board<'_>,
    from: ValidatorIndex,
    phase: KeyGenerationPhase,
) -> Result<Option<&'a conclave_types::Contribution>, KeyGenerationFault> {
    if board.phase() != phase {
        return Err(KeyGenerationFault::Phase);
    }
    match board.round().weight(from) {
        0 => Err(KeyGenerationFault::Stranger),
        _ => Ok(board.contribution(from)),
    }
}
