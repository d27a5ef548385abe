//! One typed method for each route of the API.

use conclave_types::{
    AccountId, AuctionId, Envelope, EnvelopeId, Epoch, Height, RollupId, TxIndex, codec,
};

use crate::api::{
    AccountView, AuctionView, BlockView, CommitteeView, ContentsView, EnvelopeView,
    EpochChangeView, EpochView, EventView, FeeQuote, LedgerProofView, LinksView, ProofView,
    ProverView, ReceiptView, RollupView, StatusView, TotalsView, ValidatorsView,
};
use crate::{Client, ClientError};

impl Client {
    /// Submits an envelope. Submitting it again, here or elsewhere, is harmless: the first
    /// ordered counts.
    pub async fn submit(&self, envelope: &Envelope) -> Result<ReceiptView, ClientError> {
        self.post("/v1/envelopes", codec::encode(envelope)).await
    }

    /// Where an envelope is. A pending one is known only to the node that took it.
    pub async fn envelope(&self, id: EnvelopeId) -> Result<EnvelopeView, ClientError> {
        self.get(&format!("/v1/envelopes/{id}"), &[]).await
    }

    /// What an envelope to a rollup with a body of so many bytes as carried costs its payer now.
    pub async fn fees(
        &self,
        rollup: RollupId,
        payer: AccountId,
        body_bytes: u64,
    ) -> Result<FeeQuote, ClientError> {
        let query = [
            ("rollup", rollup.to_string()),
            ("payer", payer.to_string()),
            ("body_bytes", body_bytes.to_string()),
        ];
        self.get("/v1/fees", &query).await
    }

    /// The committee, its sealing key and the committed height.
    pub async fn committee(&self) -> Result<CommitteeView, ClientError> {
        self.get("/v1/committee", &[]).await
    }

    /// All validators by slot, and how far the next key generation is.
    pub async fn validators(&self) -> Result<ValidatorsView, ClientError> {
        self.get("/v1/validators", &[]).await
    }

    /// One epoch: its heights, committee and sealing key.
    pub async fn epoch(&self, epoch: Epoch) -> Result<EpochView, ClientError> {
        self.get(&format!("/v1/epochs/{epoch}"), &[]).await
    }

    /// One node's view of itself.
    pub async fn status(&self) -> Result<StatusView, ClientError> {
        self.get("/v1/status", &[]).await
    }

    /// Committed blocks, ascending.
    pub async fn blocks(&self, from: Height, limit: usize) -> Result<Vec<BlockView>, ClientError> {
        let query = [("from", from.to_string()), ("limit", limit.to_string())];
        self.get("/v1/blocks", &query).await
    }

    /// One committed block with its certificate.
    pub async fn block(&self, height: Height) -> Result<BlockView, ClientError> {
        self.get(&format!("/v1/blocks/{height}"), &[]).await
    }

    /// How the epoch before one handed over to it: what shows the committees of a chain whose genesis
    /// is known.
    pub async fn handoff(&self, epoch: Epoch) -> Result<EpochChangeView, ClientError> {
        self.get(&format!("/v1/epochs/{epoch}/handoff"), &[]).await
    }

    /// All registered rollups.
    pub async fn rollups(&self) -> Result<Vec<RollupView>, ClientError> {
        self.get("/v1/rollups", &[]).await
    }

    /// One rollup.
    pub async fn rollup(&self, rollup: RollupId) -> Result<RollupView, ClientError> {
        self.get(&format!("/v1/rollups/{rollup}"), &[]).await
    }

    /// A rollup's ordered contents from a height on; the answer says how far it goes.
    pub async fn contents(
        &self,
        rollup: RollupId,
        from_height: Height,
        to_height: Height,
        proofs: bool,
    ) -> Result<ContentsView, ClientError> {
        let query = [
            ("from_height", from_height.to_string()),
            ("to_height", to_height.to_string()),
            ("proofs", proofs.to_string()),
        ];
        self.get(&format!("/v1/rollups/{rollup}/contents"), &query)
            .await
    }

    /// What the newest ledger that a final block names holds of a rollup, with the proof.
    pub async fn ledger_proof(&self, rollup: RollupId) -> Result<LedgerProofView, ClientError> {
        self.get(&format!("/v1/rollups/{rollup}/ledger-proof"), &[])
            .await
    }

    /// The chain of digests over a rollup's stream from a height on, at most `limit` links; the
    /// answer says how far it goes.
    pub async fn links(
        &self,
        rollup: RollupId,
        from_height: Height,
        limit: usize,
    ) -> Result<LinksView, ClientError> {
        let query = [
            ("from_height", from_height.to_string()),
            ("limit", limit.to_string()),
        ];
        self.get(&format!("/v1/rollups/{rollup}/links"), &query)
            .await
    }

    /// Raised intents that are not settled, of one rollup or all.
    pub async fn intents(&self, rollup: Option<RollupId>) -> Result<Vec<AuctionView>, ClientError> {
        let query: Vec<_> = rollup
            .map(|rollup| ("rollup", rollup.to_string()))
            .into_iter()
            .collect();
        self.get("/v1/intents", &query).await
    }

    /// Auctions, newest first, of one rollup or all, in one state or any.
    pub async fn auctions(
        &self,
        rollup: Option<RollupId>,
        state: Option<&str>,
        limit: usize,
    ) -> Result<Vec<AuctionView>, ClientError> {
        let mut query = vec![("limit", limit.to_string())];
        query.extend(rollup.map(|rollup| ("rollup", rollup.to_string())));
        query.extend(state.map(|state| ("state", state.to_owned())));
        self.get("/v1/auctions", &query).await
    }

    /// One auction.
    pub async fn auction(&self, auction: AuctionId) -> Result<AuctionView, ClientError> {
        self.get(&format!("/v1/auctions/{auction}"), &[]).await
    }

    /// All registered provers.
    pub async fn provers(&self) -> Result<Vec<ProverView>, ClientError> {
        self.get("/v1/provers", &[]).await
    }

    /// One prover.
    pub async fn prover(&self, account: AccountId) -> Result<ProverView, ClientError> {
        self.get(&format!("/v1/provers/{account}"), &[]).await
    }

    /// Settled proofs of a rollup from a transaction on, ascending, without their bytes.
    pub async fn proofs(
        &self,
        rollup: RollupId,
        from_index: TxIndex,
        limit: usize,
    ) -> Result<Vec<ProofView>, ClientError> {
        let query = [
            ("rollup", rollup.to_string()),
            ("from_index", from_index.to_string()),
            ("limit", limit.to_string()),
        ];
        self.get("/v1/proofs", &query).await
    }

    /// One settled proof with its bytes.
    pub async fn proof(&self, auction: AuctionId) -> Result<ProofView, ClientError> {
        self.get(&format!("/v1/proofs/{auction}"), &[]).await
    }

    /// An account's money and sequence number.
    pub async fn account(&self, account: AccountId) -> Result<AccountView, ClientError> {
        self.get(&format!("/v1/accounts/{account}"), &[]).await
    }

    /// All the money there is.
    pub async fn totals(&self) -> Result<TotalsView, ClientError> {
        self.get("/v1/totals", &[]).await
    }

    /// Ledger events from a height on.
    pub async fn events(
        &self,
        from_height: Height,
        limit: usize,
    ) -> Result<Vec<EventView>, ClientError> {
        let query = [
            ("from_height", from_height.to_string()),
            ("limit", limit.to_string()),
        ];
        self.get("/v1/events", &query).await
    }
}
