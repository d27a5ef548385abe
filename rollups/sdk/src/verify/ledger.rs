//! What a ledger that a final header names holds of a rollup.

use conclave_light::{EntryProof, verify_settled, verify_stream};
use conclave_types::{Height, RollupId, Settled, Stream};

use super::{Auditor, VerifyError, decode};
use crate::api::{LedgerProofView, ProvenEntryView};

/// Bytes of one entry: a stream or a settled root.
const ENTRY_BYTES_MAX: usize = 256;
/// Bytes of a proof: two Merkle paths with at most 64 digests each.
const PROOF_BYTES_MAX: usize = 8 * 1024;

/// A rollup's entries in a ledger whose root a final header names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProvenLedger {
    /// The height of the ledger.
    pub height: Height,
    /// The final block that names it.
    pub named_by: Height,
    /// How far the rollup's stream goes, and its digest.
    pub stream: Stream,
    /// The settled root; the system's own rollup has none.
    pub settled: Option<Settled>,
}

impl Auditor {
    /// Verifies that a final block names a ledger with these entries. CPU-heavy: about a pairing.
    pub fn ledger(
        &self,
        rollup: RollupId,
        view: &LedgerProofView,
    ) -> Result<ProvenLedger, VerifyError> {
        let header = self.block(&view.block)?.block.header;
        let malformed = |what| VerifyError::Malformed {
            height: header.height,
            what,
        };
        let (stream, proof) =
            entry::<Stream>(&view.stream).ok_or_else(|| malformed("the stream's entry"))?;
        verify_stream(&header, rollup, &stream, &proof)?;
        let settled = match &view.settled {
            None if rollup == RollupId::SYSTEM => None,
            None => return Err(malformed("the settled root's entry")),
            Some(view) => {
                let (settled, proof) =
                    entry::<Settled>(view).ok_or_else(|| malformed("the settled root's entry"))?;
                verify_settled(&header, rollup, &settled, &proof)?;
                Some(settled)
            }
        };
        Ok(ProvenLedger {
            height: header.ledger_height,
            named_by: header.height,
            stream,
            settled,
        })
    }
}

fn entry<V: bincode::Decode<()>>(view: &ProvenEntryView) -> Option<(V, EntryProof)> {
    let value = decode(&view.value, ENTRY_BYTES_MAX)?;
    Some((value, decode(&view.proof, PROOF_BYTES_MAX)?))
}
