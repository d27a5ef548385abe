//! What may enter: immutable checks that every validator answers alike, for submissions and for
//! peers' batches.

use conclave_crypto::{CodeShape, Committee, batch_contents, ed};
use conclave_seal::SealScheme;
use conclave_types::{
    BatchHeader, ChainId, Digest, Domain, Envelope, EnvelopeHeader, Epoch, Manifest, Payload,
    ReleaseRule, RollupId, limits,
};

use crate::refusal::Refusal;

/// Bytes that the AEAD adds to a sealed body.
const TAG_BYTES: usize = 16;

/// Checks an envelope's lengths, digest and kind; costs one hash of the body.
pub fn check_shape(chain: ChainId, envelope: &Envelope) -> Result<(), Refusal> {
    let header = &envelope.header;
    check_header(chain, header)?;
    if header.body_bytes as usize != envelope.body.len() {
        return Err(Refusal::shape("the header names another body length"));
    }
    if Domain::EnvelopeBody.digest(&envelope.body) != header.body_digest {
        return Err(Refusal::shape("the header names another body digest"));
    }
    Ok(())
}

/// Checks what an envelope's header alone shows of its shape.
fn check_header(chain: ChainId, header: &EnvelopeHeader) -> Result<(), Refusal> {
    let core = &header.core;
    if core.chain != chain {
        return Err(Refusal::chain(format!(
            "the envelope is for chain {}",
            core.chain
        )));
    }
    check_kind(header)
}

fn check_kind(header: &EnvelopeHeader) -> Result<(), Refusal> {
    let core = &header.core;
    let bytes = header.body_bytes as usize;
    match &header.payload {
        Payload::Plain if core.rollup != RollupId::SYSTEM => {
            Err(Refusal::shape("plain envelopes are for rollup 0 only"))
        }
        Payload::Plain if core.release != ReleaseRule::OnCommit => {
            Err(Refusal::shape("a plain envelope cannot be released later"))
        }
        Payload::Plain if bytes > limits::PLAIN_BODY_BYTES_MAX => Err(Refusal::shape(format!(
            "a plain body of {bytes} bytes is too long"
        ))),
        Payload::Sealed(_)
            if core.bucket > conclave_types::Bucket::LARGEST
                || bytes != core.bucket.plaintext_bytes() + TAG_BYTES =>
        {
            Err(Refusal::shape("the body does not fill its size bucket"))
        }
        _ => Ok(()),
    }
}

/// Checks the payers' signatures of many envelopes at once. CPU-heavy.
pub(crate) fn check_payers(envelopes: &[&EnvelopeHeader]) -> Vec<bool> {
    let digests: Vec<Digest> = envelopes.iter().map(|h| h.signing_digest()).collect();
    let items: Vec<ed::EdItem<'_>> = envelopes
        .iter()
        .zip(&digests)
        .map(|(header, message)| ed::EdItem {
            key: header.core.payer.as_bytes(),
            message,
            signature: &header.signature,
        })
        .collect();
    let mut verdicts = vec![true; envelopes.len()];
    for failed in ed::verify_batch(&items) {
        verdicts[failed] = false;
    }
    verdicts
}

/// Checks the payers' signatures and the seals of many envelopes at once. CPU-heavy.
pub fn check_signatures(scheme: &dyn SealScheme, envelopes: &[&EnvelopeHeader]) -> Vec<bool> {
    let mut verdicts = check_payers(envelopes);
    // A seal costs more than a signature, so only signed ones are looked at.
    let sealed: Vec<usize> = (0..envelopes.len())
        .filter(|i| verdicts[*i] && envelopes[*i].is_sealed())
        .collect();
    let headers: Vec<&EnvelopeHeader> = sealed.iter().map(|i| envelopes[*i]).collect();
    for (index, valid) in sealed.into_iter().zip(scheme.check(&headers)) {
        verdicts[index] = valid;
    }
    verdicts
}

/// Whether a batch header is one that this epoch's validators may certify.
pub(crate) fn check_batch_header(chain: ChainId, epoch: Epoch, header: &BatchHeader) -> bool {
    let ascending = header
        .contents
        .windows(2)
        .all(|pair| pair[0].rollup < pair[1].rollup);
    header.chain == chain
        && header.epoch == epoch
        && ascending
        && !header.contents.is_empty()
        && header.contents.len() <= limits::BATCH_ROLLUPS_MAX
        && header.contents.iter().all(|contents| contents.count > 0)
        && header.envelopes() <= limits::BATCH_ENVELOPES_MAX as u64
}

/// Checks everything about a batch's manifest but signatures, seals and shards. What its bodies
/// are is found out by whoever rebuilds them.
pub fn check_manifest(chain: ChainId, committee: &Committee, manifest: &Manifest) -> bool {
    check_batch_header(chain, committee.epoch, &manifest.header)
        && manifest.envelopes.len() as u64 == manifest.header.envelopes()
        && CodeShape::of(committee.threshold, manifest).is_some()
        && manifest
            .envelopes
            .iter()
            .all(|header| check_header(chain, header).is_ok())
        && batch_contents(&manifest.envelopes) == manifest.header.contents
}
