//! Measures what a key generation over the chain costs one member and the ledger, on one core:
//! `cargo run --release -p conclave-seal --example key_generation`.

use std::time::Instant;

use conclave_seal::{
    Board, Participant, Round, check_acknowledgement, check_channel, check_dealing, check_reveal,
};
use conclave_types::{
    ChainId, Contribution, Digest, Epoch, KeyGenerationFault, KeyGenerationMessage,
    KeyGenerationPhase, ValidatorIndex, codec,
};

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Fallible<()> {
    for validators in [4, 16, 100] {
        measure(validators)?;
    }
    Ok(())
}

/// All members of weight 1; the last f deal and then fall silent, so that everyone reveals to them.
fn measure(validators: u16) -> Fallible<()> {
    use KeyGenerationPhase::{Acknowledge, Channel, Deal, Done, Reveal};
    let weights = vec![1; usize::from(validators)];
    let round = Round::new(ChainId(Digest([1; 32])), Epoch(1), 0, &weights)?;
    let speaking = validators - round.threshold().faults();
    let mut said = vec![Contribution::default(); usize::from(validators)];
    println!("{validators} validators, ms for each:");
    for phase in [Channel, Deal, Acknowledge, Reveal] {
        let speakers = if phase <= Deal { validators } else { speaking };
        let (mut made, mut checked, mut bytes) = (0.0, 0.0, 0);
        for speaker in 0..speakers {
            let own = ValidatorIndex(speaker);
            let board = board(&round, phase, &said);
            let start = Instant::now();
            let message = participant(own).next(&board).ok_or("nothing to say")?;
            made += ms(start);
            bytes = codec::encode(&message).len();
            let start = Instant::now();
            check(&board, own, &message).map_err(|fault| format!("{fault:?}"))?;
            checked += ms(start);
            record(&mut said[usize::from(speaker)], message);
        }
        let (made, checked) = (made / f64::from(speakers), checked / f64::from(speakers));
        let phase = format!("{phase:?}");
        println!("  {phase:12} make {made:8.2}  check {checked:8.2}  {bytes:6} bytes");
    }
    let board = board(&round, Done, &said);
    let start = Instant::now();
    let key = board.outcome().ok_or("too few qualify")?;
    println!("  the key           {:8.2}", ms(start));
    let start = Instant::now();
    participant(ValidatorIndex(0)).finish(&board, &key)?;
    println!("  a member's shares {:8.2}", ms(start));
    Ok(())
}

fn participant(own: ValidatorIndex) -> Participant {
    let mut seed = [7; 32];
    seed[..2].copy_from_slice(&own.0.to_le_bytes());
    Participant::new(own, &seed)
}

fn board<'a>(round: &'a Round, phase: KeyGenerationPhase, said: &'a [Contribution]) -> Board<'a> {
    Board::new(round, phase, (0..).map(ValidatorIndex).zip(said))
}

fn check(
    board: &Board<'_>,
    from: ValidatorIndex,
    message: &KeyGenerationMessage,
) -> Result<(), KeyGenerationFault> {
    match message {
        KeyGenerationMessage::Channel(offer) => check_channel(board, from, offer),
        KeyGenerationMessage::Deal(dealing) => check_dealing(board, from, dealing),
        KeyGenerationMessage::Acknowledge { dealers } => {
            check_acknowledgement(board, from, dealers)
        }
        KeyGenerationMessage::Reveal { shares } => check_reveal(board, from, shares),
    }
}

fn record(said: &mut Contribution, message: KeyGenerationMessage) {
    match message {
        KeyGenerationMessage::Channel(offer) => said.channel = Some(offer),
        KeyGenerationMessage::Deal(dealing) => said.dealing = Some(dealing),
        KeyGenerationMessage::Acknowledge { dealers } => said.acknowledged = Some(dealers),
        KeyGenerationMessage::Reveal { shares } => said.revealed = Some(shares),
    }
}

fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
